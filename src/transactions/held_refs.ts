/**
 * Which transaction holds which of git's ref locks. A ref lock is one file however many
 * transactions of ours rely on it (two that verify the same ref may), so the file goes
 * when the last of them lets go. Table locks have sorted out conflicts before.
 */
import type { RefName, RepositoryId, TransactionId } from "../core/ids.ts";
import type { LockOutcome, Repository } from "../git/repository.ts";

export class HeldRefs {
  readonly #holders = new Map<RepositoryId, Map<RefName, Set<TransactionId>>>();

  /** Takes the lock files that no transaction of ours has yet; all or none. */
  acquire(repository: Repository, refs: readonly RefName[], owner: TransactionId): LockOutcome {
    const held = this.#of(repository.id);
    const outcome = repository.publisher.lockRefs(refs.filter((ref) => !held.has(ref)), owner);
    if (outcome.kind === "locked") this.register(repository.id, refs, owner);
    return outcome;
  }

  /** Notes locks whose files stand already (recovery). */
  register(repositoryId: RepositoryId, refs: readonly RefName[], owner: TransactionId): void {
    const held = this.#of(repositoryId);
    for (const ref of refs) {
      const holders = held.get(ref);
      if (holders) holders.add(owner);
      else held.set(ref, new Set([owner]));
    }
  }

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
  }

  /** Refs of this repository that any transaction holds. */
  refs(repositoryId: RepositoryId): ReadonlySet<RefName> {
    return new Set(this.#holders.get(repositoryId)?.keys() ?? []);
  }

  #of(repositoryId: RepositoryId): Map<RefName, Set<TransactionId>> {
    const known = this.#holders.get(repositoryId);
    if (known) return known;
    const fresh = new Map<RefName, Set<TransactionId>>();
    this.#holders.set(repositoryId, fresh);
    return fresh;
  }
}
