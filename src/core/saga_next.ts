/**
 * What has to be done next in a saga, and what an operator may do to it. Pure: the engine
 * performs, and what it did comes back as an event (saga_state.ts).
 *
 * N1. Forward: one step after the other; back: the compensations in reverse, each by its own
 *     retries, and one that gave up does not stop those before it.
 * N2. Only steps that may have an effect are compensated; one whose calls were all refused
 *     did nothing.
 * N3. A saga rests only when it has ended, is paused or needs an operator.
 */
import { LayerdError } from "./errors.ts";
import type { CallFailure, SagaFact } from "./saga_event.ts";
import { isTerminal, type SagaState, type SagaStepState } from "./saga.ts";
import type { Json } from "./structured_value.ts";

export type SagaNext =
  | { readonly kind: "rest" }
  /** Nothing before that time, in milliseconds since the epoch. */
  | { readonly kind: "wait"; readonly untilMs: number }
  | { readonly kind: "record"; readonly fact: SagaFact }
  /** Call the step, or its compensation; `fresh`: its start is still to be recorded. */
  | {
    readonly kind: "call";
    readonly what: "action" | "compensation";
    readonly step: SagaStepState;
    readonly attempt: number;
    readonly fresh: boolean;
  };

/** What to do at a time. */
export function nextOf(saga: SagaState, nowMs: number): SagaNext {
  if (isTerminal(saga) || saga.condition !== null) return { kind: "rest" };
  return saga.direction === "forward" ? nextForward(saga, nowMs) : nextBack(saga, nowMs);
}

function nextForward(saga: SagaState, nowMs: number): SagaNext {
  const step = currentStep(saga);
  if (step === null) {
    const output: Json = saga.steps.findLast(({ state }) => state === "completed")?.output ?? null;
    return { kind: "record", fact: { type: "saga_completed", data: { output } } };
  }
  const deadlineMs = deadlineOf(saga);
  if (nowMs >= deadlineMs) {
    return { kind: "record", fact: cancelled("deadline", null) };
  }
  const next = callOf("action", step, step.attempts, nowMs);
  if (next !== null) return sooner(next, deadlineMs);
  return needsOperator(step);
}

/** The first step that is neither completed nor skipped. */
export function currentStep(saga: SagaState): SagaStepState | null {
  return saga.steps.find(({ state }) => state !== "completed" && state !== "skipped") ?? null;
}

/** When the saga has to be through, as long as it can still turn back; else never. */
export function deadlineOf(saga: SagaState): number {
  const { deadline_ms } = saga.definition;
  if (deadline_ms === undefined || saga.direction === "back" || isBeyondPivot(saga)) {
    return Infinity;
  }
  return Date.parse(saga.createdAt) + deadline_ms;
}

/** Whether a step that is never undone may have had its effect. */
function isBeyondPivot(saga: SagaState): boolean {
  return saga.steps.some(({ definition, mayHaveEffect, call }) =>
    definition.kind !== "compensatable" && (mayHaveEffect || call.kind === "open")
  );
}

function sooner(next: SagaNext, deadlineMs: number): SagaNext {
  if (next.kind !== "wait") return next;
  return { kind: "wait", untilMs: Math.min(next.untilMs, deadlineMs) };
}

function callOf(
  what: "action" | "compensation",
  step: SagaStepState,
  attempts: number,
  nowMs: number,
): SagaNext | null {
  const { call } = step;
  switch (call.kind) {
    case "none":
      return { kind: "call", what, step, attempt: attempts + 1, fresh: true };
    case "open":
      return { kind: "call", what, step, attempt: attempts, fresh: false };
    case "waiting": {
      const untilMs = Date.parse(call.until);
      if (nowMs < untilMs) return { kind: "wait", untilMs };
      return { kind: "call", what, step, attempt: attempts + 1, fresh: true };
    }
    case "gave_up":
      return null;
  }
}

function nextBack(saga: SagaState, nowMs: number): SagaNext {
  let gaveUp: SagaStepState | null = null;
  for (const step of toCompensate(saga)) {
    const next = callOf("compensation", step, step.compensations, nowMs);
    if (next !== null) return next;
    gaveUp ??= step;
  }
  if (gaveUp !== null) return needsOperator(gaveUp);
  const left = saga.steps.filter((step) => step.left || isIrreversible(step));
  return {
    kind: "record",
    fact: left.length === 0
      ? { type: "saga_compensated", data: {} }
      : { type: "saga_failed", data: { left: left.map((step) => step.definition.step_id) } },
  };
}

