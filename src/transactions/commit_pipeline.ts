/**
 * The commit pipeline: one worker for all repositories. While one group is being forced to
 * disk, arriving commits gather into the next. Whatever else must not run beside a group
 * (prepare, redo of a stalled repository, the cut of a checkpoint) takes its turn here.
 *
 * P1. At most one group or turn runs at a time.
 * P2. A member that meets a foreign lock holds nothing while it waits to come back.
 * P3. packed-refs.lock of one repository is held at most 3/5 of the time, by groups and prepares
 *     of up to 100 ms, and after longer ones given free for as long as native git sleeps between
 *     two tries (native_gaps.ts): less than one in a thousand of its seconds of patience fails.
 * P4. After a failed force of the log nothing more is taken and `onFatal` ends the process.
 */
import { LayerdError } from "../core/errors.ts";
import type { RefName, RepositoryId, TransactionId } from "../core/ids.ts";
import { GROUP_TRANSACTIONS_MAX } from "../core/limits.ts";
import type { TransactionDocument } from "../core/transaction_document.ts";
import type { Random } from "../system/random.ts";
import { CommitGroup, withProblem } from "./commit_group.ts";
import type { AdmissionParts, CommitParts, GroupMember, Verdict } from "./group_member.ts";
import { GitHolds } from "./git_holds.ts";
import { Leftovers } from "./leftovers.ts";
import { NativeGaps } from "./native_gaps.ts";
import type { CommitOutcome, CommitPipeline, CommitRequest, PrepareOutcome } from "./pipeline.ts";
import { discardObjects, placingOf, releaseObjects, tidyPacks } from "./placed_objects.ts";
import { PreparedTransactions } from "./prepared_transactions.ts";
import { StalledPublications } from "./stalled_publications.ts";

const BACKOFF_MS_MAX = 100;

interface Waiting extends GroupMember {
  readonly resolve: (outcome: CommitOutcome) => void;
  readonly reject: (error: unknown) => void;
  attempts: number;
}

export interface PipelineParts extends CommitParts {
  readonly random: Random;
  /** The log failed: the process must end without letting go of anything. */
  readonly onFatal: (error: unknown) => void;
}

export class GroupCommitPipeline implements CommitPipeline {
  readonly #parts: PipelineParts & AdmissionParts;
  readonly stalled: StalledPublications;
  readonly prepared: PreparedTransactions;
  readonly holds: GitHolds;
  readonly leftovers: Leftovers;
  readonly #turns: (() => Promise<void>)[] = [];
  #queue: Waiting[] = [];
  /** Members that sleep before they come back. */
  #backingOff = 0;
  #running = false;
  #fatal: unknown = null;
  readonly #gaps = new NativeGaps();
  #idle: (() => void)[] = [];
  /** Called after each group: the checkpointer looks whether the log has grown enough. */
  afterGroup: () => void = () => {};

