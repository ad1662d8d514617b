/**
 * Publishes what is decided and not yet applied: after a restart, and again and again for a
 * repository that stalled. The plan is core/recovery_plan.ts's; this performs it.
 *
 * Calling twice is safe at every point: refs are compared under their locks, `applied` is
 * only logged over a durable publication, and `failed` only where a ref contradicts. Where the
 * log has no room for them nothing has come of the call: packed-refs.lock is not kept until
 * somebody makes room.
 */
import type { LayerdError } from "../core/errors.ts";
import type { RepositoryId, TransactionId } from "../core/ids.ts";
import type { LogRecord } from "../core/log_record.ts";
import {
  type FailedRecord,
  type LoggedCommit,
  planRedo,
  type RedoPlan,
  unfinishedParts,
} from "../core/recovery_plan.ts";
import type { RefEdit } from "../core/ref_edit.ts";
import type { LockedRefs, Repository } from "../git/repository.ts";
import { type CommitParts, forceIfRoom, refsOf } from "./group_member.ts";
import { REFLOG_COMMITTER } from "./lane.ts";
import { placeObjects } from "./placed_objects.ts";
import { lockRefusal, repositoryError } from "./repository_errors.ts";

export interface RedoOutcome {
  /** Parts that are applied now, by transaction. */
  readonly applied: ReadonlyMap<TransactionId, readonly RepositoryId[]>;
  /** The `failed` records of contradicted transactions; they are forced. */
  readonly failed: ReadonlyMap<TransactionId, readonly FailedRecord[]>;
  /** Repositories that could not be published now, and why. */
  readonly stalled: ReadonlyMap<RepositoryId, LayerdError>;
}

interface OpenLane {
  readonly repository: Repository;
  readonly locked: LockedRefs;
}

/** Rejects only when the log failed for good. */
export async function redo(
  parts: CommitParts,
  commits: readonly LoggedCommit[],
): Promise<RedoOutcome> {
  const stalled = new Map<RepositoryId, LayerdError>();
  const lanes = openLanes(parts, commits, stalled);
  try {
    const plan = planRedo(commits, (repositoryId, ref) => {
      const lane = lanes.get(repositoryId);
      if (lane === undefined) return undefined;
      try {
        return lane.locked.value(ref);
      } catch (error) {
        // A damaged ref: neither published nor contradicted until somebody mends it.
        stalled.set(repositoryId, repositoryError(error, lane.repository.name));
        return undefined;
      }
    });
    const forced = await publishPlan(plan, lanes, stalled);
    const { applied, records } = whatApplied(plan, forced);
    const failures = failureRecords(plan, commits);
    const full = await forceIfRoom(parts, [...records, ...failures]);
    if (full !== null) {
      for (const id of lanes.keys()) stalled.set(id, full);
      return { applied: new Map(), failed: new Map(), stalled };
    }
    for (const { repositoryId, transactionId } of failures) {
      parts.catalog.quarantine(repositoryId, transactionId);
    }
    return { applied, failed: Map.groupBy(failures, (record) => record.transactionId), stalled };
  } finally {
    for (const lane of lanes.values()) lane.repository.publisher.unlockPackedRefs();
  }
}

/** Takes the locks that the commits still need, where the repository can be reached now. */
function openLanes(
  parts: CommitParts,
  commits: readonly LoggedCommit[],
  stalled: Map<RepositoryId, LayerdError>,
): Map<RepositoryId, OpenLane> {
  const lanes = new Map<RepositoryId, OpenLane>();
  const ids = new Set(
    commits.flatMap((commit) => unfinishedParts(commit).map((part) => part.repositoryId)),
  );
  for (const id of [...ids].sort()) {
    const repository = parts.catalog.byId(id);
    if (repository === null) continue;
    try {
      const refusal = lockAll(parts, commits, repository);
      if (refusal === null) {
        lanes.set(id, { repository, locked: repository.publisher.readLocked() });
      } else stalled.set(id, refusal);
    } catch (error) {
      repository.publisher.unlockPackedRefs();
      stalled.set(id, repositoryError(error, repository.name));
    }
  }
  return lanes;
}

function lockAll(
  parts: CommitParts,
  commits: readonly LoggedCommit[],
  repository: Repository,
): LayerdError | null {
  for (const commit of commits) {
    for (const part of unfinishedParts(commit)) {
      if (part.repositoryId !== repository.id) continue;
      const owner = commit.record.transaction.id as TransactionId;
      const outcome = parts.held.acquire(repository, refsOf(part), owner);
      if (outcome.kind !== "locked") return lockRefusal(outcome, repository.name);
    }
  }
  const outcome = repository.publisher.lockPackedRefs();
  return outcome.kind === "locked" ? null : lockRefusal(outcome, repository.name);
}

/**
 * Moves what is to be moved, each repository once. Refs that hold their new value already
 * are written again with it: the crash may have come before their publication was durable.
 */
async function publishPlan(
  plan: RedoPlan,
  lanes: ReadonlyMap<RepositoryId, OpenLane>,
  stalled: Map<RepositoryId, LayerdError>,
): Promise<ReadonlySet<RepositoryId>> {
  const done = new Set<RepositoryId>();
  for (const [id, { repository, locked }] of lanes) {
    if (stalled.has(id)) continue;
    try {
      const edits = new Map<string, RefEdit>();
      for (const commit of plan.publish) {
        placeObjects(repository, [{
          holder: commit.record.transaction.id,
          parts: unfinishedParts(commit),
        }]);
        for (const part of unfinishedParts(commit)) {
          if (part.repositoryId !== id) continue;
          repository.objects.restoreMissing([part.objects]);
          for (const { ref } of part.edits) {
            const value = locked.value(ref);
            edits.set(ref, { ref, old: value, new: value });
          }
        }
      }
      for (const edit of plan.edits.get(id) ?? []) edits.set(edit.ref, edit);
      if (edits.size > 0) {
        const staged = await repository.publisher.stage([...edits.values()], {
          committer: REFLOG_COMMITTER,
          atMs: Date.parse(latest(plan)),
          message: "layerd: commit",
        });
        staged.publish();
        await staged.settle();
      }
      done.add(id);
    } catch (error) {
      stalled.set(id, repositoryError(error, repository.name));
    }
  }
  return done;
}

function latest(plan: RedoPlan): string {
  return plan.publish.at(-1)?.record.transaction.updated_at ?? new Date(0).toISOString();
}

function whatApplied(plan: RedoPlan, published: ReadonlySet<RepositoryId>): {
  applied: Map<TransactionId, RepositoryId[]>;
  records: LogRecord[];
} {
  const applied = new Map<TransactionId, RepositoryId[]>();
  const records: LogRecord[] = [];
  for (const commit of plan.publish) {
    const transactionId = commit.record.transaction.id as TransactionId;
    for (const { repositoryId } of unfinishedParts(commit)) {
      if (!published.has(repositoryId)) continue;
      applied.set(transactionId, [...applied.get(transactionId) ?? [], repositoryId]);
      records.push({ kind: "applied", transactionId, repositoryId });
    }
  }
  return { applied, records };
}

function failureRecords(plan: RedoPlan, commits: readonly LoggedCommit[]): FailedRecord[] {
  return plan.failed.flatMap(({ transactionId, conflicts }) => {
    const commit = commits.find(({ record }) => record.transaction.id === transactionId);
    return (commit ? unfinishedParts(commit) : []).map(({ repositoryId }) => ({
      kind: "failed" as const,
      transactionId,
      repositoryId,
      reason: "A ref holds a value that the log does not know",
      conflicts,
    }));
  });
}
