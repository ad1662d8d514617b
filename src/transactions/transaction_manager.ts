/**
 * The transaction manager: wires the parts of this room and answers the routes. It owns no
 * rule of its own: order and leases are transaction_calls', locks lock_waits' and
 * layer_access', operations staging's, commits commit_steps', ends open_transactions'.
 */
import { LayerdError } from "../core/errors.ts";
import type {
  ObjectId,
  RefName,
  RepositoryId,
  RepositoryName,
  SavepointName,
  TransactionId,
} from "../core/ids.ts";
import { LockTables } from "../core/lock_table.ts";
import type { RepositoryPart } from "../core/log_record.ts";
import type { Operation } from "../core/operations.ts";
import type { PreparedRecord } from "../core/recovery_plan.ts";
import type { TransactionDocument } from "../core/transaction_document.ts";
import type { Repository } from "../git/repository.ts";
import type { LedgerFilter } from "../ledger/ledger.ts";
import { type AdoptedRef, AdoptedTransactions } from "./adopted_transactions.ts";
import { BeginTransaction } from "./begin_transaction.ts";
import { BlobSpool } from "./blob_spool.ts";
import { CommitSteps } from "./commit_steps.ts";
import { countTransactions } from "./counts.ts";
import { DurableCommits } from "./durable_commits.ts";
import { drainTransactions } from "./draining.ts";
import { IdempotencyKeys } from "./idempotency.ts";
import { LayerAccess } from "./layer_access.ts";
import type { LayerChange } from "./layer_change.ts";
import { Leases } from "./leases.ts";
import type {
  LocalTransactionManager,
  StagedWork,
  TransactionManagerParts,
} from "./local_manager.ts";
import { LockWaits } from "./lock_waits.ts";
import type { OpenView } from "./layer_reader.ts";
import { locksDocument } from "./locks_document.ts";
import type {
  BeginRequest,
  DiffEntry,
  IdempotencyKey,
  LocksDocument,
  UndoRequest,
} from "./manager.ts";
import { OpenTransactions } from "./open_transactions.ts";
import { ParticipantSteps } from "./participant_steps.ts";
import type { SettledOutcome } from "./pipeline.ts";
import { StageSteps } from "./stage_steps.ts";
import { type AwaitedState, reached, StateWaiters } from "./state_waiters.ts";
import { TransactionCalls } from "./transaction_calls.ts";
import { diffCommitted, diffStaged } from "./transaction_diff.ts";
import { type HealthReport, transactionHealth } from "./transaction_health.ts";
import type { StagingContext } from "./staging_checks.ts";
import { stageUndo } from "./undo.ts";
import { receiveUpload } from "./uploads.ts";
import { undoingRequest } from "./undo_request.ts";

/** Makes the manager; an earlier process's uploads are removed. */
export function createTransactionManager(parts: TransactionManagerParts): LocalTransactionManager {
  return new PipelinedTransactionManager(parts);
}

class PipelinedTransactionManager implements LocalTransactionManager {
  readonly #parts: TransactionManagerParts;
  readonly #tables = new LockTables();
  readonly #waiters: StateWaiters;
  readonly #spool: BlobSpool;
  readonly #waits: LockWaits;
  readonly #open: OpenTransactions;
  readonly #steps: CommitSteps;
  readonly #calls: TransactionCalls;
  readonly #staging: StageSteps;
  readonly #begin: BeginTransaction;
  readonly #adopted: AdoptedTransactions;
  #draining = false;

