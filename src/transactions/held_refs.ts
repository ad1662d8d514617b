/**
 * Which transaction holds which of git's ref locks. A ref lock is one file however many
 * transactions of ours rely on it (two that verify the same ref may), so the file goes
 * when the last of them lets go. Table locks have sorted out conflicts before.
 */
import type { RefName, RepositoryId, TransactionId } from "../core/ids.ts";
import type { LockOutcome, Repository } from "../git/repository.ts";

export class HeldRefs {
  readonly #holders = new Map<RepositoryId, Map<RefName, Set<TransactionId>>>();
  /** Lock files that a dead process of this log left, not yet claimed by a transaction. */
  readonly #adopted = new Map<RepositoryId, Set<RefName>>();

  /** Takes the lock files that no transaction of ours has yet; all or none. */
  acquire(repository: Repository, refs: readonly RefName[], owner: TransactionId): LockOutcome {
    const held = this.#of(repository.id);
    const adopted = this.#adopted.get(repository.id);
    // A lock file that somebody removed by hand is taken again.
    const missing = refs.filter((ref) =>
      !adopted?.has(ref) && !(held.has(ref) && repository.publisher.stillHeld([ref]))
    );
    const outcome = repository.publisher.lockRefs(missing, owner);
    if (outcome.kind !== "locked") return outcome;
    for (const ref of refs) {
      adopted?.delete(ref);
      const holders = held.get(ref);
      if (holders) holders.add(owner);
      else held.set(ref, new Set([owner]));
    }
    return outcome;
  }

  /** Recovery: lock files of ours that stand already; acquire() takes them over. */
  adopt(repositoryId: RepositoryId, refs: readonly RefName[]): void {
    this.#adopted.set(repositoryId, new Set(refs));
  }

  /** Recovery: what stands of a transaction's locks stays its own, whatever else it lacks. */
  claimAdopted(repositoryId: RepositoryId, refs: readonly RefName[], owner: TransactionId): void {
    const adopted = this.#adopted.get(repositoryId);
    const held = this.#of(repositoryId);
    for (const ref of refs) {
      if (!adopted?.delete(ref)) continue;
      held.set(ref, new Set([owner]));
    }
  }

  /** Recovery's end: removes the lock files that no transaction took over. */
  releaseAdopted(repository: Repository): void {
    repository.publisher.unlockRefs([...this.#adopted.get(repository.id) ?? []]);
    this.#adopted.delete(repository.id);
  }

  /** Lets go of a transaction's locks, and of what its promise kept. */
  release(repository: Repository, refs: readonly RefName[], owner: TransactionId): void {
    const held = this.#of(repository.id);
    const free = refs.filter((ref) => {
      const holders = held.get(ref);
      if (!holders?.delete(owner) || holders.size > 0) return false;
      held.delete(ref);
      return true;
    });
    if (held.size === 0) this.#holders.delete(repository.id);
    repository.publisher.unlockRefs(free);
    repository.publisher.endPromise(owner);
  }

  #of(repositoryId: RepositoryId): Map<RefName, Set<TransactionId>> {
    const known = this.#holders.get(repositoryId);
    if (known) return known;
    const fresh = new Map<RefName, Set<TransactionId>>();
    this.#holders.set(repositoryId, fresh);
    return fresh;
  }
}
