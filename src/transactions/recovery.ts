/**
 * Recovery: brings repositories, ledger and locks to where the log says they should be. Runs
 * before the daemon serves; a crash in the middle and another run end in the same state.
 *
 *   1. Our lock links that a dead process left are adopted, before anything else is looked at.
 *   2. Objects of every record since the checkpoint are written again where they are missing.
 *      Where that, or 1, fails, the repository is set aside and not served: refs that are
 *      published already may point at what is not there. It is tried again like one that is
 *      away (returned_repository.ts).
 *   3. Decided and unapplied transactions are published (redo.ts); what cannot be now is
 *      stalled and tried again while the daemon serves.
 *   4. Prepared transactions get their locks and pins back.
 *   5. Ledger rows are written for everything that the log knows.
 *   6. Locks of finished transactions and left-over temporary files go, last.
 */
import { getLogger } from "@logtape/logtape";
import { LayerdError } from "../core/errors.ts";
import type { RepositoryId, TransactionId } from "../core/ids.ts";
import {
  contradictedIn,
  digestLog,
  type LogDigest,
  type LoggedCommit,
  unfinishedParts,
} from "../core/recovery_plan.ts";
import type { RepositoryPart } from "../core/log_record.ts";
import type { Repository } from "../git/repository.ts";
import type { LedgerEntry } from "../ledger/ledger.ts";
import type { GroupCommitPipeline } from "./commit_pipeline.ts";
import { type CommitParts, refsOf } from "./group_member.ts";
import { tidy } from "./leftovers.ts";
import type { SettledOutcome } from "./pipeline.ts";
import type { PreparedEntry } from "./prepared_transactions.ts";
import { placeObjects, type Placing, releaseObjects } from "./placed_objects.ts";
import { redo } from "./redo.ts";
import type { LoggedRepositoryCatalog } from "./repository_catalog.ts";
import { lockRefusal, repositoryError } from "./repository_errors.ts";
import { failedDocument } from "./stalled_publications.ts";

const logger = getLogger(["layerd", "recovery"]);

export interface RecoveryParts {
  readonly commit: CommitParts;
  readonly catalog: CommitParts["catalog"];
  readonly pipeline: GroupCommitPipeline;
  /** What becomes of a repository that is not where the log says and cannot be brought there. */
  readonly setAside: (repository: Repository, problem: LayerdError) => void;
}

/** What the manager has to know of, and what the daemon keeps. */
export interface Recovered {
  readonly digest: LogDigest;
  readonly prepared: readonly PreparedEntry[];
  readonly stalled: readonly {
    readonly commit: LoggedCommit;
    readonly settled: Promise<SettledOutcome>;
  }[];
  /** Failed transactions that nobody resolved: their repositories are quarantined. */
  readonly failed: readonly LoggedCommit[];
}

export async function recover(
  parts: RecoveryParts & { readonly catalog: Pick<LoggedRepositoryCatalog, "restore"> },
): Promise<Recovered> {
  const digest = digestLog(parts.commit.log.recovered());
  for (const [id, { name, path }] of digest.repositories) {
    await parts.catalog.restore(id, name, path);
  }
  adoptLocks(parts, digest);
  restoreObjects(parts, digest);
  const prepared = await restorePrepared(parts, digest);
  const { stalled, failed } = await redoCommits(parts, digest);
  recordInLedger(parts, digest, stalled.map(({ commit }) => commit), failed);
  const lagging = stalled.map(({ commit }) => commit.record.transaction.id as TransactionId);
  await releaseLeftovers(parts, digest, lagging);
  parts.pipeline.leftovers.watch();
  return { digest, prepared, stalled, failed };
}

export function adoptLocks(parts: RecoveryParts, digest: LogDigest): void {
  for (const repository of parts.catalog.all()) {
    orSetAside(parts, repository, () => {
      const found = repository.publisher.adoptLocks();
      if (found.packedRefs) repository.publisher.unlockPackedRefs();
      parts.commit.held.adopt(repository.id, found.refs);
    });
  }
  for (const { record } of digest.prepared.values()) {
    claimAdopted(parts, record.transaction.id, record.parts);
  }
  for (const commit of digest.commits.values()) {
    claimAdopted(parts, commit.record.transaction.id, unfinishedParts(commit));
  }
}

