/**
 * A saga as its events tell it: {@link beginSaga} and {@link applyEvent} are the only makers.
 * What has to be done in a state is saga_next.ts's.
 *
 * S1. A state follows from the events alone: whoever reads the same events goes on the same way.
 * S2. A call without a result is open: its outcome is unknown, after a crash as after a
 *     cancellation, so the step may have an effect.
 * S3. A saga turns back at most once and never forward again.
 * S4. Attempts only ever rise. A budget of calls begins with the first, and with each retry that
 *     an operator asks for.
 * S5. A pause lasts until an operator ends it, whatever the call under way comes to.
 */
import { invariant } from "./errors.ts";
import {
  isTerminal,
  type SagaProblem,
  type SagaState,
  type SagaStepState,
  stepOf,
} from "./saga.ts";
import type { StepDefinition, VersionedDefinition } from "./saga_definition.ts";
import type { CallFailure, SagaEvent, StoppedBy } from "./saga_event.ts";

/** The saga of a `saga_requested`. */
export function beginSaga(event: SagaEvent, definition: VersionedDefinition): SagaState {
  invariant(event.type === "saga_requested" && event.sequence === 1, "a saga begins otherwise");
  return {
    id: event.saga_id,
    definition,
    tenantId: event.data.tenant_id,
    input: event.data.input,
    output: null,
    state: "not_started",
    condition: null,
    direction: "forward",
    steps: definition.steps.map(pending),
    problem: null,
    createdAt: event.at,
    updatedAt: event.at,
    finishedAt: null,
    sequence: 1,
  };
}

function pending(definition: StepDefinition): SagaStepState {
  return {
    definition,
    state: "pending",
    call: { kind: "none" },
    attempts: 0,
    compensations: 0,
    spent: 0,
    mayHaveEffect: false,
    left: false,
    input: null,
    output: null,
    error: null,
    startedAt: null,
    finishedAt: null,
  };
}

/** The saga after its next event. */
export function applyEvent(saga: SagaState, event: SagaEvent): SagaState {
  invariant(event.sequence === saga.sequence + 1, `events of saga ${saga.id} have a gap`);
  invariant(!isTerminal(saga), `saga ${saga.id} has ended and goes on`);
  return { ...change(saga, event), sequence: event.sequence, updatedAt: event.at };
}

function change(saga: SagaState, event: SagaEvent): SagaState {
  switch (event.type) {
    case "saga_requested":
      throw new Error(`BUG: saga ${saga.id} begins twice`);
    case "step_started":
    case "step_completed":
    case "step_failed":
    case "step_timed_out":
      return forward(saga, event);
    case "compensation_started":
    case "compensation_completed":
    case "compensation_failed":
      return back(saga, event);
    case "step_skipped":
      return skip(saga, event.step_id, event.at);
    case "saga_paused":
      return { ...saga, condition: "paused" };
    case "saga_resumed":
      return resume(saga, event.data.verb, event.at);
    case "saga_needs_operator":
      return { ...saga, condition: "needs_operator" };
    case "saga_cancelled":
      return turnBack({ ...saga, condition: null }, stopped(event.data.verb, event.data.reason));
    case "saga_completed":
      return { ...saga, state: "completed", output: event.data.output, finishedAt: event.at };
    case "saga_compensated":
      return { ...saga, state: "compensated", finishedAt: event.at };
    case "saga_failed":
      return { ...saga, state: "failed", finishedAt: event.at };
  }
}

type ForwardEvent = Extract<
  SagaEvent,
  { type: "step_started" | "step_completed" | "step_failed" | "step_timed_out" }
>;

function forward(saga: SagaState, event: ForwardEvent): SagaState {
  invariant(saga.direction === "forward", `${event.type} in a saga that turned back`);
  const step = stepOf(saga, event.step_id);
  const { attempt, at } = event;
  switch (event.type) {
    case "step_started":
      return {
        ...withStep(saga, {
          ...step,
          state: "running",
          call: { kind: "open" },
          attempts: attempt,
          input: event.data.input,
          startedAt: step.startedAt ?? at,
        }),
        state: "in_progress",
      };
    case "step_completed":
      return withStep(saga, {
        ...step,
        state: "completed",
        call: { kind: "none" },
        mayHaveEffect: true,
        output: event.data.output,
        error: null,
        finishedAt: at,
      });
    case "step_failed":
    case "step_timed_out": {
      const failed = afterFailure(step, event.data, at);
      const after = withStep(saga, failed);
      if (failed.call.kind !== "gave_up" || !turnsBack(failed, event.data)) return after;
      const detail = event.data.error;
      return turnBack(after, { code: "step_failed", detail, step_id: event.step_id });
    }
  }
}

