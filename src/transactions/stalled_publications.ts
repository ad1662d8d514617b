/**
 * Transactions that are decided and could not be published everywhere (no space, read-only,
 * vanished). Their ref locks stay; publication is tried again with backoff until it goes
 * through or a ref contradicts. Nothing here is ever given up by time.
 */
import type { LayerdError } from "../core/errors.ts";
import type { RepositoryId, TransactionId } from "../core/ids.ts";
import {
  contradictedIn,
  type FailedRecord,
  type LoggedCommit,
  unfinishedParts,
} from "../core/recovery_plan.ts";
import type { RefEdit } from "../core/ref_edit.ts";
import type { TransactionDocument } from "../core/transaction_document.ts";
import type { Random } from "../system/random.ts";
import {
  type AdmissionParts,
  type CommitParts,
  forceStubbornly,
  refsOf,
  type Verdict,
} from "./group_member.ts";
import type { CommitOutcome, CommitRequest, SettledOutcome, Turn } from "./pipeline.ts";
import { branchesOf } from "./git_holds.ts";
import { tidy } from "./leftovers.ts";
import { releaseObjects } from "./placed_objects.ts";
import { redo } from "./redo.ts";

const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 10_000;

type StalledParts = Pick<AdmissionParts, keyof CommitParts | "unpublished"> & {
  readonly random: Random;
};

interface Stalled {
  commit: LoggedCommit;
  readonly settled: Promise<SettledOutcome>;
  readonly settle: (outcome: SettledOutcome) => void;
}

export class StalledPublications {
  readonly #parts: StalledParts;
  readonly #turn: Turn;
  readonly #stalled = new Map<TransactionId, Stalled>();
  readonly #reasons = new Map<RepositoryId, LayerdError>();
  readonly #failed = new Map<TransactionId, LoggedCommit>();
  #retryMs = RETRY_MS_MIN;
  #timer: { cancel(): void } | null = null;
  #stopped = false;

  constructor(parts: StalledParts, turn: Turn) {
    this.#parts = parts;
    this.#turn = turn;
  }

  /** Why a repository is passed by, or null. */
  reason(id: RepositoryId): LayerdError | null {
    return this.#reasons.get(id) ?? null;
  }

  get size(): number {
    return this.#stalled.size;
  }

