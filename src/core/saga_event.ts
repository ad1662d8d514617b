/** Events of sagas: what is stored, in order, and decides (API section 6, E). */
import type { Json } from "./structured_value.ts";

export const SAGA_EVENT_TYPES = [
  "saga_requested",
  "step_started",
  "step_completed",
  "step_failed",
  "step_timed_out",
  "compensation_started",
  "compensation_completed",
  "compensation_failed",
  "step_skipped",
  "saga_paused",
  "saga_resumed",
  "saga_needs_operator",
  "saga_cancelled",
  "saga_completed",
  "saga_compensated",
  "saga_failed",
] as const;

export type SagaEventType = typeof SAGA_EVENT_TYPES[number];

/** Why a call did not succeed. */
export interface CallFailure {
  /** What a person reads. */
  readonly error: string;
  /** `refused`: the service did nothing. `unknown`: it may have done the work. */
  readonly outcome: "refused" | "unknown";
  /** When it is called again, RFC 3339; null where it is not. */
  readonly retry_at: string | null;
}

/** Who stopped a saga's way forward. */
export type StoppedBy = "cancel" | "compensate" | "deadline";

/** The event as the engine makes it; where it stands is added by {@link SagaEvent}. */
export type SagaFact =
  | {
    readonly type: "saga_requested";
    readonly data: {
      readonly definition: string;
      readonly definition_version: number;
      readonly input: Json;
      readonly tenant_id: string | null;
    };
  }
  | OfCall<"step_started", { readonly idempotency_key: string; readonly input: Json }>
  | OfCall<"step_completed", { readonly output: Json }>
  | OfCall<"step_failed", CallFailure>
  | OfCall<"step_timed_out", CallFailure>
  | OfCall<"compensation_started", { readonly idempotency_key: string }>
  | OfCall<"compensation_completed", { readonly output: Json }>
  | OfCall<"compensation_failed", CallFailure>
  | {
    readonly type: "step_skipped";
    readonly step_id: string;
    readonly data: { readonly reason: string | null };
  }
  | { readonly type: "saga_paused"; readonly data: { readonly reason: string | null } }
  | {
    readonly type: "saga_resumed";
    readonly data: { readonly verb: "resume" | "retry"; readonly reason: string | null };
  }
  | {
    readonly type: "saga_needs_operator";
    readonly step_id: string;
    readonly data: { readonly error: string };
  }
  | {
    readonly type: "saga_cancelled";
    readonly data: { readonly verb: StoppedBy; readonly reason: string | null };
  }
  | { readonly type: "saga_completed"; readonly data: { readonly output: Json } }
  | { readonly type: "saga_compensated"; readonly data: Record<string, never> }
  | { readonly type: "saga_failed"; readonly data: { readonly left: readonly string[] } };

interface OfCall<T extends SagaEventType, D> {
  readonly type: T;
  readonly step_id: string;
  /** Counts from 1, on over an operator's retry. */
  readonly attempt: number;
  readonly data: D;
}

/** A fact in its place: sequences of a saga count from 1 without a gap. */
export type SagaEvent = SagaFact & {
  readonly saga_id: string;
  readonly sequence: number;
  /** RFC 3339, milliseconds. */
  readonly at: string;
};

/** E of the wire contract. */
export interface SagaEventDocument {
  readonly saga_id: string;
  readonly sequence: number;
  readonly type: SagaEventType;
  readonly at: string;
  readonly step_id: string | null;
  readonly attempt: number | null;
  readonly data: Readonly<Record<string, unknown>>;
}

export function eventDocument(event: SagaEvent): SagaEventDocument {
  return {
    saga_id: event.saga_id,
    sequence: event.sequence,
    type: event.type,
    at: event.at,
    step_id: "step_id" in event ? event.step_id : null,
    attempt: "attempt" in event ? event.attempt : null,
    data: { ...event.data },
  };
}