/** The steps that are to be compensated, in that order. */
export function toCompensate(saga: SagaState): SagaStepState[] {
  return saga.steps.filter((step) =>
    step.definition.compensation_action !== null && step.mayHaveEffect && !step.left &&
    step.state !== "compensated"
  ).reverse();
}

/** Has, or may have, an effect that nothing undoes. */
function isIrreversible(step: SagaStepState): boolean {
  return step.definition.kind !== "compensatable" && step.mayHaveEffect;
}

function needsOperator(step: SagaStepState): SagaNext {
  return {
    kind: "record",
    fact: {
      type: "saga_needs_operator",
      step_id: step.definition.step_id,
      data: { error: step.error ?? "Its calls are used up" },
    },
  };
}

/**
 * What a failed call comes to: when it is made again, if it is. A refused action is not; a
 * refused compensation is, because somebody has to undo.
 * @param uniform random, [0, 1): the pause is between half and all of the doubled backoff
 */
export function failureOf(
  what: "action" | "compensation",
  step: SagaStepState,
  failure: { readonly error: string; readonly outcome: CallFailure["outcome"] },
  nowMs: number,
  uniform: number,
): CallFailure {
  const { retry_count, backoff_ms, backoff_max_ms } = step.definition;
  const used = (what === "action" ? step.attempts : step.compensations) - step.spent;
  const final = used > retry_count || (what === "action" && failure.outcome === "refused");
  const doubled = Math.min(backoff_max_ms, backoff_ms * 2 ** (used - 1));
  const pauseMs = Math.round(doubled * (1 + uniform) / 2);
  return { ...failure, retry_at: final ? null : new Date(nowMs + pauseMs).toISOString() };
}

export const SAGA_VERBS = ["cancel", "pause", "resume", "retry", "skip", "compensate"] as const;
export type SagaVerb = typeof SAGA_VERBS[number];

/** The event of an operator's word; throws `invalid_transition` where it makes no sense. */
export function verbFact(saga: SagaState, verb: SagaVerb, reason: string | null): SagaFact {
  const fact = isTerminal(saga) ? null : factOf(saga, verb, reason);
  if (fact !== null) return fact;
  const condition = saga.condition === null ? "" : ` and ${saga.condition}`;
  throw new LayerdError(
    "invalid_transition",
    `Saga ${saga.id} is ${saga.state}${condition}; ${WHEN[verb]}`,
    { from: saga.condition ?? saga.state, event: verb },
  );
}

const WHEN: Readonly<Record<SagaVerb, string>> = {
  cancel: "cancel works before the pivot: later, compensate undoes what can be undone",
  pause: "pause works while it is under way",
  resume: "resume works on a paused saga, and on one that needs an operator",
  retry: "retry works on a saga that needs an operator or waits to repeat a call",
  skip: "skip works on a saga that needs an operator or waits to repeat a call",
  compensate: "compensate works until a saga turns back or ends",
};

function factOf(saga: SagaState, verb: SagaVerb, reason: string | null): SagaFact | null {
  const stuck = stuckStep(saga);
  const isPaused = saga.condition === "paused";
  switch (verb) {
    case "pause":
      return saga.condition === null ? { type: "saga_paused", data: { reason } } : null;
    case "resume":
      if (isPaused) return { type: "saga_resumed", data: { verb, reason } };
      return saga.condition === null
        ? null
        : { type: "saga_resumed", data: { verb: "retry", reason } };
    case "retry":
      return stuck === null || isPaused ? null : { type: "saga_resumed", data: { verb, reason } };
    case "skip":
      if (stuck === null || isPaused) return null;
      return { type: "step_skipped", step_id: stuck.definition.step_id, data: { reason } };
    case "cancel":
      if (saga.direction === "back" || isBeyondPivot(saga)) return null;
      return cancelled("cancel", reason);
    case "compensate":
      return saga.direction === "back" ? null : cancelled("compensate", reason);
  }
}

function cancelled(verb: "cancel" | "compensate" | "deadline", reason: string | null): SagaFact {
  return { type: "saga_cancelled", data: { verb, reason } };
}

/** The step that waits: for an operator, or to be called again. */
function stuckStep(saga: SagaState): SagaStepState | null {
  const waits = ({ call }: SagaStepState) => call.kind === "gave_up" || call.kind === "waiting";
  if (saga.direction === "back") return toCompensate(saga).find(waits) ?? null;
  const step = currentStep(saga);
  return step !== null && waits(step) ? step : null;
}