function claimAdopted(parts: RecoveryParts, id: string, open: readonly RepositoryPart[]): void {
  for (const part of open) {
    parts.commit.held.claimAdopted(part.repositoryId, refsOf(part), id as TransactionId);
  }
}

/** What fails keeps this repository from being served, and no other. */
function orSetAside(parts: RecoveryParts, repository: Repository, work: () => void): void {
  try {
    work();
  } catch (error) {
    const problem = repositoryError(error, repository.name);
    logger.error("Repository {repository} is not served, recovery failed in it: {error}", {
      repository: repository.name,
      error: problem.message,
    });
    parts.setAside(repository, problem);
  }
}

/** One repository that cannot be worked on must not keep the others from being served. */
function guarded(repository: Repository, work: () => void): void {
  try {
    work();
  } catch (error) {
    logger.error("Recovery could not look after repository {repository}: {error}", {
      repository: repository.name,
      error: repositoryError(error, repository.name).message,
    });
  }
}

/** Whole packs of the dead process are taken over; what the log has besides is placed again. */
export function restoreObjects(parts: RecoveryParts, digest: LogDigest): void {
  const all = placingsOf(digest);
  for (const repository of parts.catalog.all()) {
    orSetAside(parts, repository, () => {
      repository.objects.adopt();
      placeObjects(repository, all);
    });
  }
}

function placingsOf(digest: LogDigest): Placing[] {
  return [...digest.commits.values(), ...digest.prepared.values()].map(({ record }) => ({
    holder: record.transaction.id,
    parts: record.parts,
  }));
}

/** Sets up locks and pins of promises again; where that fails their commit will find out. */
export async function restorePrepared(
  parts: RecoveryParts,
  digest: LogDigest,
): Promise<PreparedEntry[]> {
  const entries = [...digest.prepared.values()];
  for (const entry of entries) {
    const owner = entry.record.transaction.id as TransactionId;
    for (const part of entry.record.parts) {
      const repository = parts.catalog.byId(part.repositoryId);
      if (!repository) continue;
      try {
        const outcome = parts.commit.held.acquire(repository, refsOf(part), owner);
        if (outcome.kind !== "locked") {
          logger.warn("Prepared transaction {id} waits for a lock in {repository}: {reason}", {
            id: owner,
            repository: part.repository,
            reason: lockRefusal(outcome, part.repository).message,
          });
        } else {
          if (repository.publisher.lockPackedRefs().kind !== "locked") continue;
          try {
            await repository.publisher.pin(refsOf(part));
            const relied = entry.record.reliesOn.find((one) => one.repositoryId === repository.id);
            await repository.publisher.keepObjects(owner, relied?.objects ?? []);
          } finally {
            repository.publisher.unlockPackedRefs();
          }
        }
      } catch (error) {
        logger.error("Prepared transaction {id} has lost its locks in {repository}: {error}", {
          id: owner,
          repository: part.repository,
          error: repositoryError(error, part.repository).message,
        });
      }
    }
    parts.pipeline.prepared.adopt(entry);
  }
  return entries;
}

async function redoCommits(parts: RecoveryParts, digest: LogDigest) {
  const commits = [...digest.commits.values()];
  const open = commits.filter((commit) => unfinishedParts(commit).length > 0);
  const known = commits.filter((commit) =>
    contradictedIn(commit).some((id) => digest.repositories.has(id))
  );
  for (const commit of known) {
    quarantineParts(parts, commit);
    parts.pipeline.stalled.noteContradicted(commit);
  }
  if (open.length === 0) return { stalled: [], failed: known };
  const outcome = await redo(parts.commit, commits);
  const stalled = [];
  const failed = [...known];
  for (const commit of open) {
    const id = commit.record.transaction.id as TransactionId;
    const applied = new Set([...commit.applied, ...outcome.applied.get(id) ?? []]);
    const records = outcome.failed.get(id) ?? [];
    const failedParts = new Map(records.map((record) => [record.repositoryId, record]));
    const after: LoggedCommit = {
      ...commit,
      applied,
      failed: new Map([...commit.failed, ...failedParts]),
    };
    if (records.length > 0) {
      failed.push(after);
      parts.pipeline.stalled.noteContradicted(after);
    } else if (unfinishedParts(after).length > 0) {
      const why = stallReason(parts, outcome.stalled, after);
      stalled.push({ commit: after, settled: parts.pipeline.stalled.adopt(after, why) });
    }
    releaseParts(parts, commit, after);
  }
  return { stalled, failed };
}

