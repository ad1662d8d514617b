/**
 * Where sagas are kept: definitions, and events, which are all that a saga is.
 *
 * T1. append() adds exactly the event after the expected sequence, and only for the owner. It is
 *     durable when it resolves, and nothing of it is there when it rejects with SagaMovedOn.
 * T2. A saga has one owner. Whoever takes one over does so under a higher fencing token, and
 *     from then on every append of the owner before is refused.
 * T3. One idempotency key starts one saga, for as long as the saga is kept.
 * T4. A definition is never changed: another text under the same name is a new version.
 */
import type { SagaId } from "../core/ids.ts";
import type { SagaDefinition, VersionedDefinition } from "../core/saga_definition.ts";
import type { SagaEvent, SagaFact } from "../core/saga_event.ts";
import type { SagaCondition, SagaStateName } from "../core/saga.ts";

export interface StartedSaga {
  readonly id: SagaId;
  readonly at: string;
  readonly fact: Extract<SagaFact, { readonly type: "saga_requested" }>;
  readonly key: { readonly key: string; readonly requestHash: string } | null;
}

export interface SagaFilter {
  readonly state?: SagaStateName;
  readonly condition?: SagaCondition;
  readonly definition?: string;
  readonly tenantId?: string;
  /** RFC 3339, milliseconds; inclusive. */
  readonly createdAfter?: string;
  /** Exclusive. */
  readonly createdBefore?: string;
}

/** What lists look for; it follows from the events. */
export interface SagaSummary {
  readonly state: SagaStateName;
  readonly condition: SagaCondition | null;
}

/** An open saga of this owner. */
export interface ClaimedSaga {
  readonly id: SagaId;
  /** Of its last event. */
  readonly sequence: number;
}

/** Another one has appended: this owner knows too little, or owns the saga no more. */
export class SagaMovedOn extends Error {
  override readonly name = "SagaMovedOn";
  constructor(readonly id: SagaId, readonly why: "sequence" | "owner") {
    super(`Saga ${id} was ${why === "owner" ? "taken over" : "continued"} by somebody else`);
  }
}

export interface SagaStore {
  /** Of this opening of the store; rises with each. */
  readonly fencingToken: number;
  /** How long others leave this one's sagas alone without renew(), or null: it is alone. */
  readonly leaseMs: number | null;
  saveDefinition(name: string, definition: SagaDefinition): Promise<VersionedDefinition>;
  /** The version, or the newest one where it is null; null where there is none. */
  definition(name: string, version: number | null): Promise<VersionedDefinition | null>;
  definitions(): Promise<VersionedDefinition[]>;
  /** Answers the saga that the key started first. `idempotency_key_reused` for another request. */
  start(saga: StartedSaga): Promise<{ readonly id: SagaId; readonly repeated: boolean }>;
  append(
    id: SagaId,
    event: { readonly sequence: number; readonly at: string; readonly fact: SagaFact },
    summary: SagaSummary,
  ): Promise<void>;
  /** In order; none where there is no such saga. */
  events(id: SagaId): Promise<SagaEvent[]>;
  /** Newest first, ids below `before` only. */
  list(filter: SagaFilter, limit: number, before: SagaId | null): Promise<SagaId[]>;
  /** How many stand so. */
  count(filter: SagaFilter): Promise<number>;
  /** Takes over the open sagas whose owner is gone; answers all open ones that are its own now. */
  claim(): Promise<ClaimedSaga[]>;
  /** A sign of life, wanted well within `leaseMs`. Whoever comes late is stopped by T2. */
  renew(): Promise<void>;
  close(): Promise<void>;
}
