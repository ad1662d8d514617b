/** The ledger's twin in memory, for simulation. Same conformance suite as the SQLite one. */
import type { IdempotencyEntry } from "../core/log_record.ts";
import type { TransactionId } from "../core/ids.ts";
import type { TransactionDocument } from "../core/transaction_document.ts";
import type { Ledger, LedgerEntry, LedgerFilter } from "./ledger.ts";
import { touchedRefs } from "./touched.ts";

export class MemoryLedger implements Ledger {
  readonly #rows = new Map<string, LedgerEntry>();
  readonly #keys = new Map<string, IdempotencyEntry>();

  record(entries: readonly LedgerEntry[]): void {
    for (const entry of entries) {
      const known = this.#rows.get(entry.transaction.id);
      if (known && known.lsn >= entry.lsn) continue;
      this.#rows.set(entry.transaction.id, structuredClone(entry));
      const key = entry.idempotency;
      if (key) this.#keys.set(`${key.route}\n${key.key}`, key);
    }
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
    const entry = this.#keys.get(`${route}\n${key}`);
    return entry && entry.createdAt >= since ? entry : null;
  }

  forgetKeysBefore(since: string): void {
    for (const [name, entry] of this.#keys) if (entry.createdAt < since) this.#keys.delete(name);
  }

  makeDurable(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {}
}

/** Whether a document passes a filter; live transactions are filtered by it as well. */
export function matches(transaction: TransactionDocument, filter: LedgerFilter): boolean {
  if (filter.state !== undefined && transaction.state !== filter.state) return false;
  if (filter.tenantId !== undefined && transaction.tenant_id !== filter.tenantId) return false;
  if (filter.repository === undefined && filter.layer === undefined) return true;
  return touchedRefs(transaction).some((touched) =>
    (filter.repository === undefined || touched.repository === filter.repository) &&
    (filter.layer === undefined || touched.layer === filter.layer)
  );
}
