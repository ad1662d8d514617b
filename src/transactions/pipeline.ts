/** The commit pipeline as the manager uses it. */
import type { Branch } from "../core/branch.ts";
import type { IdempotencyEntry, RepositoryPart } from "../core/log_record.ts";
import type { LayerdError } from "../core/errors.ts";
import type { ObjectId, RepositoryId, TransactionId } from "../core/ids.ts";
import type { RefEdit } from "../core/ref_edit.ts";
import type { ProblemSummary, TransactionDocument } from "../core/transaction_document.ts";

/**
 * A built transaction that wants to be decided. Its objects are written already, and what
 * it relies on of others' is durable.
 */
export interface CommitRequest {
  readonly transactionId: TransactionId;
  /** Parts in which something is edited or checked. */
  readonly parts: readonly RepositoryPart[];
  /** The document as it will be once committed (results filled in). */
  readonly transaction: TransactionDocument;
  readonly idempotency: IdempotencyEntry | null;
  /** Objects of native git's that the parts point at: still there, under the locks? */
  readonly reliesOn: ReadonlyMap<RepositoryId, readonly ObjectId[]>;
  /** Branches that are prepared at participants; the decision names them. */
  readonly branches: readonly Branch[];
  /** Whether its ref locks stand already, and stay when it leaves a group (git_holds.ts). */
  readonly isHeld: boolean;
  /** Monotonic milliseconds after which a foreign lock ends in `repository_locked`. */
  readonly deadlineMs: number;
  /** Asked under the locks, right before the decision: may it still commit (lease)? */
  readonly stillWanted: () => boolean;
}

/** How a commit ended. `refused` leaves nothing behind; the manager decides what that means for the state. */
export type CommitOutcome =
  | { readonly kind: "committed"; readonly transaction: TransactionDocument }
  /** Decided, but a repository lags; `settled` resolves when it ends. */
  | {
    readonly kind: "stalled";
    readonly problem: ProblemSummary;
    readonly settled: Promise<SettledOutcome>;
  }
  | { readonly kind: "refused"; readonly error: LayerdError };

export type SettledOutcome =
  | { readonly kind: "committed"; readonly transaction: TransactionDocument }
  | { readonly kind: "failed"; readonly transaction: TransactionDocument };

export type PrepareOutcome =
  | { readonly kind: "prepared" }
  | { readonly kind: "refused"; readonly error: LayerdError };

/** Runs work between commit groups. */
export type Turn = <T>(work: () => Promise<T>) => Promise<T>;

export interface CommitPipeline {
  /** What is decided and lags. */
  readonly stalled: { decidedEdits(id: RepositoryId): readonly RefEdit[] };
  /** Joins the next group. Never rejects but for a bug or a failed log. */
  commit(request: CommitRequest): Promise<CommitOutcome>;
  /** The public promise: forced `prepared` record, pins, locks kept across restarts. */
  prepare(request: CommitRequest): Promise<PrepareOutcome>;
  commitPrepared(id: TransactionId): Promise<CommitOutcome>;
  /** Forces the `rolled_back` record, then gives the locks back. */
  rollbackPrepared(id: TransactionId, transaction: TransactionDocument): Promise<void>;
  /** Notes the end of an unprepared transaction: appended, written with the next force. */
  noteRolledBack(transaction: TransactionDocument): void;
  /** Stops taking requests; resolves when the group under way is finished. */
  drain(): Promise<void>;
}
