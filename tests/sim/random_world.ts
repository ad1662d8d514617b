/**
 * What a random simulation knows: the lists that all clients append to, what each client did
 * and was told, and what belongs to one client alone.
 */
import type { TransactionId } from "../../src/core/ids.ts";
import type { Isolation } from "../../src/core/transaction_document.ts";
import { SeededRandom } from "../harness/random.ts";
import type { HistoryOperation, HistoryTransaction, Level } from "./history_checker.ts";

/** How the clients of one seed work. `verified`: optimistic, with every layer read verified. */
export type Mode = "locking" | "optimistic" | "verified";

/** A list in a layer's file. */
export interface ListPlace {
  readonly key: string;
  readonly repository: string;
  readonly layer: string;
}

export const LISTS: readonly ListPlace[] = [
  { key: "a", repository: "app", layer: "a" },
  { key: "b", repository: "app", layer: "deep/b" },
  { key: "c", repository: "web", layer: "c" },
  { key: "d", repository: "web", layer: "deep/d" },
];

/** A transaction as its client sees it, while it goes on. */
export interface Running {
  readonly id: string;
  outcome: HistoryTransaction["outcome"];
  readonly began: number;
  ended: number;
  readonly operations: HistoryOperation[];
  /** What it leaves in its client's own layer; undefined where it does not touch it. */
  own?: string | null;
  /** While the daemon's promise to keep it stands. */
  promised: TransactionId | null;
}

export class RandomWorld {
  readonly random: SeededRandom;
  readonly mode: Mode;
  /** Native git works on the same refs. The machine then loses no power: git syncs nothing. */
  readonly hasNative: boolean;
  readonly transactions: Running[] = [];
  /** One-shot commits with an idempotency key: message, and whether it was acknowledged. */
  readonly once = new Map<string, "asked" | "acknowledged" | "refused">();
  #sequence = 0;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.mode = this.random.pick(["locking", "locking", "optimistic", "verified"]);
    this.hasNative = this.random.chance(0.3);
  }

  get isolation(): Isolation {
    return this.mode === "locking" ? "locking" : "optimistic";
  }

  get level(): Level {
    return this.mode === "optimistic" ? "snapshot" : "serializable";
  }

  next(): number {
    this.#sequence += 1;
    return this.#sequence;
  }

  begin(client: string): Running {
    const began = this.next();
    const running: Running = {
      id: `${client}.${began}`,
      outcome: "rolled_back",
      began,
      ended: Infinity,
      operations: [],
      promised: null,
    };
    this.transactions.push(running);
    return running;
  }

  /** The client was told. */
  end(running: Running, outcome: "committed" | "rolled_back"): void {
    running.outcome = outcome;
    running.ended = this.next();
    running.promised = null;
  }

  /** The client was told that it will be published; when is not known. */
  decided(running: Running): void {
    running.outcome = "committed";
    running.promised = null;
  }
}