  constructor(parts: TransactionManagerParts) {
    const { clock, catalog, pipeline, ledger, events, metrics } = parts;
    this.#parts = parts;
    const keys = new IdempotencyKeys(clock, ledger);
    const leases = new Leases(clock, (id) => this.#calls.expire(id));
    const waiters = this.#waiters = new StateWaiters(clock);
    const spool = this.#spool = new BlobSpool(parts.spoolDirectory, parts.fileSystem, parts.clock);
    const tables = this.#tables;
    const waits = this.#waits = new LockWaits(tables, clock, events, metrics);
    const access = new LayerAccess(waits);
    const open = this.#open = new OpenTransactions({
      ...parts,
      leases,
      waits,
      spool,
      keys,
      waiters,
    });
    waits.whyHeld = (id) => open.get(id)?.problem?.detail ?? null;
    const steps = this.#steps = new CommitSteps({
      clock,
      pipeline,
      participants: new ParticipantSteps(parts),
      open,
      access,
      waits,
      metrics,
      durable: new DurableCommits(ledger),
      keys,
    });
    const calls = this.#calls = new TransactionCalls({ clock, open, leases, steps });
    const staging = this.#staging = new StageSteps({ ...parts, access, steps });
    this.#begin = new BeginTransaction({ ...parts, open, keys, access, calls, steps, staging });
    this.#adopted = new AdoptedTransactions({ catalog, tables, open, steps, keys });
    spool.sweep();
  }

  async begin(request: BeginRequest, signal?: AbortSignal): Promise<TransactionDocument> {
    this.#requireServing();
    return await this.#begin.begin(request, signal ?? null);
  }

  async undo(
    id: TransactionId,
    request: UndoRequest,
    signal?: AbortSignal,
  ): Promise<TransactionDocument> {
    const undone = this.#open.document(id);
    const work = (context: StagingContext) => stageUndo(context, undone.results);
    return await this.commitStaged(undoingRequest(undone, request), work, signal);
  }

  async commitStaged(
    request: BeginRequest,
    work: StagedWork,
    signal?: AbortSignal,
  ): Promise<TransactionDocument> {
    this.#requireServing();
    return await this.#begin.begin(
      request,
      signal ?? null,
      (transaction) => this.#staging.whole(transaction, signal ?? null, work),
    );
  }

  #requireServing(): void {
    if (!this.#draining) return;
    throw new LayerdError("draining", "The daemon stops and takes no new transactions");
  }

  stage(
    id: TransactionId,
    operations: readonly Operation[],
    signal?: AbortSignal,
  ): Promise<TransactionDocument> {
    return this.#calls.serve(
      id,
      "stage",
      (transaction) => this.#staging.stage(transaction, operations, signal ?? null),
    );
  }

  async addBlob(
    id: TransactionId,
    body: ReadableStream<Uint8Array>,
  ): Promise<{ readonly oid: ObjectId; readonly size: number }> {
    return await receiveUpload({ calls: this.#calls, spool: this.#spool }, id, body);
  }

  prepare(id: TransactionId): Promise<TransactionDocument> {
    return this.#calls.serve(id, "prepare", async (transaction) => {
      if (transaction.state !== "prepared") await this.#steps.prepare(transaction);
    });
  }

  commit(id: TransactionId): Promise<TransactionDocument> {
    const underWay = this.#open.get(id)?.committing;
    if (underWay) return underWay;
    const outcome = this.#calls.serve(id, "commit", async (transaction) => {
      if (transaction.state === "prepared") await this.#steps.commitPrepared(transaction);
      else if (transaction.state === "active") await this.#steps.commit(transaction, null);
    });
    const transaction = this.#open.get(id);
    if (transaction !== null) {
      transaction.committing = outcome;
      const over = () => transaction.committing = null;
      outcome.then(over, over);
    }
    return outcome;
  }

  rollback(id: TransactionId): Promise<TransactionDocument> {
    const answer = this.#calls.serve(id, "rollback", async (transaction) => {
      if (transaction.state === "prepared") await this.#steps.rollbackPrepared(transaction);
      else this.#steps.rollBack(transaction, null);
    });
    if (!this.#waits.has(id)) return answer;
    // A call that waits for a lock has nothing to wait for any more.
    const details = { transaction_id: id, from: "active", event: "rollback" };
    const text = `Transaction ${id} was rolled back while a call waited for a lock`;
    this.#waits.refuse(id, new LayerdError("invalid_transition", text, details));
    return answer;
  }

  heartbeat(id: TransactionId, leaseMs: number | null): Promise<TransactionDocument> {
    return this.#calls.serve(id, "heartbeat", (transaction) => {
      if (leaseMs !== null) transaction.leaseMs = leaseMs;
      return Promise.resolve();
    });
  }

  savepoint(id: TransactionId, name: SavepointName): Promise<TransactionDocument> {
    return this.#calls.serve(id, "savepoint", (transaction) => {
      transaction.changes.save(name);
      return Promise.resolve();
    });
  }

  rollbackTo(id: TransactionId, name: SavepointName): Promise<TransactionDocument> {
    return this.#calls.serve(id, "savepoint", (transaction) => {
      transaction.changes.undoToSavepoint(name);
      return Promise.resolve();
    });
  }

  get(id: TransactionId): TransactionDocument {
    return this.#open.document(id);
  }

  async waitFor(
    id: TransactionId,
    state: AwaitedState,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<TransactionDocument> {
    const document = this.#open.document(id);
    if (reached(document, state)) return document;
    return await this.#waiters.wait(id, state, timeoutMs, signal);
  }

  list(
    filter: LedgerFilter,
    limit: number,
    before: TransactionId | null,
  ): TransactionDocument[] {
    return this.#open.list(filter, limit, before);
  }

  async diff(id: TransactionId): Promise<DiffEntry[]> {
    if (this.#open.get(id) !== null) {
      return await this.#calls.read(id, "read", (transaction) => diffStaged(transaction.changes));
    }
    const document = this.#open.document(id);
    if (document.state !== "committed") return [];
    return await diffCommitted(document, this.#parts.catalog);
  }

  async health(id: TransactionId): Promise<HealthReport> {
    return await transactionHealth(this.#open.document(id), this.#parts.catalog);
  }

  /** Reads a layer inside a transaction: see {@link TransactionReads}. */
  read<T>(
    id: TransactionId,
    repository: RepositoryName,
    ref: RefName,
    work: (view: LayerChange) => Promise<T>,
  ): Promise<T> {
    return this.inside(id, async (open) => await work(await open(repository, ref)));
  }

  inside<T>(id: TransactionId, work: (open: OpenView) => Promise<T>): Promise<T> {
    return this.#calls.read(
      id,
      "read",
      (transaction) =>
        work((repository, ref) =>
          this.#staging.view(transaction, this.#parts.catalog.get(repository), ref)
        ),
    );
  }

  locks(repository: RepositoryName | null): LocksDocument {
    const { catalog } = this.#parts;
    return locksDocument(this.#tables, repository && catalog.get(repository), catalog);
  }

  counts(): { readonly active: number; readonly in_doubt: number; readonly failed: number } {
    return countTransactions(this.#open, this.#parts.ledger);
  }

  async drain(timeoutMs: number): Promise<void> {
    this.#draining = true;
    const { clock, coordinator } = this.#parts;
    const parts = { clock, coordinator, open: this.#open, waits: this.#waits, steps: this.#steps };
    await drainTransactions(parts, timeoutMs);
  }

  touches(repositoryId: RepositoryId): boolean {
    return this.#open.touches(repositoryId);
  }

  adoptPrepared(record: PreparedRecord): void {
    this.#adopted.prepared(record);
  }

  adoptRepository(id: TransactionId, back: Repository, parts: readonly RepositoryPart[]): void {
    this.#adopted.returned(id, back, parts);
  }

  adoptCommitting(
    document: TransactionDocument,
    refs: readonly AdoptedRef[],
    key: IdempotencyKey | null,
    settled: Promise<SettledOutcome>,
  ): void {
    this.#adopted.committing(document, refs, key, settled);
  }
}
