/**
 * A repository that was away when the daemon started, or that recovery could not bring to where
 * the log says, and is back: what recovery did for the others is done for it alone, from the
 * log as it is now. A turn of the pipeline; decided transactions are published afterwards by
 * the retry of stalled ones.
 */
import type { LayerdError } from "../core/errors.ts";
import { contradictedIn, digestLog } from "../core/recovery_plan.ts";
import { toLsn, type TransactionId } from "../core/ids.ts";
import type { Repository } from "../git/repository.ts";
import {
  adoptLocks,
  type RecoveryParts,
  releaseLeftovers,
  restoreObjects,
  restorePrepared,
} from "./recovery.ts";

export async function recoverReturned(
  parts: RecoveryParts,
  repository: Repository,
): Promise<void> {
  const { log } = parts.commit;
  await log.force();
  const digest = digestLog(log.read(toLsn(Math.max(1, log.status().checkpointLsn))));
  const alone = onlyWith(parts, repository);
  adoptLocks(alone, digest);
  restoreObjects(alone, digest);
  await restorePrepared(alone, digest);
  for (const commit of digest.commits.values()) {
    if (!contradictedIn(commit).includes(repository.id)) continue;
    parts.catalog.quarantine(repository.id, commit.record.transaction.id as TransactionId);
  }
  const lagging = parts.pipeline.stalled.commits()
    .map(({ record }) => record.transaction.id as TransactionId);
  await releaseLeftovers(alone, digest, lagging);
}

/** The same parts over a catalog that knows this repository alone: the others are in use. */
function onlyWith(parts: RecoveryParts, repository: Repository): RecoveryParts {
  const catalog = {
    absence: (id: Repository["id"], name: Repository["name"]) => parts.catalog.absence(id, name),
    all: () => [repository],
    byId: (id: Repository["id"]) => id === repository.id ? repository : null,
    requireWritable: (one: Repository) => parts.catalog.requireWritable(one),
    quarantine: (id: Repository["id"], transactionId: TransactionId) =>
      parts.catalog.quarantine(id, transactionId),
    liftQuarantine: (id: Repository["id"], transactionId: TransactionId) =>
      parts.catalog.liftQuarantine(id, transactionId),
  };
  // The caller sets it aside again.
  const setAside = (_: Repository, problem: LayerdError) => {
    throw problem;
  };
  return { ...parts, catalog, setAside, commit: { ...parts.commit, catalog } };
}
