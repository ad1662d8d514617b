/**
 * Begin: admits a transaction, takes its locks and its snapshot, and runs a one-shot commit
 * to its end.
 *
 * G1. A begin that fails leaves nothing open: no lock, no key, no transaction.
 * G2. The optimistic snapshot covers every repository at one moment between commits of this
 *     daemon: it is taken in one synchronous pass.
 */
import { LayerdError } from "../core/errors.ts";
import {
  type FencingToken,
  LAYER_REF_PREFIX,
  layerRef,
  parseTransactionId,
  type RepositoryId,
} from "../core/ids.ts";
import { isExternal } from "../core/operations.ts";
import { OPEN_TRANSACTIONS_MAX } from "../core/limits.ts";
import type { TransactionDocument } from "../core/transaction_document.ts";
import type { RefSnapshot } from "../git/repository.ts";
import type { Clock } from "../system/clock.ts";
import type { Random } from "../system/random.ts";
import type { RepositoryCatalog } from "./catalog.ts";
import { type CommitSteps, problemOf } from "./commit_steps.ts";
import { withDecided } from "./decided_snapshot.ts";
import type { IdempotencyKeys } from "./idempotency.ts";
import type { LayerAccess } from "./layer_access.ts";
import type { BeginRequest } from "./manager.ts";
import { type HeldLock, OpenTransaction, timestamp } from "./open_transaction.ts";
import type { OpenTransactions } from "./open_transactions.ts";
import type { CommitPipeline } from "./pipeline.ts";
import { repositoryError } from "./repository_errors.ts";
import type { StageSteps } from "./stage_steps.ts";
import type { TransactionCalls } from "./transaction_calls.ts";

export interface BeginParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly catalog: Pick<RepositoryCatalog, "get" | "all">;
  readonly open: OpenTransactions;
  readonly keys: IdempotencyKeys;
  readonly access: LayerAccess;
  readonly calls: TransactionCalls;
  readonly steps: CommitSteps;
  readonly nextFencingToken: () => Promise<FencingToken>;
  readonly staging: StageSteps;
  readonly pipeline: Pick<CommitPipeline, "stalled">;
}

/** Stages something in a transaction that has its first locks. */
export type StageWork = (transaction: OpenTransaction) => Promise<void>;

const nothing: StageWork = () => Promise.resolve();

export class BeginTransaction {
  readonly #parts: BeginParts;

  constructor(parts: BeginParts) {
    this.#parts = parts;
  }

  /**
   * Answers a repeated key with its transaction, any other request with a new one. `stage`
   * stages what the request itself cannot say (an undo), beside its operations.
   */
  async begin(
    request: BeginRequest,
    signal: AbortSignal | null,
    stage: StageWork = nothing,
  ): Promise<TransactionDocument> {
    const { keys, open } = this.#parts;
    const key = request.idempotency;
    if (key === null) return await this.#run(request, signal, stage);
    const earlier = keys.claim(key);
    if (earlier !== null) return open.document(earlier);
    try {
      const document = await this.#run(request, signal, stage);
      keys.answer(key, parseTransactionId(document.id));
      // A one-shot that is finished has its key in the ledger.
      if (open.get(parseTransactionId(document.id)) === null) keys.free(key);
      return document;
    } catch (error) {
      keys.free(key);
      throw error;
    }
  }

  async #run(
    request: BeginRequest,
    signal: AbortSignal | null,
    stage: StageWork,
  ): Promise<TransactionDocument> {
    const { open, calls } = this.#parts;
    const locks = this.#resolve(request);
    const transaction = await this.#admit(request);
    transaction.locksAtBegin = locks.length > 0;
    open.add(transaction);
    calls.hold(transaction);
    try {
      return await transaction.inTurn(() =>
        this.#start(transaction, request, locks, signal, stage)
      );
    } finally {
      calls.letGo(transaction);
    }
  }

  async #start(
    transaction: OpenTransaction,
    request: BeginRequest,
    locks: readonly HeldLock[],
    signal: AbortSignal | null,
    stage: StageWork,
  ): Promise<TransactionDocument> {
    const { access, calls, keys, open, staging, steps } = this.#parts;
    try {
      await access.lockAtBegin(transaction, locks, signal);
      if (request.isolation === "optimistic") transaction.snapshots = this.#snapshots();
      transaction.advance("locks_granted");
      open.moved(transaction, "begun");
      if (request.operations.length > 0) {
        await staging.stage(transaction, request.operations, signal);
      }
      await stage(transaction);
      if (!request.commit) return calls.renewed(transaction);
      const key = request.idempotency;
      return await steps.commit(transaction, key && keys.entry(key, transaction.id));
    } catch (error) {
      throw this.#failed(transaction, error);
    }
  }

  /** Rolls back what is still open, and tells how it ended. */
  #failed(transaction: OpenTransaction, error: unknown): unknown {
    const { open, steps } = this.#parts;
    const { id } = transaction;
    const problem = repositoryError(error, "");
    // Still preparing: the log failed under the commit, and only the next start knows how it ended.
    const unknown = transaction.state === "preparing";
    if (open.get(id) === transaction && !unknown) {
      steps.rollBack(transaction, problemOf(problem));
    }
    if (!(error instanceof LayerdError)) return error;
    return error.with({ transaction_id: id, transaction: open.document(id) });
  }

  /** Locks by repository; an unknown repository leaves nothing open. */
  #resolve(request: BeginRequest): HeldLock[] {
    const { catalog } = this.#parts;
    for (const operation of request.operations) {
      if (!isExternal(operation)) catalog.get(operation.repository);
    }
    return request.locks.map(({ repository, layer, mode }) => ({
      repository: catalog.get(repository),
      ref: layerRef(layer),
      mode,
    }));
  }

  async #admit(request: BeginRequest): Promise<OpenTransaction> {
    const { clock, nextFencingToken, open, random } = this.#parts;
    const fencingToken = await nextFencingToken();
    // Asked after the wait, so that begins of one moment cannot pass the limit together.
    if (open.size >= OPEN_TRANSACTIONS_MAX) {
      throw new LayerdError(
        "too_many_transactions",
        `${open.size} transactions are open, which is the limit`,
        { limit: OPEN_TRANSACTIONS_MAX, retry_after_ms: 1_000 },
      );
    }
    const nowMs = clock.now();
    const id = parseTransactionId(random.ulid(nowMs));
    const { isolation, author, tenantId, labels, lockTimeoutMs, idempotency } = request;
    const { operationType, prepareTimeoutMs } = request;
    const header = {
      id,
      fencingToken,
      isolation,
      message: request.message ?? `layerd transaction ${id}`,
      author,
      tenantId,
      labels,
      createdAt: timestamp(nowMs),
      lockTimeoutMs,
      prepareTimeoutMs,
      operationType,
      idempotency,
    };
    return new OpenTransaction(header, request.leaseMs, nowMs);
  }

  /** Of the layers: they are packed, while the user's branches may be thousands of files. */
  #snapshots(): ReadonlyMap<RepositoryId, RefSnapshot> {
    return new Map(
      this.#parts.catalog.all().map(({ id, refs }) => [
        id,
        withDecided(refs.snapshot(LAYER_REF_PREFIX), this.#parts.pipeline.stalled.decidedEdits(id)),
      ]),
    );
  }
}
