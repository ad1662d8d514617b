/**
 * Waiting for table locks: promises, timeouts and departures around the lock tables of
 * core, which decide who gets what.
 *
 * W1. A transaction waits for one lock at a time, since its calls run in order.
 * W2. A wait ends once: granted, timed out, chosen as a deadlock's victim, or given up.
 *     One that ended without the lock is out of its queue before its promise rejects.
 * W3. Locks are given back by release() only, all of an owner's at once.
 */
import { LayerdError, type LockHolder } from "../core/errors.ts";
import { layerOfRef, parseTransactionId, type RefName, type TransactionId } from "../core/ids.ts";
import type { Grant, LockTables } from "../core/lock_table.ts";
import type { LockMode } from "../core/transaction_document.ts";
import type { Repository } from "../git/repository.ts";
import type { Clock } from "../system/clock.ts";
import type { EventBus } from "./events.ts";
import type { Metrics } from "./metrics.ts";

/** One lock that a transaction wants. */
export interface LockWish {
  readonly owner: TransactionId;
  readonly repository: Repository;
  readonly ref: RefName;
  readonly mode: LockMode;
}

/** How long and for whom a wait goes on. */
export interface Patience {
  readonly timeoutMs: number;
  /** Aborted when the client went away. */
  readonly signal: AbortSignal | null;
}

interface Wait {
  readonly grant: () => void;
  readonly refuse: (error: LayerdError) => void;
}

export class LockWaits {
  readonly #tables: LockTables;
  readonly #clock: Clock;
  readonly #events: EventBus;
  readonly #metrics: Metrics;
  readonly #waits = new Map<TransactionId, Wait>();
  /** What a transaction that is decided still waits for. */
  whyHeld: (id: TransactionId) => string | null = () => null;

  constructor(tables: LockTables, clock: Clock, events: EventBus, metrics: Metrics) {
    this.#tables = tables;
    this.#clock = clock;
    this.#events = events;
    this.#metrics = metrics;
  }

  /**
   * Resolves when the lock is held. Rejects with `lock_timeout`; with `deadlock`, and then
   * the transaction must be rolled back; or with what refuse() was given.
   */
  async acquire(wish: LockWish, patience: Patience): Promise<void> {
    const { owner, repository, ref, mode } = wish;
    const since = new Date(this.#clock.now()).toISOString();
    const answer = this.#tables.acquire(owner, repository.id, ref, mode, since);
    if (answer.kind === "granted") return;
    if (answer.kind === "deadlock") throw this.#deadlock(owner, answer.cycle, answer.holders);
    this.#metrics.countLockWait();
    const granted = this.#wait(wish, patience);
    this.#events.publish("lock.waiting", {
      transaction_id: owner,
      repository: repository.name,
      layer: layerOfRef(ref) ?? ref,
      mode,
      holders: answer.holders,
    });
    for (const { victim, cycle } of answer.victims) {
      this.refuse(victim, this.#deadlock(victim, cycle, this.#holdersFor(victim)));
    }
    await granted;
  }

  /** Whether a call of the transaction waits for a lock. */
  has(owner: TransactionId): boolean {
    return this.#waits.has(owner);
  }

  /** Ends a transaction's wait, if it has one, with an error. */
  refuse(owner: TransactionId, error: LayerdError): void {
    this.#waits.get(owner)?.refuse(error);
  }

  /** Gives back every lock of a transaction and wakes whoever gets them. */
  release(owner: TransactionId): void {
    this.#wake(this.#tables.releaseAll(owner));
  }

  #wait(wish: LockWish, { timeoutMs, signal }: Patience): Promise<void> {
    const { owner } = wish;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const startMs = this.#clock.monotonic();
    const onAbort = () => wait.refuse(wentAway(wish));
    const leave = () => {
      this.#metrics.observeLockWait(this.#clock.monotonic() - startMs);
      timer.cancel();
      signal?.removeEventListener("abort", onAbort);
      this.#waits.delete(owner);
    };
    const wait: Wait = {
      grant: () => {
        leave();
        resolve();
      },
      refuse: (error) => {
        leave();
        this.#wake(this.#tables.cancelWait(owner));
        reject(error);
      },
    };
    const timer = this.#clock.after(timeoutMs, () => wait.refuse(this.#timedOut(wish, timeoutMs)));
    this.#waits.set(owner, wait);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort);
    return promise;
  }

  #wake(grants: readonly Grant[]): void {
    for (const { owner } of grants) this.#waits.get(owner)?.grant();
  }

  #timedOut({ owner, repository, ref, mode }: LockWish, timeoutMs: number): LayerdError {
    const holders = this.#tables.holdersOf(repository.id, ref, owner);
    return new LayerdError(
      "lock_timeout",
      `No ${mode} lock on ${ref} of repository ${repository.name} within ${timeoutMs} ms: ` +
        `${namesOf(holders)} in the way${this.#why(holders)}`,
      { holders },
    );
  }

  /** What holds a holder up, where that is known. */
  #why(holders: readonly LockHolder[]): string {
    const reasons = holders.map((holder) => this.whyHeld(parseTransactionId(holder.transaction_id)))
      .filter((reason) => reason !== null);
    return reasons.length === 0 ? "" : ` (${reasons.join("; ")})`;
  }

  /** The error of a victim, which names whom it waited for: the next one of the cycle. */
  #deadlock(
    victim: TransactionId,
    cycle: readonly TransactionId[],
    holders: readonly LockHolder[],
  ): LayerdError {
    this.#metrics.countDeadlock();
    this.#events.publish("lock.deadlock", { transaction_id: victim, cycle });
    const blocker = cycle[(cycle.indexOf(victim) + 1) % cycle.length] ?? victim;
    return new LayerdError(
      "deadlock",
      `Transaction ${victim} waited for ${blocker}, which waits for it in turn; ` +
        `the youngest of ${cycle.length} transactions is rolled back`,
      { holders: holders.filter(({ transaction_id }) => transaction_id === blocker) },
    );
  }

  /** Who holds, or awaits before it, the key that a waiting transaction wants. */
  #holdersFor(waiting: TransactionId): LockHolder[] {
    const listing = this.#tables.list(null).find(({ waiters }) =>
      waiters.some(({ transaction_id }) => transaction_id === waiting)
    );
    return listing ? [...listing.holders, ...listing.waiters] : [];
  }
}

function wentAway({ owner }: LockWish): LayerdError {
  return new LayerdError("timeout", `The client of transaction ${owner} went away while it waited`);
}

function namesOf(holders: readonly LockHolder[]): string {
  const ids = holders.map(({ transaction_id }) => transaction_id);
  return ids.length === 0 ? "waiting transactions stand" : `transaction ${ids.join(", ")} stands`;
}
