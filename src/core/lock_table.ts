/**
 * Lock tables of all repositories. They own grants and wait queues; the transactions room
 * owns timers and promises. One structure for all repositories, since a deadlock may run
 * through several of them. A key is a full ref name in one repository.
 *
 * L1. An exclusive lock has exactly one holder and no shared holders.
 * L2. Waiters are granted in arrival order; a late reader never overtakes a waiting writer.
 *     A holder that upgrades from shared to exclusive goes before those that hold nothing.
 * L3. releaseAll() and cancelWait() return every newly granted waiter; none is granted later.
 * L4. acquire() leaves no cycle in the waits-for graph, once the victims it named are released.
 * L5. A transaction waits for one lock at a time; an entry without holders and waiters is gone.
 */
import { type Deadlock, type Exploration, findDeadlocks } from "./deadlock.ts";
import { invariant, type LockHolder } from "./errors.ts";
import type { RefName, RepositoryId, TransactionId } from "./ids.ts";
import {
  compatible,
  enqueue,
  type Entry,
  explore,
  type Explored,
  listHolders,
  listWaiter,
  nearestInTheWay,
  unexplored,
  type Waiter,
} from "./lock_entry.ts";
import type { LockMode } from "./transaction_document.ts";

/** A lock that a transaction has, or has just been given. */
export interface Grant {
  readonly owner: TransactionId;
  readonly repositoryId: RepositoryId;
  readonly ref: RefName;
  readonly mode: LockMode;
}

export type LockAnswer =
  | { readonly kind: "granted" }
  /** Queued. `victims` must be released by the caller: they stood in a cycle with the waiter. */
  | {
    readonly kind: "waiting";
    readonly holders: readonly LockHolder[];
    readonly victims: readonly Deadlock[];
  }
  /**
   * Not queued: the requester is the youngest of a cycle that its wait would close.
   * `holders` has those who wait before it too, since it would wait for them as well.
   */
  | {
    readonly kind: "deadlock";
    readonly holders: readonly LockHolder[];
    readonly cycle: readonly TransactionId[];
  };

/** One key that is held or waited for, as the contract lists it. */
export interface LockListing {
  readonly repositoryId: RepositoryId;
  readonly ref: RefName;
  readonly holders: readonly LockHolder[];
  readonly waiters: readonly LockHolder[];
}

export class LockTables {
  readonly #tables = new Map<RepositoryId, Map<RefName, Entry>>();
  readonly #held = new Map<TransactionId, Set<Entry>>();
  readonly #waiting = new Map<TransactionId, Entry>();

