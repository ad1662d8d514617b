/**
 * How a transaction comes to see and lock refs, by its isolation.
 *
 * A1. Locking: a ref's lock is held before its value is read, and the value that was read
 *     under the first lock stays the transaction's; an upgrade re-uses it, since nobody
 *     else of ours could write in between.
 * A2. Optimistic: a layer's value comes from the snapshot of begin, another ref's is what its
 *     first touch saw; locks are taken by lockForCommit() only, in one sorted order.
 */
import { LAYER_REF_PREFIX, type ObjectId, type RefName } from "../core/ids.ts";
import type { RepositoryPart } from "../core/log_record.ts";
import type { LockMode } from "../core/transaction_document.ts";
import type { Repository } from "../git/repository.ts";
import type { LockWaits } from "./lock_waits.ts";
import { refuseMoved } from "./moved_refs.ts";
import type { HeldLock, OpenTransaction } from "./open_transaction.ts";

export class LayerAccess {
  readonly #waits: LockWaits;

  constructor(waits: LockWaits) {
    this.#waits = waits;
  }

  /** Takes the lock that the isolation asks for, then answers the ref's snapshot value. */
  async touch(
    transaction: OpenTransaction,
    repository: Repository,
    ref: RefName,
    mode: LockMode,
    signal: AbortSignal | null,
  ): Promise<ObjectId | null> {
    const locking = transaction.header.isolation === "locking";
    if (locking) await this.lock(transaction, { repository, ref, mode }, signal);
    return this.#see(transaction, repository, ref);
  }

  /** Takes one lock, waiting up to the transaction's lock timeout. */
  async lock(
    transaction: OpenTransaction,
    { repository, ref, mode }: HeldLock,
    signal: AbortSignal | null,
  ): Promise<void> {
    const held = transaction.lockOn(repository, ref);
    if (held === "exclusive" || held === mode) return;
    await this.#waits.acquire(
      { owner: transaction.id, repository, ref, mode },
      { timeoutMs: transaction.header.lockTimeoutMs, signal },
    );
    transaction.noteLock(repository, ref, mode);
  }

  /** Takes the locks that begin was asked for, in sorted order. */
  async lockAtBegin(
    transaction: OpenTransaction,
    locks: readonly HeldLock[],
    signal: AbortSignal | null,
  ): Promise<void> {
    for (const lock of sorted(locks)) {
      await this.lock(transaction, lock, signal);
      // An optimistic snapshot is of one moment, and that is after all of these.
      if (transaction.header.isolation === "locking") {
        this.#see(transaction, lock.repository, lock.ref);
      }
    }
  }

  /**
   * Optimistic isolation: locks what is written and verified, and refuses what came too late,
   * before the pipeline looks.
   */
  async lockForCommit(
    transaction: OpenTransaction,
    parts: readonly RepositoryPart[],
  ): Promise<void> {
    const locks: HeldLock[] = [];
    for (const { repository, layers, checks } of transaction.changes.repositories) {
      for (const ref of checks.keys()) locks.push({ repository, ref, mode: "shared" });
      for (const change of layers.values()) {
        if (change.touched) locks.push({ repository, ref: change.ref, mode: "exclusive" });
      }
    }
    for (const lock of sorted(locks)) await this.lock(transaction, lock, null);
    const repositories = [...transaction.changes.repositories].map(({ repository }) => repository);
    refuseMoved(transaction.id, repositories, parts);
  }

  #see(transaction: OpenTransaction, repository: Repository, ref: RefName): ObjectId | null {
    const seen = transaction.seen(repository, ref);
    if (seen !== undefined) return seen;
    const layers = transaction.snapshots?.get(repository.id);
    const value = layers && ref.startsWith(LAYER_REF_PREFIX)
      ? layers.get(ref)
      : repository.refs.read(ref);
    transaction.noteSeen(repository, ref, value);
    return value;
  }
}

/** By repository and ref; of two locks on one ref the exclusive one comes first. */
function sorted(locks: readonly HeldLock[]): HeldLock[] {
  const keyOf = ({ repository, ref, mode }: HeldLock) =>
    `${repository.id} ${ref} ${mode === "exclusive" ? 0 : 1}`;
  return [...locks].sort((one, other) => keyOf(one) < keyOf(other) ? -1 : 1);
}
