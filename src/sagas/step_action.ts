/** A call of a step's service, whatever its kind, and what came of it. */
import { messageOf } from "../core/errors.ts";
import { REQUEST_JSON_DEPTH_MAX } from "../core/limits.ts";
import type { ServiceDefinition } from "../core/saga_definition.ts";
import type { Json } from "../core/structured_value.ts";

export interface StepCall {
  readonly service: ServiceDefinition;
  readonly what: "action" | "compensation";
  /** Name of the action, or of the compensation. */
  readonly action: string;
  readonly timeoutMs: number;
  /** What the service is told (API section 6). */
  readonly body: StepCallBody;
}

export interface StepCallBody {
  readonly saga_id: string;
  readonly step_id: string;
  readonly tenant_id: string | null;
  readonly attempt: number;
  readonly idempotency_key: string;
  readonly fencing_token: number;
  readonly input: Json;
  /** Of a compensation: the step's output, or null where none is known. */
  readonly output?: Json;
}

export type CallOutcome =
  | { readonly kind: "done"; readonly output: Json }
  /** The service says that it did nothing and will not. */
  | { readonly kind: "refused"; readonly error: string }
  /** Nobody knows; ask again with the same key. */
  | { readonly kind: "unknown"; readonly error: string; readonly timedOut: boolean };

/**
 * Performs calls of one kind of service. Never rejects but for bugs. `signal`: nobody waits
 * for the outcome any more, so a call that can be given up is.
 */
export type StepAction = (call: StepCall, signal: AbortSignal) => Promise<CallOutcome>;

export function unknownOutcome(error: string): CallOutcome {
  return { kind: "unknown", error, timedOut: false };
}

/** What a service's words come to; `where` names them. Nesting without end cannot be recorded. */
export function outcomeOfText(text: string, where: string): CallOutcome {
  if (text.trim() === "") return { kind: "done", output: null };
  let output: Json;
  try {
    output = JSON.parse(text);
  } catch (error) {
    return unknownOutcome(`${where} is not JSON: ${messageOf(error)}`);
  }
  if (!isNestedDeeper(output, REQUEST_JSON_DEPTH_MAX)) return { kind: "done", output };
  return unknownOutcome(`${where} is nested deeper than ${REQUEST_JSON_DEPTH_MAX} levels`);
}

function isNestedDeeper(value: Json, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some((member) => isNestedDeeper(member, levels - 1));
}
