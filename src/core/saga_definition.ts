/**
 * What a saga is made of, and the rules that a definition keeps beyond its shape.
 *
 * G1. Order: compensatable steps, then at most one pivot, then retriable steps. Before the
 *     pivot is through everything can be undone; after it nothing has to be.
 * G2. Only a compensatable step has a compensation.
 * G3. Step ids and idempotency keys are unique, and every key carries the saga's id, so that no
 *     two calls of different sagas or steps share one.
 */
import { type ErrorCode, LayerdError } from "./errors.ts";
import { quote } from "./ids.ts";
import type { Json } from "./structured_value.ts";

export type ServiceDefinition =
  | { readonly kind: "http"; readonly base_url: string }
  /** Transactions of this daemon. */
  | { readonly kind: "layer" }
  /** An absolute path that the daemon was allowed to run. */
  | { readonly kind: "command"; readonly program: string };

export type StepKind = "compensatable" | "pivot" | "retriable";

export interface StepDefinition {
  readonly step_id: string;
  readonly service_name: string;
  readonly action: string;
  readonly compensation_action: string | null;
  readonly kind: StepKind;
  /** Of one call. */
  readonly timeout_ms: number;
  /** Calls after the first. */
  readonly retry_count: number;
  readonly backoff_ms: number;
  readonly backoff_max_ms: number;
  /** With `{saga_id}` and `{step_id}` to be filled in. */
  readonly idempotency_key: string;
  /** `{"$": "<expression>"}` anywhere in it is replaced by the expression's value. */
  readonly input: Json;
}

/** A definition as a client puts it. */
export interface SagaDefinition {
  readonly services: Readonly<Record<string, ServiceDefinition>>;
  readonly steps: readonly StepDefinition[];
  /** From the start; before the pivot a saga that is not through by then is compensated. */
  readonly deadline_ms?: number;
}

/** A definition as it is kept. */
export interface VersionedDefinition extends SagaDefinition {
  readonly name: string;
  /** Counts from 1; a changed definition is a new version. */
  readonly version: number;
}

/** The compensation of a layer step. */
export const LAYER_COMPENSATION = "undo";

/** The key of a step's calls; its compensation's is {@link compensationKey}. */
export function idempotencyKeyOf(step: StepDefinition, sagaId: string): string {
  return step.idempotency_key.replaceAll("{saga_id}", sagaId).replaceAll("{step_id}", step.step_id);
}

const COMPENSATION_SUFFIX = "_comp";

export function compensationKey(key: string): string {
  return key + COMPENSATION_SUFFIX;
}

/** The step's key, of its compensation's. */
export function actionKey(compensation: string): string {
  return compensation.slice(0, -COMPENSATION_SUFFIX.length);
}

/** Throws `invalid_request` where the definition breaks G1 to G3, naming the field. */
export function checkDefinition(definition: SagaDefinition): void {
  const ids = new Set<string>();
  const keys = new Set<string>();
  let reached: StepKind = "compensatable";
  definition.steps.forEach((step, index) => {
    const at = `steps[${index}]`;
    if (ids.has(step.step_id)) throw wrong(`${at}.step_id`, `${quote(step.step_id)} is used twice`);
    ids.add(step.step_id);
    requireKey(step, `${at}.idempotency_key`, keys);
    requireService(definition, step, at);
    reached = requireOrder(reached, step.kind, `${at}.kind`);
    if (step.kind !== "compensatable" && step.compensation_action !== null) {
      throw wrong(
        `${at}.compensation_action`,
        `must be null: a ${step.kind} step is never undone (kind compensatable is)`,
      );
    }
    if (step.backoff_max_ms < step.backoff_ms) {
      throw wrong(`${at}.backoff_max_ms`, `must be at least backoff_ms (${step.backoff_ms})`);
    }
  });
}

function requireKey(step: StepDefinition, field: string, keys: Set<string>): void {
  if (!step.idempotency_key.includes("{saga_id}")) {
    throw wrong(field, "must contain {saga_id}, or two sagas would share a key");
  }
  const key = idempotencyKeyOf(step, "{saga_id}");
  if (keys.has(key)) throw wrong(field, `is the key of another step too: ${quote(key)}`);
  keys.add(key);
}

function requireService(definition: SagaDefinition, step: StepDefinition, at: string): void {
  const service = Object.hasOwn(definition.services, step.service_name)
    ? definition.services[step.service_name]
    : undefined;
  if (service === undefined) {
    throw wrong(`${at}.service_name`, `names no service of the definition: ${step.service_name}`);
  }
  const undo = step.compensation_action;
  if (service.kind === "layer" && undo !== null && undo !== LAYER_COMPENSATION) {
    throw wrong(`${at}.compensation_action`, `of a layer step is "${LAYER_COMPENSATION}" or null`);
  }
}

const PLACES: readonly StepKind[] = ["compensatable", "pivot", "retriable"];

function requireOrder(reached: StepKind, kind: StepKind, field: string): StepKind {
  if (PLACES.indexOf(kind) < PLACES.indexOf(reached) || (kind === "pivot" && reached === "pivot")) {
    throw wrong(field, `is ${kind} after a ${reached} step; the order is ${PLACES.join(", ")}`);
  }
  return kind;
}

function wrong(field: string, text: string): LayerdError {
  const code: ErrorCode = "invalid_request";
  return new LayerdError(code, `Field ${field} ${text}`, { field });
}
