/** S of the wire contract. */
import { currentStep, toCompensate } from "./saga_next.ts";
import type { SagaProblem, SagaState, SagaStepState } from "./saga.ts";
import type { Json } from "./structured_value.ts";

export interface SagaStepDocument {
  readonly step_id: string;
  readonly state: SagaStepState["state"];
  readonly attempts: number;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  readonly output: Json;
  readonly error: string | null;
}

export interface SagaDocument {
  readonly id: string;
  readonly definition: string;
  readonly definition_version: number;
  readonly state: SagaState["state"];
  readonly condition: SagaState["condition"];
  readonly tenant_id: string | null;
  readonly input: Json;
  readonly output: Json;
  readonly current_step: string | null;
  readonly steps: readonly SagaStepDocument[];
  readonly created_at: string;
  readonly updated_at: string;
  /** From the request to the end, or until now. */
  readonly execution_time_ms: number;
  readonly problem: SagaProblem | null;
}

export function sagaDocument(saga: SagaState, nowMs: number): SagaDocument {
  const endedMs = saga.finishedAt === null ? nowMs : Date.parse(saga.finishedAt);
  return {
    id: saga.id,
    definition: saga.definition.name,
    definition_version: saga.definition.version,
    state: saga.state,
    condition: saga.condition,
    tenant_id: saga.tenantId,
    input: saga.input,
    output: saga.output,
    current_step: stepUnderWay(saga),
    steps: saga.steps.map((step) => ({
      step_id: step.definition.step_id,
      state: step.state,
      attempts: step.attempts,
      started_at: step.startedAt,
      finished_at: step.finishedAt,
      output: step.output,
      error: step.error,
    })),
    created_at: saga.createdAt,
    updated_at: saga.updatedAt,
    execution_time_ms: Math.max(0, endedMs - Date.parse(saga.createdAt)),
    problem: saga.problem,
  };
}

function stepUnderWay(saga: SagaState): string | null {
  if (saga.finishedAt !== null) return null;
  const step = saga.direction === "forward" ? currentStep(saga) : toCompensate(saga)[0] ?? null;
  return step?.definition.step_id ?? null;
}

/** One line of what a compensation would do now. */
export interface CompensationDocument {
  readonly step_id: string;
  readonly service_name: string;
  readonly compensation_action: string | null;
  /** `compensate`: it would be called. `keep`: it has an effect that nothing undoes. */
  readonly plan: "compensate" | "keep";
}

/** What a compensation from here would do, in that order; nothing is done. */
export function compensationPlan(saga: SagaState): CompensationDocument[] {
  const assumed = saga.steps.map((step) => ({
    ...step,
    mayHaveEffect: step.mayHaveEffect || step.call.kind === "open",
  }));
  const compensated = toCompensate({ ...saga, steps: assumed });
  const kept = assumed.filter((step) =>
    step.definition.kind !== "compensatable" && step.mayHaveEffect
  );
  const line = ({ definition }: SagaStepState, plan: CompensationDocument["plan"]) => ({
    step_id: definition.step_id,
    service_name: definition.service_name,
    compensation_action: definition.compensation_action,
    plan,
  });
  return [
    ...compensated.map((step) => line(step, "compensate")),
    ...kept.map((step) => line(step, "keep")),
  ];
}
