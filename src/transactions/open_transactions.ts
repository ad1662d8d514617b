/**
 * The transactions that are open, and how they end. A transaction leaves here once its end
 * is in the ledger or in the log's memory; a few ended ones stay to be found meanwhile,
 * since the ledger may lag (a full disk).
 *
 * T1. end() is the only way out: locks, lease, uploads and idempotency key go with it.
 * T2. Everybody who waits for a state is told of every change, in order.
 */
import { invariant, LayerdError } from "../core/errors.ts";
import { parseTransactionId, type RepositoryId, type TransactionId } from "../core/ids.ts";
import { isTerminal, type TransactionDocument } from "../core/transaction_document.ts";
import type { Ledger, LedgerFilter } from "../ledger/ledger.ts";
import type { Clock } from "../system/clock.ts";
import type { BlobSpool } from "./blob_spool.ts";
import type { EventBus } from "./events.ts";
import type { IdempotencyKeys } from "./idempotency.ts";
import type { Leases } from "./leases.ts";
import type { LockWaits } from "./lock_waits.ts";
import type { Metrics } from "./metrics.ts";
import type { OpenTransaction } from "./open_transaction.ts";
import type { StateWaiters } from "./state_waiters.ts";

/** Ended transactions that are found here while the ledger may not have them yet. */
const RECENT_MAX = 1_024;

export interface OpenTransactionsParts {
  readonly clock: Clock;
  readonly ledger: Ledger;
  readonly events: EventBus;
  readonly leases: Leases;
  readonly waits: LockWaits;
  readonly spool: BlobSpool;
  readonly keys: IdempotencyKeys;
  readonly waiters: StateWaiters;
  readonly metrics: Metrics;
}

export class OpenTransactions {
  readonly #parts: OpenTransactionsParts;
  readonly #open = new Map<TransactionId, OpenTransaction>();
  readonly #recent = new Map<string, TransactionDocument>();
  /** Looks whether a drain is through; set while one goes on. */
  #idleWatch: (() => void) | null = null;

  constructor(parts: OpenTransactionsParts) {
    this.#parts = parts;
  }

  get size(): number {
    return this.#open.size;
  }

  all(): MapIterator<OpenTransaction> {
    return this.#open.values();
  }

  get(id: TransactionId): OpenTransaction | null {
    return this.#open.get(id) ?? null;
  }

  add(transaction: OpenTransaction): void {
    this.#open.set(transaction.id, transaction);
  }

  /** How a transaction stands or ended; `transaction_not_found`. */
  document(id: TransactionId): TransactionDocument {
    const found = this.#open.get(id)?.document() ?? this.#recent.get(id) ??
      this.#parts.ledger.get(id);
    if (found) return found;
    throw new LayerdError("transaction_not_found", `No transaction has the id "${id}"`, {
      transaction_id: id,
    });
  }

  /** Whether a repository is held by anything open: it cannot be removed then. */
  touches(repositoryId: RepositoryId): boolean {
    for (const transaction of this.#open.values()) {
      if (transaction.touches(repositoryId)) return true;
    }
    return false;
  }

  /** Tells that a transaction came to another state. */
  moved(transaction: OpenTransaction, event: "begun" | "prepared" | "committing" | null): void {
    transaction.updatedAtMs = this.#parts.clock.now();
    this.#idleWatch?.();
    const { id } = transaction;
    if (event === null && !this.#parts.waiters.any(id)) return;
    const document = transaction.document();
    if (event !== null) {
      this.#parts.events.publish(`transaction.${event}`, { transaction: document });
    }
    this.#parts.waiters.tell(id, document);
  }

  /** Takes the transaction out with everything it holds. */
  end(transaction: OpenTransaction, document: TransactionDocument): void {
    const { id, header } = transaction;
    const { leases, waits, spool, keys, events, waiters, metrics } = this.#parts;
    invariant(
      transaction.state === document.state,
      `${id} ended ${document.state} in another state`,
    );
    this.#open.delete(id);
    this.#remember(document);
    if (isTerminal(document.state)) metrics.countOutcome(document.state);
    leases.drop(id);
    if (header.idempotency !== null) keys.free(header.idempotency);
    waits.release(id);
    transaction.forgetLocks();
    if (transaction.hasUploads) spool.discardAll(id);
    for (const { repository, layer, ref, old, new: now } of document.results) {
      if (document.state !== "committed") break;
      const data = { repository, layer, ref, old, new: now, transaction_id: id };
      events.publish("layer.changed", data);
    }
    events.publish(`transaction.${document.state}`, { transaction: document });
    waiters.tell(id, document);
    this.#idleWatch?.();
  }

  /** Newest first: open ones, those that just ended, and the ledger's. */
  list(
    filter: LedgerFilter,
    limit: number,
    before: TransactionId | null,
  ): TransactionDocument[] {
    this.#forgetRecorded();
    const found = new Map<string, TransactionDocument>();
    // The ledger's row of a transaction that stands here is older than what is here.
    const promised = this.all().filter(({ state }) =>
      state === "prepared" || state === "committing"
    );
    const wanted = limit + this.#recent.size + [...promised].length;
    for (const document of this.#parts.ledger.list(filter, wanted, before)) {
      if (!this.#stands(document.id)) found.set(document.id, document);
    }
    for (const document of this.#recent.values()) {
      if (inPage(document, filter, before)) found.set(document.id, document);
    }
    for (const transaction of this.#open.values()) {
      if (before !== null && transaction.id >= before) continue;
      if (filter.state !== undefined && transaction.state !== filter.state) continue;
      const document = transaction.document();
      if (inPage(document, filter, before)) found.set(document.id, document);
    }
    return [...found.values()].sort((one, other) => one.id < other.id ? 1 : -1).slice(0, limit);
  }

  /** Resolves when every open transaction satisfies the condition. */
  whenOnly(condition: (transaction: OpenTransaction) => boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#idleWatch = () => {
      if (this.all().every(condition)) resolve();
    };
    this.#idleWatch();
    return promise;
  }

  #stands(id: string): boolean {
    return this.#recent.has(id) || this.#open.has(parseTransactionId(id));
  }

  /** Drops ended transactions that the ledger shows by now. */
  #forgetRecorded(): void {
    for (const [id, document] of this.#recent) {
      const recorded = this.#parts.ledger.get(parseTransactionId(id));
      if (recorded?.state === document.state) this.#recent.delete(id);
    }
  }

  #remember(document: TransactionDocument): void {
    this.#recent.set(document.id, document);
    for (const id of this.#recent.keys()) {
      if (this.#recent.size <= RECENT_MAX) break;
      this.#recent.delete(id);
    }
  }
}

function inPage(
  document: TransactionDocument,
  filter: LedgerFilter,
  before: TransactionId | null,
): boolean {
  if (before !== null && document.id >= before) return false;
  if (filter.state !== undefined && document.state !== filter.state) return false;
  if (filter.tenantId !== undefined && document.tenant_id !== filter.tenantId) return false;
  if (filter.repository === undefined && filter.layer === undefined) return true;
  const places = [...document.locks, ...document.snapshot, ...document.results];
  return places.some((place) =>
    (filter.repository === undefined || place.repository === filter.repository) &&
    (filter.layer === undefined || place.layer === filter.layer ||
      ("ref" in place && place.ref === filter.layer))
  );
}
