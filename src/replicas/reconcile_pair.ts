/**
 * Brings two layers of two repositories together, one step a call.
 *
 * P1. Every move is a transaction that expects the value it was decided by, so a write that
 *     comes between makes the step fail and be decided again. Nothing is kept between steps:
 *     a crash loses nothing, and a repeat does nothing twice.
 * P2. Where one side has all of the other's history it is copied; where both went on they are
 *     merged; where that conflicts the strategy says who wins.
 * P3. What loses stands under `refs/layers-lost/<replica>/<layer>/<commit>` of its repository,
 *     by the same transaction that moves the layer.
 */
import { invariant, LayerdError } from "../core/errors.ts";
import { layerRef, type ObjectId, parseRefName, type RefName } from "../core/ids.ts";
import {
  LEASE_MS_DEFAULT,
  LOCK_TIMEOUT_MS_DEFAULT,
  PREPARE_TIMEOUT_MS_DEFAULT,
} from "../core/limits.ts";
import type { Operation } from "../core/operations.ts";
import { readCommit } from "../git/history.ts";
import { mergeBases } from "../git/merge_bases.ts";
import type { Repository } from "../git/repository.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { RepositoryCatalog } from "../transactions/catalog.ts";
import type { TransactionManager } from "../transactions/manager.ts";
import { fetchLayer } from "./fetch_layer.ts";
import type { ReplicaPlace, Strategy } from "./replica.ts";

export type PairOutcome =
  | { readonly kind: "in_sync" }
  /** Something moved: look again. */
  | { readonly kind: "moved" }
  /** What lost is now under this ref of that repository. */
  | { readonly kind: "overruled"; readonly repository: string; readonly lost: RefName }
  | { readonly kind: "conflict"; readonly detail: string };

export interface PairParts {
  readonly catalog: Pick<RepositoryCatalog, "get">;
  readonly manager: Pick<TransactionManager, "begin">;
  readonly fileSystem: FileSystem;
}

interface Side {
  readonly place: ReplicaPlace;
  readonly repository: Repository;
  readonly commit: ObjectId | null;
}

/** One step. Rejects where a repository cannot be read or written now. */
export async function reconcilePair(
  parts: PairParts,
  replica: string,
  pair: { readonly source: ReplicaPlace; readonly target: ReplicaPlace },
  strategy: Strategy,
): Promise<PairOutcome> {
  const source = sideOf(parts, pair.source);
  const target = sideOf(parts, pair.target);
  if (source.commit === target.commit) return { kind: "in_sync" };
  if (source.commit === null) {
    throw new LayerdError("layer_not_found", `Source layer ${pair.source.layer} does not exist`);
  }
  await fetchLayer(source.repository, layerRef(source.place.layer), target.repository);
  if (target.commit === null) return await copy(parts, source, target);
  const { fileSystem } = parts;
  const bases = await mergeBases(fileSystem, target.repository, target.commit, source.commit);
  if (bases.includes(target.commit)) return await copy(parts, source, target);
  if (bases.includes(source.commit)) {
    await fetchLayer(target.repository, layerRef(target.place.layer), source.repository);
    return await copy(parts, target, source);
  }
  const conflict = await merge(parts, source, target);
  if (conflict === null) return { kind: "moved" };
  if (strategy === "manual") return { kind: "conflict", detail: conflict };
  const sourceWins = strategy === "source_wins" || await isLater(source, target);
  if (sourceWins) return await overrule(parts, replica, source, target);
  await fetchLayer(target.repository, layerRef(target.place.layer), source.repository);
  return await overrule(parts, replica, target, source);
}

function sideOf({ catalog }: PairParts, place: ReplicaPlace): Side {
  const repository = catalog.get(place.repository);
  return { place, repository, commit: repository.refs.read(layerRef(place.layer)) };
}

/** Makes the layer of `to` what that of `from` is; its objects are there. */
async function copy(parts: PairParts, from: Side, to: Side): Promise<PairOutcome> {
  await commit(parts, [moveTo(to, from.commit)], `Copy ${from.place.layer}`);
  return { kind: "moved" };
}

/** Merges the source into the target; what conflicts, or null. */
async function merge(parts: PairParts, source: Side, target: Side): Promise<string | null> {
  const { repository, layer } = target.place;
  invariant(source.commit !== null, "nothing to merge");
  const from = { kind: "commit", commit: source.commit } as const;
  const expect = { commit: target.commit };
  const message = `Merge ${source.place.layer} of ${source.place.repository}`;
  try {
    await commit(parts, [{ op: "merge_layer", repository, layer, from, expect }], message);
    return null;
  } catch (error) {
    if (!(error instanceof LayerdError) || error.code !== "merge_conflict") throw error;
    return error.message;
  }
}

/** By committer time; one second is decided by the id, so that every look agrees. */
async function isLater(one: Side, other: Side): Promise<boolean> {
  const timeOf = async ({ repository, commit }: Side) => {
    invariant(commit !== null, "no commit to date");
    return (await readCommit(repository.objects, commit)).fields.committer.atSeconds;
  };
  const [a, b] = [await timeOf(one), await timeOf(other)];
  return a === b ? (one.commit ?? "") > (other.commit ?? "") : a > b;
}

async function overrule(
  parts: PairParts,
  replica: string,
  winner: Side,
  loser: Side,
): Promise<PairOutcome> {
  const { repository, layer } = loser.place;
  const lost = parseRefName(`refs/layers-lost/${replica}/${layer}/${loser.commit}`);
  const keep = { op: "update_ref", repository, ref: lost, new: loser.commit } as const;
  const message = `Let ${winner.place.repository} win; what lost is ${lost}`;
  await commit(parts, [keep, moveTo(loser, winner.commit)], message);
  return { kind: "overruled", repository, lost };
}

function moveTo({ place, commit: expect }: Side, to: ObjectId | null): Operation {
  const { repository, layer } = place;
  return { op: "update_ref", repository, ref: layerRef(layer), new: to, expect };
}

async function commit(
  { manager }: PairParts,
  operations: readonly Operation[],
  message: string,
): Promise<void> {
  await manager.begin({
    message,
    author: null,
    isolation: "locking",
    locks: [],
    lockTimeoutMs: LOCK_TIMEOUT_MS_DEFAULT,
    leaseMs: LEASE_MS_DEFAULT,
    prepareTimeoutMs: PREPARE_TIMEOUT_MS_DEFAULT,
    operationType: null,
    tenantId: null,
    labels: { origin: "replica" },
    operations,
    commit: true,
    idempotency: null,
  });
}
