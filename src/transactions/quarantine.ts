/** Repositories in which writing stopped until a person looks. */
import { LayerdError } from "../core/errors.ts";
import type { RepositoryId, TransactionId } from "../core/ids.ts";
import type { Repository } from "../git/repository.ts";

export class Quarantine {
  /** What stopped writing there, oldest first: one group can hold several. */
  readonly #by = new Map<RepositoryId, Set<TransactionId>>();
  readonly #announce: (id: RepositoryId, status: "quarantined" | "healthy") => void;

  constructor(announce: (id: RepositoryId, status: "quarantined" | "healthy") => void) {
    this.#announce = announce;
  }

  /** The first transaction that stopped writing there, or null. */
  of(id: RepositoryId): TransactionId | null {
    return this.#by.get(id)?.values().next().value ?? null;
  }

  set(id: RepositoryId, transactionId: TransactionId): void {
    const known = this.#by.get(id);
    if (known) known.add(transactionId);
    else this.#by.set(id, new Set([transactionId]));
    this.#announce(id, "quarantined");
  }

  /** An operator closed this transaction; others may stand. */
  resolve(id: RepositoryId, transactionId: TransactionId): void {
    const left = this.#by.get(id);
    left?.delete(transactionId);
    if (left?.size !== 0) return;
    this.#by.delete(id);
    this.#announce(id, "healthy");
  }

  lift(id: RepositoryId): void {
    this.#by.delete(id);
  }

  /** Throws `repository_quarantined`. */
  requireWritable(repository: Repository): void {
    const transactionId = this.of(repository.id);
    if (transactionId === null) return;
    throw new LayerdError(
      "repository_quarantined",
      `Writing to repository ${repository.name} is stopped: transaction ${transactionId} was ` +
        `decided and a ref contradicts it. See layerd in-doubt explain ${transactionId}; when ` +
        `the refs are as you want them, layerd in-doubt resolve ${transactionId} ` +
        `git:${repository.name}`,
      { transaction_id: transactionId },
    );
  }
}