  /** Commits that are open still, for a checkpoint. */
  commits(): LoggedCommit[] {
    return [...this.#stalled.values()].map((stalled) => stalled.commit);
  }

  /** Takes over a commit that a group could not publish everywhere. */
  add(
    request: CommitRequest,
    verdict: Extract<Verdict, { kind: "stalled" }>,
  ): CommitOutcome {
    const { transaction, parts, idempotency } = request;
    const commit: LoggedCommit = {
      lsn: verdict.lsn,
      record: { kind: "commit", transaction, parts, idempotency, ...branchesOf(request) },
      applied: new Set(verdict.applied),
      failed: new Map(),
      resolved: new Set(),
    };
    const settled = this.adopt(commit, verdict.error);
    const problem = { code: verdict.error.code, detail: verdict.error.message };
    return { kind: "stalled", problem, settled };
  }

  /** Takes over a commit found unpublished by recovery. */
  adopt(commit: LoggedCommit, error: LayerdError): Promise<SettledOutcome> {
    const { promise, resolve } = Promise.withResolvers<SettledOutcome>();
    const id = commit.record.transaction.id as TransactionId;
    this.#stalled.set(id, { commit, settled: promise, settle: resolve });
    for (const part of unfinishedParts(commit)) this.#reasons.set(part.repositoryId, error);
    this.#schedule();
    return promise;
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** Tries again at once, outside the backoff. */
  retry(): Promise<void> {
    return this.#turn(() => this.#attempt());
  }

  /** Gives up on a repository that an operator abandons: what it lacks is logged as failed. */
  async abandon(id: RepositoryId): Promise<void> {
    const left = [...this.#stalled.values()].filter(({ commit }) =>
      unfinishedParts(commit).some((part) => part.repositoryId === id)
    );
    const records: FailedRecord[] = left.map(({ commit }) => ({
      kind: "failed",
      transactionId: commit.record.transaction.id as TransactionId,
      repositoryId: id,
      reason: "The repository was removed before the publication went through",
      conflicts: [],
    }));
    await forceStubbornly(this.#parts, records);
    for (const stalled of left) this.#noteFailed(stalled, records, "abandoned");
    for (const failed of this.#failed.keys()) this.resolve(failed, id);
    this.#refreshReasons(new Map());
  }

  /** Contradicted transactions of this process: a checkpoint keeps them for an operator. */
  failed(): readonly LoggedCommit[] {
    return [...this.#failed.values()];
  }

  /** What is decided for a repository and not published there, oldest first. */
  decidedEdits(id: RepositoryId): RefEdit[] {
    const stalled = this.commits().sort((one, other) => one.lsn - other.lsn)
      .flatMap(unfinishedParts).filter((part) => part.repositoryId === id);
    const youngest = this.#parts.unpublished.get(id) ?? [];
    return [...stalled.flatMap((part) => part.edits), ...youngest];
  }

  /** All that an operator may want to look at: failed, or not published yet. */
  unsettled(): readonly LoggedCommit[] {
    const byId = (commits: Iterable<LoggedCommit>) =>
      [...commits].map((commit) => [commit.record.transaction.id, commit] as const);
    return [...new Map([...byId(this.failed()), ...byId(this.commits())]).values()];
  }

  /** An operator closed a failed part; the record is forced already. */
  resolve(id: TransactionId, repositoryId: RepositoryId): void {
    const closed = (commit: LoggedCommit): LoggedCommit => ({
      ...commit,
      resolved: new Set([...commit.resolved, repositoryId]),
    });
    const stalled = this.#stalled.get(id);
    if (stalled) stalled.commit = closed(stalled.commit);
    const failed = this.#failed.get(id);
    if (!failed) return;
    const after = closed(failed);
    if (contradictedIn(after).length > 0) this.#failed.set(id, after);
    else this.#failed.delete(id);
  }

  /** Notes a contradiction that was met elsewhere (a prepared transaction's commit). */
  noteContradicted(commit: LoggedCommit): void {
    this.#failed.set(commit.record.transaction.id as TransactionId, commit);
  }

  #schedule(): void {
    if (this.#timer !== null || this.#stopped || this.#stalled.size === 0) return;
    const delayMs = this.#retryMs * (0.5 + this.#parts.random.uniform());
    this.#timer = this.#parts.clock.after(delayMs, () => {
      this.#timer = null;
      this.#retryMs = Math.min(RETRY_MS_MAX, this.#retryMs * 2);
      const again = () => this.#schedule();
      // A failure of the log ends the process through the pipeline; all else is tried again.
      this.retry().then(again, again);
    });
  }

  async #attempt(): Promise<void> {
    const outcome = await redo(this.#parts, this.commits());
    for (const [id, repositories] of outcome.applied) this.#noteApplied(id, repositories);
    for (const [id, records] of outcome.failed) {
      const stalled = this.#stalled.get(id);
      if (stalled) this.#noteFailed(stalled, records, "contradicted");
    }
    this.#refreshReasons(outcome.stalled);
    for (const repository of this.#parts.catalog.all()) await tidy(repository);
    if (this.#stalled.size === 0) this.#retryMs = RETRY_MS_MIN;
  }

  #noteApplied(id: TransactionId, repositories: readonly RepositoryId[]): void {
    const stalled = this.#stalled.get(id);
    if (!stalled) return;
    const { commit } = stalled;
    stalled.commit = { ...commit, applied: new Set([...commit.applied, ...repositories]) };
    for (const repositoryId of repositories) this.#release(id, repositoryId, commit);
    this.#settleIfOver(stalled, "abandoned");
  }

  #noteFailed(
    stalled: Stalled,
    records: readonly FailedRecord[],
    reason: "contradicted" | "abandoned",
  ): void {
    const { commit } = stalled;
    const id = commit.record.transaction.id as TransactionId;
    const own = records.filter((record) => record.transactionId === id);
    const failed = new Map(own.map((record) => [record.repositoryId, record]));
    stalled.commit = { ...commit, failed: new Map([...commit.failed, ...failed]) };
    for (const repositoryId of failed.keys()) this.#release(id, repositoryId, commit);
    if (reason === "contradicted") this.noteContradicted(stalled.commit);
    this.#settleIfOver(stalled, reason);
  }

  #settleIfOver(stalled: Stalled, reason: "contradicted" | "abandoned"): void {
    const { commit, settle } = stalled;
    if (unfinishedParts(commit).length > 0) return;
    const { parts, transaction: { id } } = commit.record;
    this.#stalled.delete(id as TransactionId);
    releaseObjects(this.#parts.catalog, { holder: id, parts });
    if (commit.failed.size === 0) {
      const { transaction, idempotency } = commit.record;
      this.#parts.ledger.record([{ lsn: commit.lsn, transaction, idempotency }]);
      settle({ kind: "committed", transaction });
      return;
    }
    const why = [...commit.failed.values()].at(-1)?.reason ?? reason;
    const transaction = failedDocument(commit.record.transaction, why);
    // The failure is younger than the commit record, and so must its row be.
    const lsn = this.#parts.log.status().lastLsn;
    this.#parts.ledger.record([{ lsn, transaction, idempotency: null }]);
    settle({ kind: "failed", transaction });
  }

  #release(id: TransactionId, repositoryId: RepositoryId, commit: LoggedCommit): void {
    const repository = this.#parts.catalog.byId(repositoryId);
    const part = commit.record.parts.find((other) => other.repositoryId === repositoryId);
    if (repository && part) this.#parts.held.release(repository, refsOf(part), id);
  }

  #refreshReasons(latest: ReadonlyMap<RepositoryId, LayerdError>): void {
    const open = new Set(
      this.commits().flatMap((commit) =>
        commit.record.parts.filter((part) => !commit.applied.has(part.repositoryId))
          .map((part) => part.repositoryId)
      ),
    );
    for (const id of this.#reasons.keys()) if (!open.has(id)) this.#reasons.delete(id);
    for (const [id, error] of latest) if (open.has(id)) this.#reasons.set(id, error);
  }
}

/** The document of a decided transaction that cannot be published. */
export function failedDocument(
  transaction: TransactionDocument,
  detail: string,
): TransactionDocument {
  return { ...transaction, state: "failed", problem: { code: "git_error", detail } };
}
