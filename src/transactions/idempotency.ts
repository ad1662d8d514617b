/**
 * Idempotency keys of begins. While its transaction is open a key stands here; the key of
 * a one-shot commit is also in its commit record, and so in the ledger, for as long as
 * core/idempotency_life.ts says.
 *
 * I1. A key names one transaction at most; only a key whose transaction failed to begin,
 *     or ended, is free again.
 * I2. The same key with another request is refused, also while the first is under way.
 */
import { LayerdError } from "../core/errors.ts";
import type { TransactionId } from "../core/ids.ts";
import { keysCountSince } from "../core/idempotency_life.ts";
import type { IdempotencyEntry } from "../core/log_record.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { Clock } from "../system/clock.ts";
import type { IdempotencyKey } from "./manager.ts";

interface OpenKey {
  readonly requestHash: string;
  /** Null until begin has an answer. */
  id: TransactionId | null;
}

export class IdempotencyKeys {
  readonly #clock: Clock;
  readonly #ledger: Ledger;
  readonly #open = new Map<string, OpenKey>();

  constructor(clock: Clock, ledger: Ledger) {
    this.#clock = clock;
    this.#ledger = ledger;
  }

  /** The transaction that answered this request before, or null: then the key is claimed. */
  claim(key: IdempotencyKey): TransactionId | null {
    const known = this.#open.get(nameOf(key)) ?? this.#recorded(key);
    if (known === null) {
      this.#open.set(nameOf(key), { requestHash: key.requestHash, id: null });
      return null;
    }
    if (known.requestHash !== key.requestHash) {
      throw new LayerdError(
        "idempotency_key_reused",
        `Idempotency key ${JSON.stringify(key.key)} came with another request before`,
      );
    }
    if (known.id === null) {
      throw new LayerdError(
        "idempotency_in_progress",
        `The request with idempotency key ${JSON.stringify(key.key)} is still under way`,
        { retry_after_ms: 100 },
      );
    }
    return known.id;
  }

  /** Recovery: the key of a one-shot that is decided and not finished yet. */
  adopt(key: IdempotencyKey, id: TransactionId): void {
    this.#open.set(nameOf(key), { requestHash: key.requestHash, id });
  }

  /** Begin has an answer: repeats get this transaction. */
  answer(key: IdempotencyKey, id: TransactionId): void {
    const known = this.#open.get(nameOf(key));
    if (known) known.id = id;
  }

  /** The begin failed or its transaction ended. */
  free(key: IdempotencyKey): void {
    this.#open.delete(nameOf(key));
  }

  /** What a one-shot commit records under its key. */
  entry(key: IdempotencyKey, id: TransactionId): IdempotencyEntry {
    return {
      route: key.route,
      key: key.key,
      requestHash: key.requestHash,
      transactionId: id,
      createdAt: new Date(this.#clock.now()).toISOString(),
    };
  }

  #recorded(key: IdempotencyKey): OpenKey | null {
    const since = keysCountSince(key.route, this.#clock.now());
    const entry = this.#ledger.idempotent(key.route, key.key, since);
    return entry === null ? null : { requestHash: entry.requestHash, id: entry.transactionId };
  }
}

function nameOf(key: IdempotencyKey): string {
  return `${key.route}\n${key.key}`;
}
