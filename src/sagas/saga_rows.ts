/** What both event stores keep of an event, and how it is read back. */
import { LayerdError } from "../core/errors.ts";
import { parseSagaId, quote, type SagaId } from "../core/ids.ts";
import type { SagaDefinition, VersionedDefinition } from "../core/saga_definition.ts";
import type { SagaEvent, SagaFact } from "../core/saga_event.ts";
import { type ClaimedSaga, type SagaFilter, SagaMovedOn } from "./saga_store.ts";

/** States in which a saga goes on; a constant of SQL as much as of the program. */
export const OPEN_STATES = "('not_started', 'in_progress', 'compensating')";

/** The column `fact`: everything but the event's place. */
export function factText(fact: SagaFact): string {
  return JSON.stringify(fact);
}

/** A row of either client library. */
type Row = Readonly<Record<string, unknown>>;

/** Of `sequence, at, fact`. */
export function eventOf(id: SagaId, row: Row): SagaEvent {
  const fact = JSON.parse(String(row["fact"])) as SagaFact;
  return { ...fact, saga_id: id, sequence: Number(row["sequence"]), at: String(row["at"]) };
}

/** Of `version, document`. */
export function definitionOf(name: string, row: Row): VersionedDefinition {
  return versioned(name, Number(row["version"]), String(row["document"]));
}

/**
 * Throws SagaMovedOn unless the saga's place (`sequence, owner`) is right before the event and
 * its owner this one.
 */
export function requirePlace(
  id: SagaId,
  place: Row | undefined,
  expected: { readonly owner: number; readonly sequence: number },
): void {
  if (Number(place?.["owner"]) !== expected.owner) throw new SagaMovedOn(id, "owner");
  if (Number(place?.["sequence"]) !== expected.sequence - 1) throw new SagaMovedOn(id, "sequence");
}

/**
 * Conditions of a list, and their values in that order.
 * @param parameter how the library writes the value at a place, from 1
 */
export function conditionsOf(
  filter: SagaFilter,
  before: SagaId | null,
  parameter: (place: number) => string,
): { readonly where: string; readonly values: string[] } {
  const given: readonly (readonly [column: string, value: string | null | undefined])[] = [
    ["state =", filter.state],
    ["condition =", filter.condition],
    ["definition =", filter.definition],
    ["tenant_id =", filter.tenantId],
    ["created_at >=", filter.createdAfter],
    ["created_at <", filter.createdBefore],
    ["id <", before],
  ];
  const where: string[] = ["1 = 1"];
  const values: string[] = [];
  for (const [column, value] of given) {
    if (value === undefined || value === null) continue;
    values.push(value);
    where.push(`${column} ${parameter(values.length)}`);
  }
  return { where: where.join(" AND "), values };
}

export function versioned(name: string, version: number, text: string): VersionedDefinition {
  return { name, version, ...JSON.parse(text) as SagaDefinition };
}

export function claimed(row: Row): ClaimedSaga {
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
