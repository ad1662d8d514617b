/** The rules of lock tables written down as plainly as can be, to test the real ones against. */
import type { RefName, RepositoryId, TransactionId } from "../../src/core/ids.ts";
import type { LockMode } from "../../src/core/transaction_document.ts";

export interface ModelKey {
  readonly repositoryId: RepositoryId;
  readonly ref: RefName;
}

export interface ModelLock extends ModelKey {
  readonly owner: TransactionId;
  readonly mode: LockMode;
}

/** Two lists in order of events; everything else is computed from them each time. */
export class LockModel {
  holds: ModelLock[] = [];
  waits: ModelLock[] = [];

  holdersOf(key: ModelKey): ModelLock[] {
    return this.holds.filter((lock) => sameKey(lock, key));
  }

  /** Waiters of a key in the order in which they are served. */
  queueOf(key: ModelKey): ModelLock[] {
    const queue = this.waits.filter((lock) => sameKey(lock, key));
    return [
      ...queue.filter((wait) => this.isHolder(wait)),
      ...queue.filter((wait) => !this.isHolder(wait)),
    ];
  }

  isWaiting(owner: TransactionId): boolean {
    return this.waits.some((wait) => wait.owner === owner);
  }

  isHolder({ owner, ...key }: ModelLock): boolean {
    return this.holdersOf(key).some((hold) => hold.owner === owner);
  }

  /** Grants the lock, or queues the request. */
  acquire(wanted: ModelLock): "granted" | "waiting" {
    const held = this.holdersOf(wanted).find((hold) => hold.owner === wanted.owner);
    if (held && (held.mode === "exclusive" || wanted.mode === "shared")) return "granted";
    const free = held !== undefined || this.queueOf(wanted).length === 0;
    if (free && this.blockedBy(wanted, this.holdersOf(wanted)).length === 0) {
      this.#grant(wanted);
      return "granted";
    }
    this.waits.push(wanted);
    return "waiting";
  }

  /** Takes the wait back; answers who is granted because of that. */
  cancelWait(owner: TransactionId): ModelLock[] {
    this.waits = this.waits.filter((wait) => wait.owner !== owner);
    return this.#serve();
  }

  releaseAll(owner: TransactionId): ModelLock[] {
    this.waits = this.waits.filter((wait) => wait.owner !== owner);
    this.holds = this.holds.filter((hold) => hold.owner !== owner);
    return this.#serve();
  }

  /** Every edge of the waits-for graph. */
  blockersOf(owner: TransactionId): TransactionId[] {
    const wait = this.waits.find((one) => one.owner === owner);
    if (!wait) return [];
    const queue = this.queueOf(wait);
    const ahead = queue.slice(0, queue.indexOf(wait));
    return this.blockedBy(wait, [...this.holdersOf(wait), ...ahead]).map((lock) => lock.owner);
  }

  /** Whether the transaction waits, through however many others, for itself. */
  isInCycle(owner: TransactionId): boolean {
    return reachable(owner, (id) => this.blockersOf(id)).has(owner);
  }

  blockedBy(wanted: ModelLock, others: readonly ModelLock[]): ModelLock[] {
    return others.filter((other) =>
      other.owner !== wanted.owner && (other.mode === "exclusive" || wanted.mode === "exclusive")
    );
  }

  #grant(lock: ModelLock): void {
    const place = this.holds.findIndex((hold) => hold.owner === lock.owner && sameKey(hold, lock));
    if (place < 0) this.holds.push(lock);
    else this.holds[place] = lock;
  }

  #serve(): ModelLock[] {
    const granted: ModelLock[] = [];
    for (const key of this.waits) {
      for (const wait of this.queueOf(key)) {
        if (this.blockedBy(wait, this.holdersOf(key)).length > 0) break;
        this.waits = this.waits.filter((other) => other !== wait);
        this.#grant(wait);
        granted.push(wait);
      }
    }
    return granted;
  }
}

function sameKey(one: ModelKey, other: ModelKey): boolean {
  return one.repositoryId === other.repositoryId && one.ref === other.ref;
}

/** Everybody to whom the edges lead from one, who is among them only if they lead back. */
export function reachable(
  from: TransactionId,
  edgesOf: (id: TransactionId) => readonly TransactionId[],
): Set<TransactionId> {
  const reached = new Set<TransactionId>();
  const next = [...edgesOf(from)];
  for (let at = next.pop(); at !== undefined; at = next.pop()) {
    if (reached.has(at)) continue;
    reached.add(at);
    next.push(...edgesOf(at));
  }
  return reached;
}
