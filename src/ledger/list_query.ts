/**
 * The SQL of a list. Every filter walks one index downwards from the newest id and stops at
 * the limit: the one that narrows most leads, the others are checked at each step.
 *
 *   layer                 touched (layer, id, repository)
 *   tenant, no layer      transactions (tenant_id, id, state)
 *   repository alone      touched (repository, id, state)
 *   state alone           transactions (state, id)
 *
 * A unary plus keeps SQLite, which knows nothing of how many rows a value has, from another.
 */
import type { SQLInputValue } from "node:sqlite";
import type { TransactionId } from "../core/ids.ts";
import type { LedgerFilter } from "./ledger.ts";
import { layerKey } from "./touched.ts";

export interface ListQuery {
  readonly sql: string;
  readonly values: readonly SQLInputValue[];
}

interface Condition {
  readonly sql: string;
  readonly value: SQLInputValue;
}

/** Documents that pass the filter, newest first, ids below `before` only. */
export function listQuery(
  filter: LedgerFilter,
  limit: number,
  before: TransactionId | null,
): ListQuery {
  const { layer, repository, tenantId } = filter;
  const byTouched = layer !== undefined || (repository !== undefined && tenantId === undefined);
  const conditions = byTouched ? touchedConditions(filter) : transactionConditions(filter);
  if (before !== null) conditions.push({ sql: "id < ?", value: before });
  const where = conditions.length === 0
    ? ""
    : `WHERE ${conditions.map((condition) => condition.sql).join(" AND ")}`;
  const values = [...conditions.map((condition) => condition.value), limit];
  const end = `${where} ORDER BY id DESC LIMIT ?`;
  if (!byTouched) return { sql: `SELECT document FROM transactions ${end}`, values };
  const ids = `SELECT DISTINCT id FROM touched ${end}`;
  const sql = `SELECT document FROM transactions WHERE id IN (${ids}) ORDER BY id DESC`;
  return { sql, values };
}

function touchedConditions({ layer, repository, state, tenantId }: LedgerFilter): Condition[] {
  const conditions: Condition[] = [];
  if (layer !== undefined) conditions.push({ sql: "layer = ?", value: layerKey(layer) });
  if (repository !== undefined) {
    const leads = layer === undefined;
    conditions.push({ sql: leads ? "repository = ?" : "+repository = ?", value: repository });
  }
  if (state !== undefined) conditions.push({ sql: "state = ?", value: state });
  if (tenantId !== undefined) {
    const sql = "(SELECT tenant_id FROM transactions WHERE id = touched.id) = ?";
    conditions.push({ sql, value: tenantId });
  }
  return conditions;
}

function transactionConditions({ repository, state, tenantId }: LedgerFilter): Condition[] {
  const conditions: Condition[] = [];
  if (tenantId !== undefined) conditions.push({ sql: "tenant_id = ?", value: tenantId });
  if (state !== undefined) {
    conditions.push({ sql: tenantId === undefined ? "state = ?" : "+state = ?", value: state });
  }
  if (repository !== undefined) {
    const sql = "EXISTS (SELECT 1 FROM touched WHERE id = transactions.id AND repository = ?)";
    conditions.push({ sql, value: repository });
  }
  return conditions;
}
