/**
 * Transactions that an outside coordinator had prepared: a promise that outlives leases and
 * restarts (DESIGN section 3). Their ref locks stand, their refs are pinned as loose files
 * (native deletion cannot remove a loose ref under our lock), and only commit or rollback
 * ends them. Everything here runs as a turn of the pipeline.
 */
import { invariant, LayerdError } from "../core/errors.ts";
import type { Lsn, ObjectId, RepositoryId, TransactionId } from "../core/ids.ts";
import type {
  CommitRecord,
  FailedRecord,
  LoggedCommit,
  PreparedRecord,
} from "../core/recovery_plan.ts";
import type { TransactionDocument } from "../core/transaction_document.ts";
import { Admission, partIn } from "./admission.ts";
import {
  type AdmissionParts,
  forceStubbornly,
  type GroupMember,
  refsOf,
  timedForce,
  type Verdict,
} from "./group_member.ts";
import { branchesOf } from "./git_holds.ts";
import { tidy } from "./leftovers.ts";
import type { CommitOutcome, CommitRequest } from "./pipeline.ts";
import { discardObjects, placeObjects } from "./placed_objects.ts";
import { repositoryError } from "./repository_errors.ts";
import { failedDocument } from "./stalled_publications.ts";
import { committedAs } from "./votes.ts";

/** How long a commit of a prepared transaction tries against a foreign packed-refs.lock. */
const PREPARED_COMMIT_MS_MAX = 5_000;

export interface PreparedEntry {
  readonly lsn: Lsn;
  readonly record: PreparedRecord;
}

export class PreparedTransactions {
  readonly #parts: AdmissionParts;
  readonly #entries = new Map<TransactionId, PreparedEntry>();

  readonly #noteContradicted: (commit: LoggedCommit) => void;

  constructor(parts: AdmissionParts, noteContradicted: (commit: LoggedCommit) => void) {
    this.#parts = parts;
    this.#noteContradicted = noteContradicted;
  }

