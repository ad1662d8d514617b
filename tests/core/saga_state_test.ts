/**
 * The state machine of sagas as a whole: every state that calls, time and operators can bring
 * about is visited, every event and every word is tried in each, and the rules of
 * saga_state.ts and saga_next.ts are looked at there.
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { isTerminal, type SagaState, type SagaStepState } from "../../src/core/saga.ts";
import type { StepDefinition, StepKind } from "../../src/core/saga_definition.ts";
import { SAGA_EVENT_TYPES, type SagaFact } from "../../src/core/saga_event.ts";
import { failureOf, nextOf, SAGA_VERBS, toCompensate, verbFact } from "../../src/core/saga_next.ts";
import { applyEvent, beginSaga } from "../../src/core/saga_state.ts";
import { report } from "../harness/scale.ts";

const START_MS = Date.parse("2026-01-01T00:00:00.000Z");
const AT = new Date(START_MS).toISOString();
const LATER_MS = START_MS + 10_000;
const DEADLINE_MS = 100_000;

function stepOf(step_id: string, kind: StepKind): StepDefinition {
  return {
    step_id,
    service_name: "s",
    action: "do",
    compensation_action: kind === "compensatable" ? "undo" : null,
    kind,
    timeout_ms: 1_000,
    retry_count: 1,
    backoff_ms: 1_000,
    backoff_max_ms: 1_000,
    idempotency_key: "{saga_id}-{step_id}",
    input: {},
  };
}

function begin(kinds: readonly StepKind[]): SagaState {
  const data = { definition: "d", definition_version: 1, input: null, tenant_id: null };
  return beginSaga({ type: "saga_requested", saga_id: "s", sequence: 1, at: AT, data }, {
    name: "d",
    version: 1,
    services: { s: { kind: "layer" } },
    steps: kinds.map((kind, index) => stepOf(`${index}`, kind)),
    deadline_ms: DEADLINE_MS,
  });
}

function apply(saga: SagaState, fact: SagaFact): SagaState {
  return applyEvent(saga, { ...fact, saga_id: "s", sequence: saga.sequence + 1, at: AT });
}

/** What may happen in a state: what is next in time, at the deadline, and each operator's word. */
function facts(saga: SagaState): SagaFact[] {
  const found = [START_MS, LATER_MS, START_MS + DEADLINE_MS].flatMap((ms) => nextFacts(saga, ms));
  for (const verb of SAGA_VERBS) {
    try {
      found.push(verbFact(saga, verb, "why"));
    } catch (error) {
      assert(error instanceof LayerdError && error.code === "invalid_transition");
      assert(!isTerminal(saga) || error.message.includes(saga.state));
    }
  }
  // The result of a call under way comes also while the saga is paused.
  for (const step of saga.steps) {
    if (step.call.kind === "open") found.push(...results(saga, step));
  }
  return found;
}

function nextFacts(saga: SagaState, nowMs: number): SagaFact[] {
  const next = nextOf(saga, nowMs);
  if (next.kind === "record") return [next.fact];
  if (next.kind !== "call" || !next.fresh) return [];
  const { what, step, attempt } = next;
  const { step_id } = step.definition;
  const data = { idempotency_key: "k", input: null };
  return what === "action"
    ? [{ type: "step_started", step_id, attempt, data }]
    : [{ type: "compensation_started", step_id, attempt, data }];
}

function results(saga: SagaState, step: SagaStepState): SagaFact[] {
  const what = saga.direction === "forward" ? "action" : "compensation";
  const { step_id } = step.definition;
  const attempt = what === "action" ? step.attempts : step.compensations;
  const failed = (outcome: "refused" | "unknown") =>
    failureOf(what, step, { error: "e", outcome }, START_MS, 0);
  const done = { step_id, attempt, data: { output: null } };
  if (what === "action") {
    return [
      { type: "step_completed", ...done },
      { type: "step_failed", step_id, attempt, data: failed("refused") },
      { type: "step_failed", step_id, attempt, data: failed("unknown") },
      { type: "step_timed_out", step_id, attempt, data: failed("unknown") },
    ];
  }
  return [
    { type: "compensation_completed", ...done },
    { type: "compensation_failed", step_id, attempt, data: failed("refused") },
    { type: "compensation_failed", step_id, attempt, data: failed("unknown") },
  ];
}