function quarantineParts(parts: RecoveryParts, commit: LoggedCommit): void {
  for (const id of contradictedIn(commit)) {
    const transactionId = commit.record.transaction.id as TransactionId;
    if (parts.catalog.byId(id)) parts.catalog.quarantine(id, transactionId);
  }
}

function stallReason(
  { catalog }: RecoveryParts,
  stalled: ReadonlyMap<RepositoryId, LayerdError>,
  commit: LoggedCommit,
): LayerdError {
  for (const { repositoryId, repository } of unfinishedParts(commit)) {
    if (catalog.byId(repositoryId) === null) return catalog.absence(repositoryId, repository);
    const error = stalled.get(repositoryId);
    if (error) return error;
  }
  return new LayerdError("io_error", "The publication was not tried yet");
}

/** Gives back the ref locks of parts that were open before and are over now. */
function releaseParts(parts: RecoveryParts, before: LoggedCommit, after: LoggedCommit): void {
  const open = new Set(unfinishedParts(after));
  for (const part of unfinishedParts(before)) {
    if (open.has(part)) continue;
    const repository = parts.catalog.byId(part.repositoryId);
    const owner = before.record.transaction.id as TransactionId;
    if (repository) parts.commit.held.release(repository, refsOf(part), owner);
  }
}

function recordInLedger(
  parts: RecoveryParts,
  digest: LogDigest,
  stalled: readonly LoggedCommit[],
  failed: readonly LoggedCommit[],
): void {
  const idOf = (commit: LoggedCommit) => commit.record.transaction.id;
  const stalledIds = new Set(stalled.map(idOf));
  const failedIds = new Set(failed.map(idOf));
  const entries: LedgerEntry[] = [];
  for (const commit of digest.commits.values()) {
    const { transaction, idempotency } = commit.record;
    if (stalledIds.has(transaction.id)) continue;
    const isFailed = commit.failed.size > 0 || failedIds.has(transaction.id);
    entries.push({
      lsn: commit.lsn,
      transaction: isFailed ? failedDocument(transaction, failureOf(commit, failed)) : transaction,
      idempotency: isFailed ? null : idempotency,
    });
  }
  for (const { lsn, record } of digest.rolledBack) {
    entries.push({ lsn, transaction: record.transaction, idempotency: null });
  }
  parts.commit.ledger.record(entries);
}

/** Why a transaction stands failed, by its record or by what this start found. */
function failureOf(commit: LoggedCommit, found: readonly LoggedCommit[]): string {
  const { id } = commit.record.transaction;
  const now = found.find(({ record }) => record.transaction.id === id) ?? commit;
  return [...now.failed.values()].at(-1)?.reason ?? "A ref contradicts the decision";
}

export async function releaseLeftovers(
  parts: RecoveryParts,
  digest: LogDigest,
  stalled: readonly TransactionId[],
): Promise<void> {
  const pending = pendingPacks(digest);
  const open = new Set<string>([...digest.prepared.keys(), ...stalled]);
  for (const placing of placingsOf(digest)) {
    if (!open.has(placing.holder)) releaseObjects(parts.catalog, placing);
  }
  for (const repository of parts.catalog.all()) {
    guarded(repository, () => {
      for (const id of repository.publisher.findPromises()) {
        if (!open.has(id)) repository.publisher.endPromise(id);
      }
      parts.commit.held.releaseAdopted(repository);
      repository.publisher.sweep();
      repository.objects.sweep(pending);
    });
    await tidy(repository);
  }
}

/** Packs that the log since the checkpoint still answers for. */
function pendingPacks(digest: LogDigest): ReadonlySet<string> {
  const records = [...digest.commits.values(), ...digest.prepared.values()];
  return new Set(
    records.flatMap(({ record }) => record.parts).flatMap(({ objects }) =>
      objects.kind === "pack" ? [objects.name] : []
    ),
  );
}
