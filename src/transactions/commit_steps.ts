/**
 * The last steps of a transaction: commit, prepare, rollback, and what a decided one that
 * lags comes to. Each runs in the transaction's turn.
 *
 * S1. Objects are built and written before any lock is asked for at commit.
 * S2. After a refusal that may be tried again the transaction is active as it was, and an
 *     optimistic one gives back the locks that its commit took. Any other refusal ends it.
 * S3. Once the pipeline says `stalled` nothing here ends the transaction but the
 *     pipeline's own word.
 */
import { getLogger } from "@logtape/logtape";
import { type LayerdError, messageOf } from "../core/errors.ts";
import { parseObjectId } from "../core/ids.ts";
import { LEASE_MS_DEFAULT } from "../core/limits.ts";
import type { IdempotencyEntry, RepositoryPart } from "../core/log_record.ts";
import type {
  ProblemSummary,
  RefResult,
  TransactionDocument,
} from "../core/transaction_document.ts";
import type { Clock } from "../system/clock.ts";
import { buildPart, reliedOn, resultsOf } from "./build.ts";
import type { DurableCommits } from "./durable_commits.ts";
import { RETRYABLE_REFUSALS } from "./group_member.ts";
import type { IdempotencyKeys } from "./idempotency.ts";
import type { LayerAccess } from "./layer_access.ts";
import type { LockWaits } from "./lock_waits.ts";
import type { Metrics } from "./metrics.ts";
import type { OpenTransaction } from "./open_transaction.ts";
import type { OpenTransactions } from "./open_transactions.ts";
import type { ParticipantSteps } from "./participant_steps.ts";
import type { CommitOutcome, CommitPipeline, CommitRequest, SettledOutcome } from "./pipeline.ts";
import { withReadsChecked } from "./read_checks.ts";
import { repositoryError } from "./repository_errors.ts";

const logger = getLogger(["layerd", "transactions"]);

export interface CommitStepsParts {
  readonly clock: Clock;
  readonly pipeline: CommitPipeline;
  readonly participants: ParticipantSteps;
  readonly open: OpenTransactions;
  readonly access: LayerAccess;
  readonly waits: LockWaits;
  readonly metrics: Metrics;
  readonly durable: DurableCommits;
  readonly keys: Pick<IdempotencyKeys, "entry">;
}

export class CommitSteps {
  readonly #parts: CommitStepsParts;

  constructor(parts: CommitStepsParts) {
    this.#parts = parts;
  }

  /** Commits an active transaction. `entry`: the key of a one-shot commit. */
  async commit(
    transaction: OpenTransaction,
    entry: IdempotencyEntry | null,
  ): Promise<TransactionDocument> {
    const request = await this.#ready(transaction, "commit", entry);
    const { clock, metrics, participants } = this.#parts;
    const startMs = clock.monotonic();
    const outcome = await participants.commit(transaction, request);
    metrics.observeCommit(clock.monotonic() - startMs);
    return await this.#outcome(transaction, outcome, request.transaction.results);
  }

  /** Makes the public promise: from here on only commit or rollback ends it. */
  async prepare(transaction: OpenTransaction): Promise<TransactionDocument> {
    const { id, idempotency } = transaction.header;
    const entry = idempotency === null ? null : this.#parts.keys.entry(idempotency, id);
    const request = await this.#ready(transaction, "prepare", entry);
    const outcome = await this.#parts.participants.prepare(transaction, request);
    if (outcome.kind === "refused") throw this.#refuse(transaction, outcome.error);
    transaction.advance("vote_prepared");
    transaction.leaseExpiresAtMs = null;
    transaction.promised = request.transaction.results;
    this.#parts.open.moved(transaction, "prepared");
    return transaction.document();
  }

  async commitPrepared(transaction: OpenTransaction): Promise<TransactionDocument> {
    transaction.advance("commit");
    const outcome = await this.#parts.participants.commitPrepared(transaction);
    if (outcome.kind !== "refused") {
      return await this.#outcome(transaction, outcome, transaction.promised);
    }
    // The promise stands: a full disk, say, does not take it back.
    transaction.advance("refused_retryable");
    throw outcome.error.with({ transaction: transaction.document() });
  }

  async rollbackPrepared(transaction: OpenTransaction): Promise<TransactionDocument> {
    const document = this.#rolledBack(transaction, null);
    // Until the record is forced the promise stands: where the disk is full, say, it stays.
    await this.#parts.pipeline.rollbackPrepared(transaction.id, document);
    transaction.advance("rollback");
    this.#parts.participants.rolledBack(transaction);
    transaction.advance("rolled_back");
    this.#parts.open.end(transaction, document);
    return document;
  }

  /** Ends a transaction that has promised nothing. */
  rollBack(transaction: OpenTransaction, problem: ProblemSummary | null): TransactionDocument {
    const document = this.#turnBack(transaction, problem);
    this.#parts.pipeline.noteRolledBack(document);
    this.#parts.open.end(transaction, document);
    return document;
  }

  /** Ends a transaction with its daemon: nothing of it is recorded. */
  abandon(transaction: OpenTransaction, problem: ProblemSummary): void {
    this.#parts.open.end(transaction, this.#turnBack(transaction, problem));
  }

  /** Waits for a decided transaction that lags, then ends it as the pipeline says. */
  awaitSettled(transaction: OpenTransaction, settled: Promise<SettledOutcome>): void {
    settled.then(
      (outcome) => this.#settle(transaction, outcome),
      (error) =>
        logger.error("Publication of {id} is left to the next start: {error}", {
          id: transaction.id,
          error: messageOf(error),
        }),
    );
  }

