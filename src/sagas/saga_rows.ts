/** What both event stores keep of an event, and how it is read back. */
import { LayerdError } from "../core/errors.ts";
import { parseSagaId, quote, type SagaId } from "../core/ids.ts";
import type { SagaDefinition, VersionedDefinition } from "../core/saga_definition.ts";
import type { SagaEvent, SagaFact } from "../core/saga_event.ts";
import type { ClaimedSaga } from "./saga_store.ts";

/** States in which a saga goes on; a constant of SQL as much as of the program. */
export const OPEN_STATES = "('not_started', 'in_progress', 'compensating')";

/** The column `fact`: everything but the event's place. */
export function factText(fact: SagaFact): string {
  return JSON.stringify(fact);
}

export function eventOf(id: SagaId, sequence: number, at: string, fact: string): SagaEvent {
  return { ...JSON.parse(fact) as SagaFact, saga_id: id, sequence, at };
}

export function versioned(name: string, version: number, text: string): VersionedDefinition {
  return { name, version, ...JSON.parse(text) as SagaDefinition };
}

export function claimed(row: Readonly<Record<string, unknown>>): ClaimedSaga {
  return { id: parseSagaId(String(row["id"])), sequence: Number(row["sequence"]) };
}

/** Throws `idempotency_key_reused` unless the request is the key's first one again. */
export function requireSameRequest(
  key: { readonly key: string; readonly requestHash: string },
  knownHash: string,
): void {
  if (knownHash === key.requestHash) return;
  throw new LayerdError(
    "idempotency_key_reused",
    `Idempotency key ${quote(key.key)} started a saga with another request before`,
  );
}
