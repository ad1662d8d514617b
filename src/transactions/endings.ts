/**
 * Ends of unprepared transactions that wait to be logged. Nothing depends on such a record
 * (no commit record means rolled back); it lets the ledger be written again from the log. So
 * it rides with the next commit record instead of costing a force, and a record that nobody
 * forces is never left in the log's buffer, where a full disk would make its loss final.
 */
import type { LogRecord } from "../core/log_record.ts";
import type { TransactionDocument } from "../core/transaction_document.ts";

/** Beyond this the oldest go without a record: a crash then forgets that they were. */
const ENDINGS_MAX = 4_096;

export class Endings {
  #waiting: TransactionDocument[] = [];

  add(transaction: TransactionDocument): void {
    this.#waiting.push(transaction);
    if (this.#waiting.length > ENDINGS_MAX) this.#waiting.shift();
  }

  /** Records to append now; written() drops them once they are forced. */
  records(): LogRecord[] {
    return this.#waiting.map((transaction) => ({ kind: "rolled_back", transaction }));
  }

  written(records: readonly LogRecord[]): void {
    const done = new Set(
      records.flatMap((record) => record.kind === "rolled_back" ? [record.transaction] : []),
    );
    this.#waiting = this.#waiting.filter((transaction) => !done.has(transaction));
  }
}