  constructor(parts: PipelineParts) {
    const promisedNames = (id: RepositoryId) => this.#promisedNames(id);
    this.#parts = { ...parts, promisedNames, unpublished: new Map() };
    const turn = <T>(work: () => Promise<T>) => this.turn(work);
    this.stalled = new StalledPublications(this.#parts, turn);
    this.holds = new GitHolds(this.#parts, turn);
    this.leftovers = new Leftovers(this.#parts, turn);
    const contradicted = this.stalled.noteContradicted.bind(this.stalled);
    this.prepared = new PreparedTransactions(this.#parts, contradicted);
  }

  commit(request: CommitRequest): Promise<CommitOutcome> {
    return this.#enqueue({ request, prepared: false });
  }

  commitPrepared(id: TransactionId): Promise<CommitOutcome> {
    return this.#enqueue({ request: this.prepared.commitRequest(id), prepared: true });
  }

  async prepare(request: CommitRequest): Promise<PrepareOutcome> {
    for (let attempts = 0;; attempts++) {
      const verdict = await this.turn(() => this.#prepare(request));
      if (verdict.kind === "prepared") return verdict;
      if (verdict.kind === "again") {
        const { clock } = this.#parts;
        await clock.sleep(Math.max(1, this.#gaps.readyAt(request.parts) - clock.monotonic()));
        continue;
      }
      if (verdict.kind !== "refused" && verdict.kind !== "blocked") {
        throw new Error(`BUG: prepare ended ${verdict.kind}`);
      }
      const left = request.deadlineMs - this.#parts.clock.monotonic();
      if (verdict.kind === "refused" || left <= 0) {
        this.#discardObjects(request);
        return { kind: "refused", error: verdict.error };
      }
      await this.#parts.clock.sleep(Math.min(left, this.#backoffMs(attempts)));
    }
  }

  /** Leaves native git its share of the lock, as groups do. */
  async #prepare(request: CommitRequest): Promise<Verdict> {
    const { clock } = this.#parts;
    const startMs = clock.monotonic();
    if (this.#gaps.readyAt(request.parts) > startMs) return { kind: "again" };
    const verdict = await this.prepared.prepare(request);
    const endMs = clock.monotonic();
    this.#gaps.leaveAfter({ ms: endMs - startMs, endMs }, request.parts, endMs);
    return verdict;
  }

  rollbackPrepared(id: TransactionId, transaction: TransactionDocument): Promise<void> {
    return this.turn(() => this.prepared.rollback(id, transaction));
  }

  noteRolledBack(transaction: TransactionDocument): void {
    const { log, ledger, endings } = this.#parts;
    ledger.record([{ lsn: log.status().lastLsn, transaction, idempotency: null }]);
    endings.addRolledBack({ kind: "rolled_back", transaction });
  }

  /** Runs work between groups. Rejects as the work does. */
  turn<T>(work: () => Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    if (this.#fatal !== null) return Promise.reject(logFailed(this.#fatal));
    this.#turns.push(() =>
      work().then(resolve, (error) => {
        reject(error);
        if (!(error instanceof LayerdError)) throw error;
      })
    );
    this.#wake();
    return promise;
  }

  /** Logs the ends of branches that no commit has taken along. */
  async flushEnded(): Promise<void> {
    await this.turn(async () => {
      const records = this.#parts.endings.ended();
      if (records.length === 0) return;
      this.#parts.log.appendAll(records);
      await this.#parts.log.force();
      this.#parts.endings.written(records);
    });
  }

  async drain(): Promise<void> {
    while (this.#running || this.#queue.length + this.#turns.length + this.#backingOff > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#idle.push(resolve);
      await promise;
    }
    this.stalled.stop();
    this.leftovers.stop();
    // The last try; what stays is found by the next start.
    await this.turn(() => this.leftovers.tidyAll());
  }

  #enqueue(member: GroupMember): Promise<CommitOutcome> {
    if (this.#fatal !== null) return Promise.reject(logFailed(this.#fatal));
    const { promise, resolve, reject } = Promise.withResolvers<CommitOutcome>();
    this.#queue.push({ ...member, resolve, reject, attempts: 0 });
    this.#wake();
    return promise;
  }

  #wake(): void {
    if (this.#running) return;
    this.#running = true;
    this.#work().catch((error) => this.#fail(error)).finally(() => {
      this.#running = false;
      const idle = this.#idle;
      this.#idle = [];
      for (const resolve of idle) resolve();
      // Work that came after the worker had looked and before it was over found it running.
      if (this.#fatal === null && this.#queue.length + this.#turns.length > 0) this.#wake();
    });
  }

  async #work(): Promise<void> {
    // Lets requests of the same moment gather before the first group is cut.
    await Promise.resolve();
    while (this.#fatal === null) {
      const turn = this.#turns.shift();
      if (turn) {
        await turn();
        this.leftovers.watch();
      } else if (this.#queue.length > 0) await this.#nextGroup();
      else return;
    }
  }

  /** Runs the members whose repositories native git has had its share of. */
  async #nextGroup(): Promise<void> {
    const now = this.#parts.clock.monotonic();
    const readyAt = (member: Waiting) => this.#gaps.readyAt(member.request.parts);
    const ready = this.#queue.filter((member) => readyAt(member) <= now)
      .slice(0, GROUP_TRANSACTIONS_MAX);
    if (ready.length === 0) {
      const next = Math.min(...this.#queue.map(readyAt));
      await this.#parts.clock.sleep(Math.max(1, next - now));
      return;
    }
    const taken = new Set(ready);
    this.#queue = this.#queue.filter((member) => !taken.has(member));
    const group = ready.filter((member) => !this.#meetsStall(member));
    if (group.length === 0) return;
    const work = new CommitGroup(this.#parts, group);
    try {
      const verdicts = await work.run();
      for (const member of group) this.#settle(member, verdicts.get(member));
      this.#parts.unpublished.clear();
    } catch (error) {
      for (const member of group) member.reject(logFailed(error));
      throw error;
    }
    const parts = group.flatMap((member) => member.request.parts);
    this.#gaps.leaveAfter(work.hold, parts, this.#parts.clock.monotonic());
    const repositories = new Set(parts.map((part) => part.repositoryId));
    tidyPacks(this.#parts.catalog, repositories);
    this.leftovers.watchIn(repositories);
    this.afterGroup();
  }

  /** A stalled repository is passed by until its publication went through. */
  #meetsStall(member: Waiting): boolean {
    const error = member.request.parts
      .map((part) => this.stalled.reason(part.repositoryId))
      .find((reason) => reason !== null);
    if (error) this.#comeBack(member, error);
    return Boolean(error);
  }

  #settle(member: Waiting, verdict: Verdict | undefined): void {
    switch (verdict?.kind) {
      case "committed":
        if (member.prepared) this.prepared.forget(member.request.transactionId);
        releaseObjects(this.#parts.catalog, placingOf(member.request));
        member.resolve({
          kind: "committed",
          transaction: withProblem(member.request.transaction, verdict.lost),
        });
        return;
      case "stalled":
        if (member.prepared) this.prepared.forget(member.request.transactionId);
        member.resolve(this.stalled.add(member.request, verdict));
        return;
      case "contradicted":
        this.turn(() => this.prepared.contradict(member.request, verdict))
          .then(member.resolve, member.reject);
        return;
      case "refused":
        this.#refuse(member, verdict.error);
        return;
      case "blocked":
        this.#comeBack(member, verdict.error);
        return;
      case "prepared":
        throw new Error(`BUG: a group prepared ${member.request.transactionId}`);
      case "again":
        this.#queue.push(member);
        return;
      case undefined:
        throw new Error(`BUG: no verdict on ${member.request.transactionId}`);
    }
  }

  #comeBack(member: Waiting, error: LayerdError): void {
    const now = this.#parts.clock.monotonic();
    if (now >= member.request.deadlineMs || this.#fatal !== null) {
      this.#refuse(member, error);
      return;
    }
    const left = Math.max(1, member.request.deadlineMs - now);
    const delayMs = Math.min(left, this.#backoffMs(member.attempts++));
    this.#backingOff++;
    this.#parts.clock.after(delayMs, () => {
      this.#backingOff--;
      this.#queue.push(member);
      this.#wake();
    });
  }

  #refuse(member: Waiting, error: LayerdError): void {
    if (!member.prepared) this.#discardObjects(member.request);
    member.resolve({ kind: "refused", error });
  }

  /** A transaction that tries again builds again: what it wrote for this try is given up. */
  #discardObjects(request: CommitRequest): void {
    discardObjects(this.#parts.catalog, placingOf(request));
  }

  #promisedNames(id: RepositoryId): RefName[] {
    return [...this.prepared.entries(), ...this.stalled.commits()]
      .flatMap((entry) => entry.record.parts)
      .filter((part) => part.repositoryId === id)
      .flatMap((part) => part.edits)
      .flatMap((edit) => edit.old === null ? [edit.ref] : []);
  }

  #backoffMs(attempts: number): number {
    return Math.min(BACKOFF_MS_MAX, 2 ** attempts) * (0.5 + this.#parts.random.uniform());
  }

  #fail(error: unknown): void {
    this.#fatal = error;
    const waiting = this.#queue;
    this.#queue = [];
    for (const member of waiting) member.reject(logFailed(error));
    this.#parts.onFatal(error);
  }
}

function logFailed(cause: unknown): LayerdError {
  return new LayerdError(
    "io_error",
    "The daemon stopped committing: what it was writing is decided by its next start",
    {},
    cause,
  );
}
