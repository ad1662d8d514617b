/** Repositories in which writing stopped until a person looks. */
import { LayerdError } from "../core/errors.ts";
import type { RepositoryId, TransactionId } from "../core/ids.ts";
import type { Repository } from "../git/repository.ts";

export class Quarantine {
  readonly #by = new Map<RepositoryId, TransactionId>();

  /** The transaction that stopped writing there, or null. */
  of(id: RepositoryId): TransactionId | null {
    return this.#by.get(id) ?? null;
  }

  set(id: RepositoryId, transactionId: TransactionId): void {
    this.#by.set(id, transactionId);
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
        `decided and a ref contradicts it; look at GET /v1/transactions/${transactionId}`,
      { transaction_id: transactionId },
    );
  }
}