  /** Builds and locks; what is left is the pipeline's. */
  async #ready(
    transaction: OpenTransaction,
    reason: "commit" | "prepare",
    entry: IdempotencyEntry | null,
  ): Promise<CommitRequest> {
    const { clock, open, access, durable } = this.#parts;
    const { header } = transaction;
    transaction.advance(reason);
    open.moved(transaction, null);
    const parts: RepositoryPart[] = [];
    try {
      parts.push(...await buildParts(transaction, clock.now(), durable));
      if (header.isolation === "optimistic") await access.lockForCommit(transaction, parts);
      const nowMs = clock.monotonic();
      const votesMs = transaction.changes.calls.length === 0 ? 0 : header.prepareTimeoutMs;
      const wantedUntilMs = nowMs + header.lockTimeoutMs + votesMs +
        Math.max(transaction.leaseMs, LEASE_MS_DEFAULT);
      return {
        transactionId: transaction.id,
        parts,
        transaction: transaction.endDocument("committed", resultsOf(parts), null, clock.now()),
        idempotency: entry,
        branches: [],
        isHeld: false,
        reliesOn: new Map(
          [...transaction.changes.repositories].map((changes) => [
            changes.repository.id,
            reliedOn(changes),
          ]),
        ),
        deadlineMs: nowMs + header.lockTimeoutMs,
        // The caller waits for the answer, so its lease does not run; but a daemon that was
        // stopped meanwhile must not commit for somebody who has given up long ago.
        stillWanted: () => clock.monotonic() < wantedUntilMs,
      };
    } catch (error) {
      for (const { repository } of transaction.changes.repositories) {
        const part = parts.find(({ repositoryId }) => repositoryId === repository.id);
        if (part) repository.objects.discard(part.objects);
      }
      throw this.#refuse(transaction, repositoryError(error, namesOf(transaction)));
    }
  }

  async #outcome(
    transaction: OpenTransaction,
    outcome: CommitOutcome,
    results: readonly RefResult[],
  ): Promise<TransactionDocument> {
    if (outcome.kind === "refused") throw this.#refuse(transaction, outcome.error);
    if (transaction.state === "preparing") transaction.advance("vote_prepared");
    transaction.advance("decided");
    if (outcome.kind === "committed") {
      return this.#settle(transaction, outcome);
    }
    // A prepared transaction that was contradicted has failed by now.
    const settled = await Promise.race([outcome.settled, Promise.resolve(null)]);
    if (settled !== null) return this.#settle(transaction, settled);
    transaction.problem = outcome.problem;
    transaction.results = results;
    transaction.leaseExpiresAtMs = null;
    this.awaitSettled(transaction, outcome.settled);
    this.#parts.open.moved(transaction, "committing");
    return transaction.document();
  }

  /** Ends a decided transaction as the pipeline says. */
  #settle(transaction: OpenTransaction, outcome: SettledOutcome): TransactionDocument {
    if (outcome.kind === "committed") {
      transaction.advance("published");
      this.#noteDurable(transaction, outcome.transaction.results);
    } else {
      transaction.advance("contradicted");
    }
    this.#parts.open.end(transaction, outcome.transaction);
    return outcome.transaction;
  }

  /** The log vouches for what was just committed. */
  #noteDurable(transaction: OpenTransaction, results: readonly RefResult[]): void {
    for (const { repository } of transaction.changes.repositories) {
      for (const result of results) {
        if (result.repository !== repository.name || result.new === null) continue;
        this.#parts.durable.note(repository.id, parseObjectId(result.new));
      }
    }
  }

  /** What a refusal does to the transaction; answers the error for the client. */
  #refuse(transaction: OpenTransaction, error: LayerdError): LayerdError {
    const { id } = transaction;
    if (!RETRYABLE_REFUSALS.has(error.code)) {
      const document = this.rollBack(transaction, problemOf(error));
      return error.with({ transaction_id: id, transaction: document });
    }
    if (transaction.header.isolation === "optimistic" && !transaction.locksAtBegin) {
      this.#parts.waits.release(id);
      transaction.forgetLocks();
    }
    transaction.advance("refused_retryable");
    this.#parts.open.moved(transaction, null);
    return error.with({ transaction_id: id, transaction: transaction.document() });
  }

  #turnBack(
    transaction: OpenTransaction,
    problem: ProblemSummary | null,
  ): TransactionDocument {
    if (transaction.state === "preparing") transaction.advance("vote_refused");
    else transaction.advance(problem?.code === "lease_expired" ? "lease_expired" : "rollback");
    transaction.advance("rolled_back");
    return this.#rolledBack(transaction, problem);
  }

  #rolledBack(
    transaction: OpenTransaction,
    problem: ProblemSummary | null,
  ): TransactionDocument {
    return transaction.endDocument("rolled_back", [], problem, this.#parts.clock.now());
  }
}

/** A refusal as the transaction's document keeps it. */
export function problemOf(error: LayerdError): ProblemSummary {
  const { conflicts, participants } = error.details;
  return {
    code: error.code,
    detail: error.message,
    ...conflicts === undefined ? {} : { conflicts },
    ...participants === undefined ? {} : { participants },
  };
}

async function buildParts(
  transaction: OpenTransaction,
  atMs: number,
  durable: DurableCommits,
): Promise<readonly RepositoryPart[]> {
  const { id, message, author, isolation } = transaction.header;
  const parts: RepositoryPart[] = [];
  for (const changes of transaction.changes.repositories) {
    const part = await buildPart(changes, { id, message, author, atMs }, durable);
    if (part !== null) parts.push(part);
  }
  return isolation === "locking" ? withReadsChecked(parts, transaction) : parts;
}

function namesOf(transaction: OpenTransaction): string {
  return [...transaction.changes.repositories].map(({ repository }) => repository.name).join(", ");
}
