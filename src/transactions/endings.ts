/**
 * Ends of unprepared transactions, and acknowledgements of participants, that wait to be logged. Nothing depends on such a record
 * (no commit record means rolled back); it lets the ledger be written again from the log. So
 * it rides with the next commit record instead of costing a force, and a record that nobody
 * forces is never left in the log's buffer, where a full disk would make its loss final.
 */
import type { LogRecord } from "../core/log_record.ts";

/** Beyond this the oldest go without a record: a crash then forgets that they were. */
const ENDINGS_MAX = 4_096;

export class Endings {
  #waiting: LogRecord[] = [];

  add(record: Extract<LogRecord, { kind: "rolled_back" | "ended" }>): void {
    this.#waiting.push(record);
    if (this.#waiting.length > ENDINGS_MAX) this.#waiting.shift();
  }

  /** Records to append now; written() drops them once they are forced. */
  records(): LogRecord[] {
    return [...this.#waiting];
  }

  written(records: readonly LogRecord[]): void {
    const done = new Set(records);
    this.#waiting = this.#waiting.filter((record) => !done.has(record));
  }
}
