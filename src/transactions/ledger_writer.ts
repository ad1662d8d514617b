/**
 * The ledger as the rest of this room sees it. The ledger is an index of the log: when it
 * cannot be written (a full disk), commits go on, the entries wait here and go in with the
 * next, and no checkpoint passes them meanwhile.
 *
 * W1. What was recorded is found, whether it waits or is written: a key whose entry waits is
 *     not free, or a repeated request would commit twice.
 */
import { getLogger } from "@logtape/logtape";
import { messageOf } from "../core/errors.ts";
import type { IdempotencyEntry } from "../core/log_record.ts";
import type { TransactionId } from "../core/ids.ts";
import type { TransactionDocument } from "../core/transaction_document.ts";
import type { Ledger, LedgerEntry, LedgerFilter } from "../ledger/ledger.ts";
import { MemoryLedger } from "../ledger/memory_ledger.ts";

const logger = getLogger(["layerd", "transactions"]);

export class LedgerWriter implements Ledger {
  readonly #ledger: Ledger;
  #backlog: LedgerEntry[] = [];
  /** The backlog again, to be asked. */
  #waiting = new MemoryLedger();

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  /** Never fails: what cannot be written waits. */
  record(entries: readonly LedgerEntry[]): void {
    this.#backlog.push(...entries);
    try {
      this.flush();
    } catch (error) {
      this.#waiting.record(entries);
      logger.error("Ledger cannot be written, {count} entries wait: {error}", {
        count: this.#backlog.length,
        error: messageOf(error),
      });
    }
  }

  /** Writes what waits; throws when the ledger still refuses. */
  flush(): void {
    if (this.#backlog.length === 0) return;
    this.#ledger.record(this.#backlog);
    this.#backlog = [];
    this.#waiting = new MemoryLedger();
  }

  get(id: TransactionId): TransactionDocument | null {
    return this.#waiting.get(id) ?? this.#ledger.get(id);
  }

  list(filter: LedgerFilter, limit: number, before: TransactionId | null): TransactionDocument[] {
    const waiting = this.#waiting.list(filter, limit, before);
    const written = this.#ledger.list(filter, limit, before)
      .filter((one) => !waiting.some((other) => other.id === one.id));
    return [...waiting, ...written].sort((one, other) => one.id < other.id ? 1 : -1)
      .slice(0, limit);
  }

  idempotent(route: string, key: string, since: string): IdempotencyEntry | null {
    return this.#waiting.idempotent(route, key, since) ??
      this.#ledger.idempotent(route, key, since);
  }

  forgetKeysBefore(since: string): void {
    this.#ledger.forgetKeysBefore(since);
  }

  async makeDurable(): Promise<void> {
    this.flush();
    await this.#ledger.makeDurable();
  }

  close(): void {
    this.#ledger.close();
  }
}
