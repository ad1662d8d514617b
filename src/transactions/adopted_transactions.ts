/**
 * Transactions that outlived their daemon, brought back by recovery before anything is
 * served: promises (prepared) and decided ones whose publication lags. They hold their
 * table locks again, so that no new transaction comes in between.
 */
import { invariant } from "../core/errors.ts";
import {
  parseTransactionId,
  type RefName,
  type RepositoryId,
  toFencingToken,
  type TransactionId,
} from "../core/ids.ts";
import { PREPARE_TIMEOUT_MS_DEFAULT } from "../core/limits.ts";
import type { LockTables } from "../core/lock_table.ts";
import type { RepositoryPart } from "../core/log_record.ts";
import type { PreparedRecord } from "../core/recovery_plan.ts";
import type { LockMode, TransactionDocument } from "../core/transaction_document.ts";
import type { Repository } from "../git/repository.ts";
import type { RepositoryCatalog } from "./catalog.ts";
import type { CommitSteps } from "./commit_steps.ts";
import type { IdempotencyKeys } from "./idempotency.ts";
import type { IdempotencyKey } from "./manager.ts";
import { OpenTransaction } from "./open_transaction.ts";
import type { OpenTransactions } from "./open_transactions.ts";
import type { SettledOutcome } from "./pipeline.ts";

/** A ref of a decided transaction. */
export interface AdoptedRef {
  readonly repositoryId: RepositoryId;
  readonly ref: RefName;
}

export interface AdoptedTransactionsParts {
  readonly catalog: Pick<RepositoryCatalog, "byId">;
  readonly tables: LockTables;
  readonly open: OpenTransactions;
  readonly steps: CommitSteps;
  readonly keys: IdempotencyKeys;
}

export class AdoptedTransactions {
  readonly #parts: AdoptedTransactionsParts;

  constructor(parts: AdoptedTransactionsParts) {
    this.#parts = parts;
  }

  /** Takes back a promise: exclusive locks on what it moves, shared ones on what it checks. */
  prepared({ transaction: document, parts, idempotency: key, branches }: PreparedRecord): void {
    const transaction = openedFrom(document, "prepared", key);
    if (key !== null) this.#parts.keys.adopt(key, transaction.id);
    transaction.promised = document.results;
    transaction.promisedBranches = branches ?? [];
    transaction.participants = document.participants;
    for (const part of parts) {
      const { repositoryId } = part;
      for (const { ref } of part.edits) {
        this.#lock(transaction, { repositoryId, ref }, "exclusive");
      }
      for (const { ref } of part.checks) this.#lock(transaction, { repositoryId, ref }, "shared");
      const repository = this.#parts.catalog.byId(repositoryId);
      if (repository !== null) notePart(transaction, repository, part);
    }
    this.#parts.open.add(transaction);
  }

  /** A repository that a promise touches was away at the start, and is back. */
  returned(
    id: TransactionId,
    repository: Repository,
    parts: readonly RepositoryPart[],
  ): void {
    const transaction = this.#parts.open.get(id);
    if (transaction === null) return;
    for (const part of parts) {
      if (part.repositoryId !== repository.id) continue;
      for (const { ref } of part.edits) transaction.noteLock(repository, ref, "exclusive");
      for (const { ref } of part.checks) transaction.noteLock(repository, ref, "shared");
      notePart(transaction, repository, part);
    }
  }

  /** Takes back a decided transaction; its locks stay until it is settled. */
  committing(
    document: TransactionDocument,
    refs: readonly AdoptedRef[],
    key: IdempotencyKey | null,
    settled: Promise<SettledOutcome>,
  ): void {
    const transaction = openedFrom(document, "committing", key);
    if (key !== null) this.#parts.keys.adopt(key, transaction.id);
    transaction.results = document.results;
    transaction.problem = document.problem;
    transaction.participants = document.participants.map((one) =>
      one.outcome === "committed" ? { ...one, outcome: "in_doubt" } : one
    );
    for (const ref of refs) this.#lock(transaction, ref, "exclusive");
    this.#parts.open.add(transaction);
    this.#parts.steps.awaitSettled(transaction, settled);
  }

  #lock(transaction: OpenTransaction, { repositoryId, ref }: AdoptedRef, mode: LockMode): void {
    const { id, header } = transaction;
    const answer = this.#parts.tables.acquire(id, repositoryId, ref, mode, header.createdAt);
    invariant(answer.kind === "granted", `${id} and another adopted transaction both lock ${ref}`);
    const repository = this.#parts.catalog.byId(repositoryId);
    if (repository !== null) transaction.noteLock(repository, ref, mode);
  }
}

/** What the transaction sees and does in a repository. */
function notePart(
  transaction: OpenTransaction,
  repository: Repository,
  { edits, checks }: RepositoryPart,
): void {
  for (const { ref, old, new: value } of edits) {
    transaction.noteSeen(repository, ref, old);
    // Its objects are in the repository, so reads and diffs look at the commit itself.
    transaction.changes.change(repository, ref, old).reset(
      value === null ? { kind: "absent" } : { kind: "object", oid: value },
    );
  }
  for (const { ref, expected } of checks) transaction.noteSeen(repository, ref, expected);
}

function openedFrom(
  document: TransactionDocument,
  state: "prepared" | "committing",
  idempotency: IdempotencyKey | null,
): OpenTransaction {
  const header = {
    id: parseTransactionId(document.id),
    fencingToken: toFencingToken(document.fencing_token),
    isolation: document.isolation,
    message: document.message,
    author: document.author,
    tenantId: document.tenant_id,
    labels: document.labels,
    createdAt: document.created_at,
    lockTimeoutMs: 0,
    prepareTimeoutMs: PREPARE_TIMEOUT_MS_DEFAULT,
    operationType: null,
    idempotency,
  };
  const transaction = new OpenTransaction(header, 0, Date.parse(document.updated_at), state);
  transaction.changes.keep(document.operations);
  return transaction;
}