  /** Asks for a lock; `since` (RFC 3339) is shown to others. A weaker or equal one is granted at once. */
  acquire(
    owner: TransactionId,
    repositoryId: RepositoryId,
    ref: RefName,
    mode: LockMode,
    since: string,
  ): LockAnswer {
    invariant(!this.#waiting.has(owner), `${owner} waits for a lock already`);
    const entry = this.#entry(repositoryId, ref);
    const hold = entry.holders.get(owner);
    if (hold && (hold.mode === "exclusive" || mode === "shared")) return { kind: "granted" };
    const waiter = { owner, mode, since };
    if (compatible(entry, waiter) && (hold || entry.queue.length === 0)) {
      this.#grant(entry, waiter);
      return { kind: "granted" };
    }
    const holders = listHolders(entry, owner);
    enqueue(entry, waiter);
    this.#waiting.set(owner, entry);
    const victims = this.#holdsUpAnybody(owner)
      ? findDeadlocks(owner, () => this.#exploration())
      : [];
    const own = victims.find((deadlock) => deadlock.victim === owner);
    if (!own) return { kind: "waiting", holders, victims };
    const before = entry.queue.slice(0, entry.queue.indexOf(waiter)).map(listWaiter);
    const granted = this.cancelWait(owner);
    invariant(granted.length === 0, "a wait that was never served held somebody up");
    return { kind: "deadlock", holders: [...holders, ...before], cycle: own.cycle };
  }

  /** Ends the transaction's wait, if it has one, without the lock. */
  cancelWait(owner: TransactionId): Grant[] {
    const entry = this.#waiting.get(owner);
    if (!entry) return [];
    this.#waiting.delete(owner);
    const place = entry.queue.findIndex((waiter) => waiter.owner === owner);
    invariant(place >= 0, `${owner} waits in a queue that does not have it`);
    entry.queue.splice(place, 1);
    return this.#serve(entry);
  }

  /** Gives back everything the transaction holds or waits for. */
  releaseAll(owner: TransactionId): Grant[] {
    const granted = this.cancelWait(owner);
    const entries = this.#held.get(owner);
    this.#held.delete(owner);
    for (const entry of entries ?? []) {
      entry.holders.delete(owner);
      granted.push(...this.#serve(entry));
    }
    return granted;
  }

  holds(owner: TransactionId): Grant[] {
    return [...this.#held.get(owner) ?? []].map((entry) => ({
      owner,
      repositoryId: entry.repositoryId,
      ref: entry.ref,
      mode: entry.holders.get(owner)?.mode ?? "shared",
    }));
  }

  /** The mode in which the transaction holds the key, or null. */
  modeOf(owner: TransactionId, repositoryId: RepositoryId, ref: RefName): LockMode | null {
    return this.#tables.get(repositoryId)?.get(ref)?.holders.get(owner)?.mode ?? null;
  }

  /** Who holds a key, for the text of a refusal. */
  holdersOf(repositoryId: RepositoryId, ref: RefName, except: TransactionId): LockHolder[] {
    const entry = this.#tables.get(repositoryId)?.get(ref);
    return entry ? listHolders(entry, except) : [];
  }

  /** Every key that is held or waited for; `null` lists all repositories. */
  list(repositoryId: RepositoryId | null): LockListing[] {
    const tables = repositoryId === null
      ? [...this.#tables.values()]
      : [this.#tables.get(repositoryId) ?? new Map<RefName, Entry>()];
    return tables.flatMap((table) =>
      [...table.values()].map((entry) => ({
        repositoryId: entry.repositoryId,
        ref: entry.ref,
        holders: listHolders(entry, null),
        waiters: entry.queue.map(listWaiter),
      }))
    );
  }

  /**
   * Edges of the waits-for graph, for people to look at. They lead to everybody whom a waiter
   * waits for, though not always in one step: left out is whom somebody before it in its way
   * waits for too, unless that is an exclusive holder. So their number grows with holders and
   * waiters, not with the product.
   */
  waitsFor(): { readonly from: TransactionId; readonly to: TransactionId }[] {
    return [...new Set(this.#waiting.values())].flatMap(nearestInTheWay);
  }

  #entry(repositoryId: RepositoryId, ref: RefName): Entry {
    let table = this.#tables.get(repositoryId);
    if (!table) this.#tables.set(repositoryId, table = new Map());
    let entry = table.get(ref);
    if (!entry) table.set(ref, entry = { repositoryId, ref, holders: new Map(), queue: [] });
    return entry;
  }

  #grant(entry: Entry, { owner, mode, since }: Waiter): void {
    const hold = entry.holders.get(owner);
    if (hold) hold.mode = mode;
    else entry.holders.set(owner, { mode, since });
    const held = this.#held.get(owner);
    if (held) held.add(entry);
    else this.#held.set(owner, new Set([entry]));
  }

  /** Grants waiters from the head of the queue for as long as they fit. */
  #serve(entry: Entry): Grant[] {
    const granted: Grant[] = [];
    for (let head = entry.queue[0]; head && compatible(entry, head); head = entry.queue[0]) {
      entry.queue.shift();
      this.#waiting.delete(head.owner);
      this.#grant(entry, head);
      const { repositoryId, ref } = entry;
      granted.push({ owner: head.owner, repositoryId, ref, mode: head.mode });
    }
    if (entry.holders.size === 0 && entry.queue.length === 0) this.#drop(entry);
    return granted;
  }

  #drop(entry: Entry): void {
    const table = this.#tables.get(entry.repositoryId);
    table?.delete(entry.ref);
    if (table?.size === 0) this.#tables.delete(entry.repositoryId);
  }

  /** Whether anybody waits for a key that the transaction has: else no cycle leads to it. */
  #holdsUpAnybody(owner: TransactionId): boolean {
    for (const entry of this.#held.get(owner) ?? []) if (entry.queue.length > 0) return true;
    return false;
  }

  /** One search for cycles; explore() has its rules. */
  #exploration(): Exploration {
    const explored = new Map<Entry, Explored>();
    return (owner) => {
      const entry = this.#waiting.get(owner);
      if (!entry) return [];
      let done = explored.get(entry);
      if (!done) explored.set(entry, done = unexplored(entry));
      return explore(entry, done, owner);
    };
  }
}
