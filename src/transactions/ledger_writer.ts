/**
 * Writes finished transactions to the ledger on the commit path. The ledger is an index of
 * the log: when it cannot be written (a full disk), commits go on, the entries wait here and
 * go in with the next, and no checkpoint passes them meanwhile.
 */
import { getLogger } from "@logtape/logtape";
import { messageOf } from "../core/errors.ts";
import type { Ledger, LedgerEntry } from "../ledger/ledger.ts";

const logger = getLogger(["layerd", "transactions"]);

export class LedgerWriter {
  readonly #ledger: Ledger;
  #backlog: LedgerEntry[] = [];

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
  }

  record(entries: readonly LedgerEntry[]): void {
    this.#backlog.push(...entries);
    try {
      this.flush();
    } catch (error) {
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
  }
}
