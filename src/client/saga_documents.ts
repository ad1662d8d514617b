/** Sagas on the wire (API section 6). */
import type { SagaDefinition, StepDefinition } from "../core/saga_definition.ts";

export type {
  CompensationDocument,
  SagaDocument,
  SagaStepDocument,
} from "../core/saga_document.ts";
export type { SagaEventDocument } from "../core/saga_event.ts";
export type { SagaVerb } from "../core/saga_next.ts";
export type { ServiceDefinition, StepKind, VersionedDefinition } from "../core/saga_definition.ts";
export type { Json } from "../core/structured_value.ts";

/** A step as it is put: what has a default in the daemon may be left out. */
export type StepBody =
  & Pick<StepDefinition, "step_id" | "service_name" | "action">
  & Partial<StepDefinition>;

/** A definition as it is put. */
export interface SagaDefinitionBody {
  readonly services: SagaDefinition["services"];
  readonly steps: readonly StepBody[];
  readonly deadline_ms?: number;
}

export interface SagaFilter {
  readonly state?: string;
  readonly condition?: "paused" | "needs_operator";
  readonly definition?: string;
  readonly tenant_id?: string;
  readonly created_after?: string;
  readonly created_before?: string;
  readonly limit?: number;
  readonly cursor?: string;
}