  /** For a checkpoint: promises that are open. */
  entries(): PreparedEntry[] {
    return [...this.#entries.values()];
  }

  /** Takes over a promise found by recovery, whose locks are registered already. */
  adopt(entry: PreparedEntry): void {
    this.#entries.set(entry.record.transaction.id as TransactionId, entry);
  }

  forget(id: TransactionId): void {
    this.#entries.delete(id);
  }

  /** Locks, compares, pins, and forces the promise. */
  async prepare(request: CommitRequest): Promise<Verdict> {
    const member: GroupMember = { request, prepared: false };
    const unplaced = this.#place(request);
    if (unplaced !== null) return { kind: "refused", error: unplaced };
    const admission = new Admission(this.#parts, [member]);
    await admission.admit();
    const verdict = admission.verdicts.get(member);
    if (verdict) {
      await admission.undo();
      return verdict;
    }
    const record: PreparedRecord = {
      kind: "prepared",
      transaction: { ...request.transaction, state: "prepared", lease_expires_at: null },
      parts: request.parts,
      idempotency: request.idempotency,
      reliesOn: [...request.reliesOn].flatMap(([repositoryId, objects]) =>
        objects.length === 0 ? [] : [{ repositoryId, objects }]
      ),
      ...branchesOf(request),
    };
    try {
      for (const [id, { repository: { publisher } }] of admission.lanes) {
        await publisher.pin(partIn(member, id).flatMap(refsOf));
        await publisher.keepObjects(request.transactionId, request.reliesOn.get(id) ?? []);
      }
      const lsn = this.#parts.log.append(record);
      await timedForce(this.#parts);
      this.#entries.set(request.transactionId, { lsn, record });
      this.#parts.ledger.record([{ lsn, transaction: record.transaction, idempotency: null }]);
    } catch (error) {
      const names = request.parts.map((part) => part.repository).join(", ");
      const problem = repositoryError(error, names);
      if (problem.code === "internal") throw error;
      admission.leave(member, { kind: "refused", error: problem });
      for (const { repository } of admission.lanes.values()) await tidy(repository);
      await admission.undo();
      return { kind: "refused", error: problem };
    }
    for (const lane of admission.lanes.values()) lane.repository.publisher.unlockPackedRefs();
    return { kind: "prepared" };
  }

  /** Answers why the objects could not be written, or null. */
  #place({ transactionId, parts }: CommitRequest): LayerdError | null {
    for (const { repositoryId, repository: name } of parts) {
      const repository = this.#parts.catalog.byId(repositoryId);
      if (repository === null) continue;
      try {
        placeObjects(repository, [{ holder: transactionId, parts }]);
      } catch (error) {
        return repositoryError(error, name);
      }
    }
    return null;
  }

  /** What the pipeline publishes when the coordinator says commit. */
  commitRequest(id: TransactionId): CommitRequest {
    const { record } = this.#entry(id);
    const now = new Date(this.#parts.clock.now()).toISOString();
    return {
      transactionId: id,
      parts: record.parts,
      transaction: {
        ...record.transaction,
        state: "committed",
        updated_at: now,
        participants: record.transaction.participants.map(committedAs),
      },
      // The key of a begin ends with its transaction.
      idempotency: null,
      reliesOn: reliedOnAtCommit(record),
      branches: record.branches ?? [],
      isHeld: false,
      deadlineMs: this.#parts.clock.monotonic() + PREPARED_COMMIT_MS_MAX,
      stillWanted: () => true,
    };
  }

  async rollback(id: TransactionId, transaction: TransactionDocument): Promise<void> {
    const { record } = this.#entry(id);
    const lsn = this.#parts.log.append({ kind: "rolled_back", transaction });
    await timedForce(this.#parts);
    this.#parts.ledger.record([{ lsn, transaction, idempotency: null }]);
    await this.#release(id, record);
  }

  /**
   * A ref moved in spite of lock and pin (somebody removed them, or native git made a
   * conflicting name), or what was promised is gone from the repository: the decision is
   * recorded with its failure, and nothing is published.
   */
  async contradict(
    request: CommitRequest,
    { reason, conflicts }: Extract<Verdict, { kind: "contradicted" }>,
  ): Promise<CommitOutcome> {
    const { transactionId, parts, idempotency } = request;
    const { record } = this.#entry(transactionId);
    const transaction = {
      ...failedDocument(request.transaction, reason),
      results: [],
    };
    const commit: CommitRecord = {
      kind: "commit",
      transaction: request.transaction,
      parts,
      idempotency,
      ...branchesOf(request),
    };
    const failures: FailedRecord[] = parts.map(({ repositoryId }) => ({
      kind: "failed",
      transactionId,
      repositoryId,
      reason,
      conflicts,
    }));
    const [lsn] = await forceStubbornly(this.#parts, [commit, ...failures]);
    invariant(lsn !== undefined, "the log gave a forced record no number");
    this.#parts.ledger.record([{ lsn, transaction, idempotency: null }]);
    this.#noteContradicted({
      lsn,
      record: commit,
      applied: new Set(),
      failed: new Map(failures.map((failure) => [failure.repositoryId, failure])),
      resolved: new Set(),
    });
    for (const part of parts) this.#parts.catalog.quarantine(part.repositoryId, transactionId);
    await this.#release(transactionId, record);
    const problem = { code: "git_error", detail: reason, conflicts };
    return {
      kind: "stalled",
      problem,
      settled: Promise.resolve({ kind: "failed", transaction: { ...transaction, problem } }),
    };
  }

  async #release(id: TransactionId, record: PreparedRecord): Promise<void> {
    for (const part of record.parts) {
      const repository = this.#parts.catalog.byId(part.repositoryId);
      if (!repository) continue;
      discardObjects(this.#parts.catalog, { holder: id, parts: [part] });
      this.#parts.held.release(repository, refsOf(part), id);
      await tidy(repository);
    }
    this.#entries.delete(id);
  }

  #entry(id: TransactionId): PreparedEntry {
    const entry = this.#entries.get(id);
    if (!entry) {
      throw new LayerdError("transaction_not_found", `No prepared transaction has the id ${id}`);
    }
    return entry;
  }
}

/** What must be there for a promise to be kept: what it relied on, and what it made. */
function reliedOnAtCommit({ parts, reliesOn }: PreparedRecord): Map<RepositoryId, ObjectId[]> {
  const all = new Map<RepositoryId, ObjectId[]>();
  for (const { repositoryId, edits } of parts) {
    const relied = reliesOn.find((one) => one.repositoryId === repositoryId)?.objects ?? [];
    const made = edits.flatMap((edit) => edit.new === null ? [] : [edit.new]);
    all.set(repositoryId, [...new Set([...relied, ...made])]);
  }
  return all;
}
