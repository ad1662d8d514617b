/**
 * Ends of unprepared transactions, and acknowledgements of participants, that wait to be
 * logged. No commit record means rolled back, and a participant can be told twice, so that
 * such a record rides with the next commit record instead of costing a force; and a record
 * that nobody forces is never left in the log's buffer, where a full disk would make its loss
 * final. Nor does it take the room that the log keeps for what finishes decisions: it waits.
 *
 * E1. A branch is over once its `ended` is durable, and not before: until then its marker has
 *     to stay at the participant, or telling again would look like a contradiction. So no
 *     `ended` is ever given up, while ends of transactions are, beyond a number.
 */
import type { LogRecord } from "../core/log_record.ts";

type RolledBack = Extract<LogRecord, { kind: "rolled_back" }>;

/** Beyond this the oldest go without a record: a crash then forgets that they were. */
const ROLLED_BACK_MAX = 4_096;

export class Endings {
  #rolledBack: RolledBack[] = [];
  readonly #ended = new Set<string>();

  addRolledBack(record: RolledBack): void {
    this.#rolledBack.push(record);
    if (this.#rolledBack.length > ROLLED_BACK_MAX) this.#rolledBack.shift();
  }

  /** A branch has acknowledged, or had nothing to be told. */
  addEnded(key: string): void {
    this.#ended.add(key);
  }

  /** Whether the end of a branch is known and may be forgotten by a crash. */
  waits(key: string): boolean {
    return this.#ended.has(key);
  }

  /** Records to append now; written() drops them once they are forced. */
  records(): LogRecord[] {
    return [...this.#rolledBack, ...this.ended()];
  }

  /** Those of them that participants wait for. */
  ended(): LogRecord[] {
    return this.#ended.size === 0 ? [] : [{ kind: "ended", keys: [...this.#ended] }];
  }

  /** Those that a durable row of the ledger makes needless. */
  rolledBack(): readonly LogRecord[] {
    return [...this.#rolledBack];
  }

  /** Drops what is durable. */
  written(records: readonly LogRecord[]): void {
    const done = new Set(records);
    this.#rolledBack = this.#rolledBack.filter((record) => !done.has(record));
    for (const record of records) {
      if (record.kind !== "ended") continue;
      for (const key of record.keys) this.#ended.delete(key);
    }
  }
}
