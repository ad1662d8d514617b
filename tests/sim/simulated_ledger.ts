/**
 * The ledger of the simulated machine: a power loss takes the rows since the last
 * makeDurable(), from the newest on, as it does from SQLite's write-ahead log.
 */
import type { IdempotencyEntry } from "../../src/core/log_record.ts";
import type { TransactionId } from "../../src/core/ids.ts";
import type { TransactionDocument } from "../../src/core/transaction_document.ts";
import type { Ledger, LedgerEntry, LedgerFilter } from "../../src/ledger/ledger.ts";
import { MemoryLedger } from "../../src/ledger/memory_ledger.ts";
import type { SeededRandom } from "../harness/random.ts";

/** What stands on the disk. */
export interface LedgerImage {
  readonly batches: readonly (readonly LedgerEntry[])[];
  readonly durable: number;
}

export const EMPTY_LEDGER: LedgerImage = { batches: [], durable: 0 };

export function ledgerAfterPowerLoss(image: LedgerImage, random: SeededRandom): LedgerImage {
  const kept = random.integer(image.durable, image.batches.length);
  return { batches: image.batches.slice(0, kept), durable: kept };
}

export class SimulatedLedger implements Ledger {
  readonly #memory = new MemoryLedger();
  #image: LedgerImage;
  /** Waited for after the rows were made durable, before the caller hears of it. */
  afterDurable: () => Promise<void> = () => Promise.resolve();

  constructor(image: LedgerImage) {
    this.#image = image;
    for (const batch of image.batches) this.#memory.record(batch);
  }

  get image(): LedgerImage {
    return this.#image;
  }

  record(entries: readonly LedgerEntry[]): void {
    this.#memory.record(entries);
    this.#image = { ...this.#image, batches: [...this.#image.batches, entries] };
  }

  get(id: TransactionId): TransactionDocument | null {
    return this.#memory.get(id);
  }

  list(filter: LedgerFilter, limit: number, before: TransactionId | null): TransactionDocument[] {
    return this.#memory.list(filter, limit, before);
  }

  idempotent(route: string, key: string, since: string): IdempotencyEntry | null {
    return this.#memory.idempotent(route, key, since);
  }

  forgetKeysBefore(since: string): void {
    this.#memory.forgetKeysBefore(since);
  }

  makeDurable(): Promise<void> {
    this.#image = { ...this.#image, durable: this.#image.batches.length };
    return this.afterDurable();
  }

  close(): void {}
}
