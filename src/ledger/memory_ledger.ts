/** The ledger's twin in memory, for simulation. Same conformance suite as the SQLite one. */
import { KEPT_ROUTES } from "../core/idempotency_life.ts";
import type { IdempotencyEntry } from "../core/log_record.ts";
import type { TransactionId } from "../core/ids.ts";
import type { TransactionDocument } from "../core/transaction_document.ts";
import type { Ledger, LedgerEntry, LedgerFilter } from "./ledger.ts";
import { layerKey, touchedRefs } from "./touched.ts";

export class MemoryLedger implements Ledger {
  readonly #rows = new Map<string, LedgerEntry>();
  readonly #keys = new Map<string, IdempotencyEntry>();

  record(entries: readonly LedgerEntry[]): void {
    for (const entry of entries) {
      const known = this.#rows.get(entry.transaction.id);
      if (known && known.lsn >= entry.lsn) continue;
      if (known?.idempotency) this.#forgetKeyOf(known.idempotency);
      this.#rows.set(entry.transaction.id, structuredClone(entry));
      if (entry.idempotency) this.#remember(entry.idempotency);
    }
  }

  #remember(key: IdempotencyEntry): void {
    const known = this.#keys.get(nameOf(key));
    // A rebuilt ledger may meet a key's older transaction after its younger one.
    if (!known || known.createdAt <= key.createdAt) this.#keys.set(nameOf(key), key);
  }

  #forgetKeyOf(key: IdempotencyEntry): void {
    const known = this.#keys.get(nameOf(key));
    if (known?.transactionId === key.transactionId) this.#keys.delete(nameOf(key));
  }

  get(id: TransactionId): TransactionDocument | null {
    return this.#rows.get(id)?.transaction ?? null;
  }

  list(filter: LedgerFilter, limit: number, before: TransactionId | null): TransactionDocument[] {
    return [...this.#rows.values()].map((row) => row.transaction)
      .filter((transaction) => before === null || transaction.id < before)
      .filter((transaction) => matches(transaction, filter))
      .sort((one, other) => one.id < other.id ? 1 : -1)
      .slice(0, limit);
  }

  idempotent(route: string, key: string, since: string): IdempotencyEntry | null {
    const entry = this.#keys.get(nameOf({ route, key }));
    return entry && entry.createdAt >= since ? entry : null;
  }

  forgetKeysBefore(since: string): void {
    for (const [name, { route, createdAt }] of this.#keys) {
      if (createdAt < since && !KEPT_ROUTES.includes(route)) this.#keys.delete(name);
    }
  }

  makeDurable(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {}
}

function nameOf({ route, key }: Pick<IdempotencyEntry, "route" | "key">): string {
  return `${route}\n${key}`;
}

function matches(transaction: TransactionDocument, filter: LedgerFilter): boolean {
  if (filter.state !== undefined && transaction.state !== filter.state) return false;
  if (filter.tenantId !== undefined && transaction.tenant_id !== filter.tenantId) return false;
  if (filter.repository === undefined && filter.layer === undefined) return true;
  const layer = filter.layer === undefined ? undefined : layerKey(filter.layer);
  return touchedRefs(transaction).some((touched) =>
    (filter.repository === undefined || touched.repository === filter.repository) &&
    (layer === undefined || touched.layer === layer)
  );
}
