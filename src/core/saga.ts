/** What is known of a saga. Only saga_state.ts makes one: it follows from the events alone. */
import { invariant } from "./errors.ts";
import type { StepDefinition, VersionedDefinition } from "./saga_definition.ts";
import type { Json } from "./structured_value.ts";

export const SAGA_STATES = [
  "not_started",
  "in_progress",
  "completed",
  "failed",
  "compensating",
  "compensated",
] as const;

export type SagaStateName = typeof SAGA_STATES[number];
export type SagaCondition = "paused" | "needs_operator";

export const SAGA_STEP_STATES = [
  "pending",
  "running",
  "completed",
  "failed",
  "compensating",
  "compensated",
  "skipped",
] as const;

/** Where the calls of a step stand in the saga's present direction. */
export type CallState =
  | { readonly kind: "none" }
  | { readonly kind: "open" }
  | { readonly kind: "waiting"; readonly until: string }
  /** Its calls are used up, or it was refused. */
  | { readonly kind: "gave_up" };

export interface SagaStepState {
  readonly definition: StepDefinition;
  readonly state: typeof SAGA_STEP_STATES[number];
  readonly call: CallState;
  /** Calls of the action. */
  readonly attempts: number;
  /** Calls of the compensation. */
  readonly compensations: number;
  /** Calls in the present direction before the present budget. */
  readonly spent: number;
  readonly mayHaveEffect: boolean;
  /** An operator decided that its effect stays. */
  readonly left: boolean;
  /** As it was sent; the same in each attempt. */
  readonly input: Json;
  readonly output: Json;
  readonly error: string | null;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
}

export interface SagaState {
  readonly id: string;
  readonly definition: VersionedDefinition;
  readonly tenantId: string | null;
  readonly input: Json;
  readonly output: Json;
  readonly state: SagaStateName;
  readonly condition: SagaCondition | null;
  readonly direction: "forward" | "back";
  readonly steps: readonly SagaStepState[];
  readonly problem: SagaProblem | null;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly finishedAt: string | null;
  /** Of its last event. */
  readonly sequence: number;
}

/** Why a saga does not go on as it was meant to. */
export interface SagaProblem {
  readonly code: "step_failed" | "compensation_failed" | "cancelled" | "deadline_exceeded";
  readonly detail: string;
  readonly step_id: string | null;
}

/** Whether nothing more happens to it. */
export function isTerminal({ state }: { readonly state: SagaStateName }): boolean {
  return state === "completed" || state === "failed" || state === "compensated";
}

/** The step of that id. */
export function stepOf(saga: SagaState, stepId: string): SagaStepState {
  const step = saga.steps.find(({ definition }) => definition.step_id === stepId);
  invariant(step !== undefined, `saga ${saga.id} has no step ${stepId}`);
  return step;
}
