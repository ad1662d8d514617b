/**
 * One saga under way. It performs what saga_next.ts says, one thing at a time.
 *
 * R1. Nothing is called before its start is in the store, and nothing is done about a result
 *     before that is.
 * R2. Events are recorded in turns, so that an operator's word and a call's result never meet.
 * R3. A result that the saga no longer waits for (it was cancelled meanwhile) is dropped: the
 *     step counts as one that may have had its effect.
 * R4. Compensation begins when the call under way has ended or was given up.
 * R5. Any failure of the store ends the run. Whoever goes on reads the events again, as after a
 *     crash; so it does not matter whether the event that failed is in the store.
 * R6. A saga's time never goes back: where the wall clock is set back, pauses and deadlines go
 *     on by the monotonic one from the last event.
 */
import { invariant } from "../core/errors.ts";
import { parseSagaId, type SagaId } from "../core/ids.ts";
import { compensationKey, idempotencyKeyOf } from "../core/saga_definition.ts";
import type { SagaEvent, SagaFact } from "../core/saga_event.ts";
import {
  deadlineOf,
  failureOf,
  nextOf,
  type SagaNext,
  type SagaVerb,
  verbFact,
} from "../core/saga_next.ts";
import { isTerminal, type SagaState, stepOf } from "../core/saga.ts";
import { applyEvent } from "../core/saga_state.ts";
import type { Clock, Timer } from "../system/clock.ts";
import type { Random } from "../system/random.ts";
import type { CallPlaces } from "./call_places.ts";
import { inputFor, InputUnmade } from "./expressions.ts";
import type { SagaStore } from "./saga_store.ts";
import type { CallOutcome, StepAction, StepCall } from "./step_action.ts";

/** setTimeout takes no more; whoever wakes early looks again. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export interface SagaRunParts {
  readonly store: SagaStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly places: CallPlaces;
  readonly perform: StepAction;
  /** Every event, once it is in the store. */
  readonly recorded: (saga: SagaState, event: SagaEvent) => void;
  /** The run is over: the saga has ended, or (with an error) could not be recorded. */
  readonly over: (run: SagaRun, error: unknown) => void;
}

type NextCall = Extract<SagaNext, { readonly kind: "call" }>;

export class SagaRun {
  readonly id: SagaId;
  readonly #parts: SagaRunParts;
  #saga: SagaState;
  #turn: Promise<unknown> = Promise.resolve();
  #timer: Timer | null = null;
  #call: AbortController | null = null;
  #working: Promise<void> | null = null;
  #poked = false;
  #stopped = false;
  /** Of the monotonic clock, when the last event was recorded or read. */
  #lastEventMs: number;

  constructor(parts: SagaRunParts, saga: SagaState) {
    this.#parts = parts;
    this.#saga = saga;
    this.#lastEventMs = parts.clock.monotonic();
    this.id = parseSagaId(saga.id);
  }

  /** Of the last event, once none is being recorded. */
  recordedSequence(): Promise<number> {
    return this.#inTurn(() => Promise.resolve(this.#saga.sequence));
  }

  /** Goes on, if there is anything to do. */
  poke(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#poked = true;
    if (this.#working === null && !this.#stopped) this.#working = this.#work();
  }

  /** An operator's word. Throws `invalid_transition`. */
  async obey(verb: SagaVerb, reason: string | null): Promise<SagaState> {
    const saga = await this.#inTurn(async () => {
      const fact = verbFact(this.#saga, verb, reason);
      try {
        await this.#record(fact);
      } catch (error) {
        this.#stopped = true;
        this.#parts.over(this, error);
        throw error;
      }
      return this.#saga;
    });
    if (saga.direction === "back") this.#giveUpForwardCall();
    this.poke();
    return saga;
  }