/** States that go on the same way have one name: counts matter up to the budget alone. */
function nameOf(saga: SagaState): string {
  const steps = saga.steps.map((step) => {
    const { state, call, attempts, compensations, spent, mayHaveEffect, left } = step;
    const used = (saga.direction === "forward" ? attempts : compensations) - spent;
    return [state, call.kind, used, mayHaveEffect, left, attempts > 0].join(":");
  });
  return [saga.state, saga.condition, saga.direction, ...steps].join(" ");
}

interface Visited {
  readonly states: ReadonlyMap<string, SagaState>;
  /** From each name to those it leads to. */
  readonly ways: ReadonlyMap<string, readonly string[]>;
}

function visitAll(first: SagaState): Visited {
  const states = new Map([[nameOf(first), first]]);
  const ways = new Map<string, string[]>();
  for (const [name, saga] of states) {
    const after = isTerminal(saga) ? [] : facts(saga).map((fact) => apply(saga, fact));
    for (const one of after) if (!states.has(nameOf(one))) states.set(nameOf(one), one);
    ways.set(name, after.map(nameOf));
  }
  return { states, ways };
}

function checkState(saga: SagaState, name: string): void {
  const next = nextOf(saga, LATER_MS);
  const rests = isTerminal(saga) || saga.condition !== null;
  assertEquals(next.kind === "rest", rests, `N3: ${name}`);
  for (const step of saga.steps) {
    const { definition, compensations, mayHaveEffect, state, left } = step;
    if (definition.kind !== "compensatable") assertEquals(compensations, 0, `undone: ${name}`);
    if (saga.state === "completed") assert(/^(completed|skipped)$/.test(state), name);
    if (saga.state === "compensated") assert(!mayHaveEffect || state === "compensated", name);
    if (state === "completed") assert(mayHaveEffect, name);
    if (left) assertEquals([saga.direction, state], ["back", "skipped"], name);
  }
  if (saga.state === "failed") {
    const stays = saga.steps.some((step) =>
      step.left || (step.definition.kind !== "compensatable" && step.mayHaveEffect)
    );
    assert(stays, `failed, and nothing stays: ${name}`);
  }
  const undo = toCompensate(saga).map(({ definition }) => Number(definition.step_id));
  assertEquals(undo, undo.toSorted((a, b) => b - a), `reverse: ${name}`);
  if (!isTerminal(saga)) return;
  for (const verb of SAGA_VERBS) assertThrows(() => verbFact(saga, verb, null), LayerdError);
}

/** One event of every type, for each step, whether or not it makes sense. */
function everyFact(saga: SagaState): SagaFact[] {
  return SAGA_EVENT_TYPES.flatMap((type) =>
    saga.steps.map(({ definition: { step_id } }) => ({
      type,
      step_id,
      attempt: 1,
      data: { error: "e", outcome: "refused", retry_at: null, verb: "cancel", left: [] },
    } as unknown as SagaFact))
  );
}

const SHAPES: readonly (readonly StepKind[])[] = [
  ["compensatable"],
  ["retriable"],
  ["compensatable", "compensatable"],
  ["compensatable", "pivot", "retriable"],
];

for (const kinds of SHAPES) {
  Deno.test(`applyEvent() keeps its rules in every state of a saga of ${kinds.join(", ")}`, () => {
    const { states, ways } = visitAll(begin(kinds));
    let events = 0;
    for (const [name, saga] of states) {
      checkState(saga, name);
      for (const fact of everyFact(saga)) {
        events++;
        try {
          const after = apply(saga, fact);
          assert(!isTerminal(saga), `${fact.type} after the end: ${name}`);
          assert(saga.direction === "forward" || after.direction === "back", `S3: ${name}`);
        } catch (error) {
          // Refused: by an invariant, as a bug, not by an accident.
          assert(error instanceof Error && error.message.startsWith("BUG"), `${name}: ${error}`);
        }
      }
    }
    const ends = new Set([...states].filter(([, saga]) => isTerminal(saga)).map(([name]) => name));
    for (let before = -1; before !== ends.size;) {
      before = ends.size;
      for (const [name, to] of ways) if (to.some((one) => ends.has(one))) ends.add(name);
    }
    assertEquals(ends.size, states.size, "From every state there is a way to an end");
    report(`sagas: ${states.size} states of ${kinds.join(", ")}, ${events} events tried in them`);
  });
}
