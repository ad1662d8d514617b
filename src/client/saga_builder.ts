/**
 * Definitions of sagas in TypeScript. Names of services are checked by the compiler, and the
 * order of the kinds of steps too: what follows a pivot is retriable.
 *
 *   saga()
 *     .service("models", { kind: "http", base_url: "http://127.0.0.1:8001" })
 *     .compensatable("reserve", { service_name: "models", action: "reserve",
 *       compensation_action: "release", input: { model: expression("input.model") } })
 *     .pivot("publish", { service_name: "models", action: "publish" })
 *     .retriable("tell", { service_name: "models", action: "tell" })
 *     .definition()
 */
import type { Json, SagaDefinitionBody, ServiceDefinition, StepBody } from "./saga_documents.ts";

export type * from "./saga_documents.ts";

/** `{"$": text}`: replaced by the value of a JSONata expression. */
export function expression(text: string): { readonly $: string } {
  return { $: text };
}

type Details<Service extends string> =
  & Omit<StepBody, "step_id" | "service_name" | "kind" | "compensation_action" | "input">
  & { readonly service_name: Service; readonly input?: Json };

/** Of a step that nothing undoes. */
type Lasting<Service extends string> = Details<Service> & { readonly compensation_action?: never };

/** Before the pivot. */
export interface SagaBuilder<Service extends string> {
  service<Name extends string>(
    name: Name,
    service: ServiceDefinition,
  ): SagaBuilder<Service | Name>;
  /** Undone by its compensation, or (null) with nothing to undo. */
  compensatable(
    stepId: string,
    step: Details<Service> & { readonly compensation_action: string | null },
  ): SagaBuilder<Service>;
  /** The step after which nothing is undone. */
  pivot(stepId: string, step: Lasting<Service>): SagaTail<Service>;
  /** Only ever repeated. */
  retriable(stepId: string, step: Lasting<Service>): SagaTail<Service>;
  /** Before the pivot, a saga that takes longer is compensated. */
  deadline(deadlineMs: number): SagaBuilder<Service>;
  definition(): SagaDefinitionBody;
}

/** After the pivot. */
export type SagaTail<Service extends string> = Pick<
  SagaBuilder<Service>,
  "retriable" | "definition"
>;

/** An empty definition. Every call answers a new one. */
export function saga(): SagaBuilder<never> {
  return builderOf({ services: {}, steps: [] });
}

function builderOf<Service extends string>(body: SagaDefinitionBody): SagaBuilder<Service> {
  const withStep = (step: StepBody): SagaBuilder<Service> =>
    builderOf({ ...body, steps: [...body.steps, step] });
  return {
    service: (name, service) =>
      builderOf({ ...body, services: { ...body.services, [name]: service } }),
    compensatable: (step_id, step) => withStep({ ...step, step_id, kind: "compensatable" }),
    pivot: (step_id, step) =>
      withStep({ ...step, step_id, kind: "pivot", compensation_action: null }),
    retriable: (step_id, step) =>
      withStep({ ...step, step_id, kind: "retriable", compensation_action: null }),
    deadline: (deadline_ms) => builderOf({ ...body, deadline_ms }),
    definition: () => body,
  };
}