function afterFailure(step: SagaStepState, failure: CallFailure, at: string): SagaStepState {
  const { error, outcome, retry_at } = failure;
  return {
    ...step,
    error,
    mayHaveEffect: step.mayHaveEffect || outcome === "unknown",
    ...(retry_at === null
      ? { state: "failed", call: { kind: "gave_up" }, finishedAt: at }
      : { call: { kind: "waiting", until: retry_at } }),
  };
}

/** A pivot of unknown outcome may be through, and what follows a pivot is only ever retried. */
function turnsBack(step: SagaStepState, { outcome }: CallFailure): boolean {
  const { kind } = step.definition;
  if (kind === "compensatable") return true;
  return kind === "pivot" && outcome === "refused" && !step.mayHaveEffect;
}

type BackEvent = Extract<
  SagaEvent,
  { type: "compensation_started" | "compensation_completed" | "compensation_failed" }
>;

function back(saga: SagaState, event: BackEvent): SagaState {
  invariant(saga.direction === "back", `${event.type} in a saga that goes forward`);
  const step = stepOf(saga, event.step_id);
  switch (event.type) {
    case "compensation_started":
      return withStep(saga, {
        ...step,
        state: "compensating",
        call: { kind: "open" },
        compensations: event.attempt,
      });
    case "compensation_completed":
      return withStep(saga, {
        ...step,
        state: "compensated",
        call: { kind: "none" },
        finishedAt: event.at,
      });
    case "compensation_failed": {
      const { error, retry_at } = event.data;
      return withStep(saga, {
        ...step,
        error,
        call: retry_at === null ? { kind: "gave_up" } : { kind: "waiting", until: retry_at },
      });
    }
  }
}

function stopped(verb: StoppedBy, reason: string | null): SagaProblem {
  if (verb === "deadline") {
    return { code: "deadline_exceeded", detail: "The saga's deadline has passed", step_id: null };
  }
  const what = verb === "cancel" ? "Cancelled" : "Compensation was asked for";
  const detail = reason === null ? what : `${what}: ${reason}`;
  return { code: "cancelled", detail, step_id: null };
}

function turnBack(saga: SagaState, problem: SagaProblem): SagaState {
  invariant(saga.direction === "forward", `saga ${saga.id} turns back twice`);
  return {
    ...saga,
    direction: "back",
    state: "compensating",
    problem,
    steps: saga.steps.map((step) => ({
      ...step,
      state: step.state === "running" ? "failed" : step.state,
      error: step.state === "running" ? step.error ?? "Stopped under way" : step.error,
      call: { kind: "none" },
      spent: 0,
      mayHaveEffect: step.mayHaveEffect || step.call.kind === "open",
    })),
  };
}

function skip(saga: SagaState, stepId: string, at: string): SagaState {
  const step = stepOf(saga, stepId);
  return {
    ...withStep(saga, {
      ...step,
      state: "skipped",
      call: { kind: "none" },
      left: saga.direction === "back",
      finishedAt: at,
    }),
    condition: null,
  };
}

function resume(saga: SagaState, verb: "resume" | "retry", at: string): SagaState {
  if (verb === "resume") return { ...saga, condition: null };
  const steps = saga.steps.map((step): SagaStepState => {
    if (step.call.kind !== "gave_up" && step.call.kind !== "waiting") return step;
    const forward = saga.direction === "forward";
    return {
      ...step,
      state: forward ? "running" : "compensating",
      call: { kind: "waiting", until: at },
      spent: forward ? step.attempts : step.compensations,
      finishedAt: null,
    };
  });
  return { ...saga, condition: null, steps };
}

function withStep(saga: SagaState, changed: SagaStepState): SagaState {
  const { step_id } = changed.definition;
  const steps = saga.steps.map((step) => step.definition.step_id === step_id ? changed : step);
  return { ...saga, steps };
}