  /** No further step begins; what the call under way comes to is nobody's any more. */
  drop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#call?.abort();
  }

  /** No further step begins. Resolves when the call under way has ended, or with `abort`. */
  async stop(abort: AbortSignal): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    const giveUp = () => this.#call?.abort();
    abort.addEventListener("abort", giveUp, { once: true });
    if (abort.aborted) giveUp();
    await this.#working;
    abort.removeEventListener("abort", giveUp);
  }

  #giveUpForwardCall(): void {
    const open = this.#saga.steps.some(({ call }) => call.kind === "open");
    if (!open) this.#call?.abort();
  }

  async #work(): Promise<void> {
    let failure: unknown = null;
    try {
      do {
        this.#poked = false;
        while (!this.#stopped && await this.#goOn());
      } while (this.#poked && !this.#stopped);
    } catch (error) {
      failure = error;
      this.#stopped = true;
    }
    this.#working = null;
    if (failure !== null || isTerminal(this.#saga)) this.#parts.over(this, failure);
  }

  /** Does the next thing; whether there may be another. */
  async #goOn(): Promise<boolean> {
    const next = nextOf(this.#saga, this.#now());
    switch (next.kind) {
      case "rest":
        return false;
      case "wait": {
        const delayMs = Math.max(0, next.untilMs - this.#now());
        this.#timer?.cancel();
        this.#timer = this.#parts.clock.after(Math.min(delayMs, TIMER_MS_MAX), () => this.poke());
        return false;
      }
      case "record":
        await this.#inTurn(async () => {
          // An operator's word may have come first.
          const now = nextOf(this.#saga, this.#now());
          if (now.kind === "record") await this.#record(now.fact);
        });
        return true;
      case "call":
        await this.#parts.places.within(() => this.#perform());
        return true;
    }
  }

  async #perform(): Promise<void> {
    if (this.#stopped) return;
    const begun = await this.#inTurn(() => this.#begin());
    if (begun === null) return;
    const { next, call } = begun;
    const controller = new AbortController();
    this.#call = controller;
    let outcome: CallOutcome;
    try {
      outcome = await this.#parts.perform(call, controller.signal);
    } finally {
      this.#call = null;
    }
    // A call that was given up at the daemon's end is asked again by the next one.
    if (this.#stopped && controller.signal.aborted) return;
    await this.#inTurn(async () => {
      if (this.#awaits(next)) await this.#record(this.#resultOf(next, outcome));
    });
  }

  /** Records that the call begins; null where there is none to make any more. */
  async #begin(): Promise<{ readonly next: NextCall; readonly call: StepCall } | null> {
    const next = nextOf(this.#saga, this.#now());
    if (next.kind !== "call") return null;
    const { definition } = next.step;
    const key = idempotencyKeyOf(definition, this.id);
    if (next.fresh && next.what === "compensation") {
      await this.#record({
        type: "compensation_started",
        step_id: definition.step_id,
        attempt: next.attempt,
        data: { idempotency_key: compensationKey(key) },
      });
    } else if (next.fresh && !await this.#beginAction(next, key)) {
      return null;
    }
    return { next, call: this.#callOf(next, key) };
  }

  /** The input is made once, with the first attempt. */
  async #beginAction({ step, attempt }: NextCall, key: string): Promise<boolean> {
    const { step_id } = step.definition;
    try {
      const input = step.attempts > 0
        ? step.input
        : await inputFor(this.#saga, step.definition.input);
      const data = { idempotency_key: key, input };
      await this.#record({ type: "step_started", step_id, attempt, data });
      return true;
    } catch (error) {
      if (!(error instanceof InputUnmade)) throw error;
      const data = { error: error.message, outcome: "refused", retry_at: null } as const;
      await this.#record({ type: "step_failed", step_id, attempt, data });
      return false;
    }
  }

  #callOf({ what, attempt, step }: NextCall, key: string): StepCall {
    const { definition, input, output } = stepOf(this.#saga, step.definition.step_id);
    const service = this.#saga.definition.services[definition.service_name];
    const action = what === "action" ? definition.action : definition.compensation_action;
    invariant(service !== undefined && action !== null, `step ${definition.step_id} has no call`);
    const body = {
      saga_id: this.id,
      step_id: definition.step_id,
      tenant_id: this.#saga.tenantId,
      attempt,
      idempotency_key: what === "action" ? key : compensationKey(key),
      fencing_token: this.#parts.store.fencingToken,
      input,
      ...(what === "action" ? {} : { output }),
    };
    const { timeout_ms } = definition;
    const leftMs = deadlineOf(this.#saga) - this.#now();
    return { service, what, action, timeoutMs: Math.max(1, Math.min(timeout_ms, leftMs)), body };
  }

  #awaits({ what, attempt, step }: NextCall): boolean {
    const now = stepOf(this.#saga, step.definition.step_id);
    const direction = what === "action" ? "forward" : "back";
    const attempts = what === "action" ? now.attempts : now.compensations;
    return this.#saga.direction === direction && now.call.kind === "open" && attempts === attempt;
  }

  #resultOf({ what, attempt, step }: NextCall, outcome: CallOutcome): SagaFact {
    const { step_id } = step.definition;
    if (outcome.kind === "done") {
      const data = { output: outcome.output };
      const type = what === "action" ? "step_completed" : "compensation_completed";
      return { type, step_id, attempt, data };
    }
    const data = failureOf(
      what,
      stepOf(this.#saga, step_id),
      { error: outcome.error, outcome: outcome.kind },
      this.#now(),
      this.#parts.random.uniform(),
    );
    if (what === "compensation") return { type: "compensation_failed", step_id, attempt, data };
    const timedOut = outcome.kind === "unknown" && outcome.timedOut;
    return { type: timedOut ? "step_timed_out" : "step_failed", step_id, attempt, data };
  }

  async #record(fact: SagaFact): Promise<void> {
    const at = new Date(this.#now()).toISOString();
    const sequence = this.#saga.sequence + 1;
    const event: SagaEvent = { ...fact, saga_id: this.id, sequence, at };
    const after = applyEvent(this.#saga, event);
    const { state, condition } = after;
    await this.#parts.store.append(this.id, { sequence, at, fact }, { state, condition });
    this.#saga = after;
    this.#lastEventMs = this.#parts.clock.monotonic();
    this.#parts.recorded(after, event);
  }

  #now(): number {
    const { clock } = this.#parts;
    const sinceMs = clock.monotonic() - this.#lastEventMs;
    return Math.max(clock.now(), Math.round(Date.parse(this.#saga.updatedAt) + sinceMs));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }
}
