/**
 * The ledger: an index of finished transactions. Everything in it can be written again
 * from the log; it is never the only home of a fact before a checkpoint made it durable.
 */
import type { IdempotencyEntry } from "../core/log_record.ts";
import type { Lsn, TransactionId } from "../core/ids.ts";
import type { TransactionDocument, TransactionState } from "../core/transaction_document.ts";

export interface LedgerEntry {
  /** Of the record that this row comes from; a row is only written over a lower one. */
  readonly lsn: Lsn;
  readonly transaction: TransactionDocument;
  readonly idempotency: IdempotencyEntry | null;
}

export interface LedgerFilter {
  readonly state?: TransactionState;
  readonly repository?: string;
  /** Layer name, or a full ref. */
  readonly layer?: string;
  readonly tenantId?: string;
}

export interface Ledger {
  /** Writes all entries in one transaction of the store. */
  record(entries: readonly LedgerEntry[]): void;
  get(id: TransactionId): TransactionDocument | null;
  /** Newest first by id, ids below `before` only. */
  list(filter: LedgerFilter, limit: number, before: TransactionId | null): TransactionDocument[];
  /** The entry of a key that was created at or after `since` (RFC 3339). */
  idempotent(route: string, key: string, since: string): IdempotencyEntry | null;
  /** Forgets keys created before `since`, but for those of `KEPT_ROUTES`. */
  forgetKeysBefore(since: string): void;
  /** Makes everything recorded so far durable (for a checkpoint). */
  makeDurable(): Promise<void>;
  close(): void;
}
