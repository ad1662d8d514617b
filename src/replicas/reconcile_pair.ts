/**
 * Brings two layers of two repositories together, one step a call.
 *
 * P1. Every move is a transaction that expects the value it was decided by, so a write that
 *     comes between makes the step fail and be decided again. What is kept between steps moves
 *     in the same transaction: a crash loses nothing, and a repeat does nothing twice.
 * P2. Where one side has all of the other's history it is copied; where both went on they are
 *     merged; where that conflicts the strategy says who wins.
 * P3. What loses stands under `refs/layers-lost/<replica>/<layer>/<commit>` of its repository,
 *     by the same transaction that moves the layer.
 * P4. A layer that was deleted on one side and is on the other as both had it is deleted there.
 *     Where the other side went on, a deletion is a conflict; by `last_write_wins` the write
 *     wins, since a deletion has no time.
 */
import { invariant, LayerdError } from "../core/errors.ts";
import { layerRef, type ObjectId, type RefName } from "../core/ids.ts";
import {
  LEASE_MS_DEFAULT,
  LOCK_TIMEOUT_MS_DEFAULT,
  PREPARE_TIMEOUT_MS_DEFAULT,
} from "../core/limits.ts";
import type { Operation } from "../core/operations.ts";
import { readCommit } from "../git/history.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { RepositoryCatalog } from "../transactions/catalog.ts";
import type { TransactionManager } from "../transactions/manager.ts";
import { fetchLayer } from "./fetch_layer.ts";
import type { ReplicaPlace, Strategy } from "./replica.ts";
import { lostRef, type Side, type SyncRefs, syncRefs } from "./sync_refs.ts";

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

export interface Pair {
  readonly source: ReplicaPlace;
  readonly target: ReplicaPlace;
}

/** A pair as it was looked at. */
interface Look {
  readonly parts: PairParts;
  readonly replica: string;
  readonly source: Side;
  readonly target: Side;
  readonly refs: SyncRefs;
  /** Where both sides last agreed, as far as that is known. */
  readonly base: ObjectId | null;
}

/** One step. Rejects where a repository cannot be read or written now. */
export async function reconcilePair(
  parts: PairParts,
  replica: string,
  pair: Pair,
  strategy: Strategy,
): Promise<PairOutcome> {
  const look = lookAt(parts, replica, pair);
  const { source, target, base } = look;
  if (source.commit === target.commit) {
    if (base !== source.commit) await commit(parts, [baseAt(look, source.commit)], "Note a sync");
    return { kind: "in_sync" };
  }
  if (source.commit !== null && target.commit !== null) return await converge(look, strategy);
  const deleted = source.commit === null ? source : target;
  const other = source.commit === null ? target : source;
  if (base !== null) return await afterDeletion(look, deleted, other, strategy);
  if (source.commit !== null) return await copy(look, source, target);
  throw new LayerdError("layer_not_found", `Source layer ${pair.source.layer} does not exist`);
}

/** Forgets where a pair agreed: what happens to it from now on is none of the replica's business. */
export async function forgetPair(parts: PairParts, replica: string, pair: Pair): Promise<void> {
  const look = lookAt(parts, replica, pair);
  const { repository } = look.target;
  const refs = [look.refs.base, look.refs.incoming].filter((ref) =>
    repository.refs.read(ref) !== null
  );
  if (refs.length === 0) return;
  const operations = refs.map((ref): Operation => removal(look.target, ref));
  await commit(parts, operations, `Forget replica ${replica}`);
}

function lookAt(parts: PairParts, replica: string, pair: Pair): Look {
  const sideOf = (place: ReplicaPlace): Side => {
    const repository = parts.catalog.get(place.repository);
    return { place, repository, commit: repository.refs.read(layerRef(place.layer)) };
  };
  const [source, target] = [sideOf(pair.source), sideOf(pair.target)];
  const refs = syncRefs(replica, source, target);
  return { parts, replica, source, target, refs, base: target.repository.refs.read(refs.base) };
}

/** Both sides are there and differ. */
async function converge(look: Look, strategy: Strategy): Promise<PairOutcome> {
  const { parts, source, target } = look;
  invariant(source.commit !== null && target.commit !== null, "a side is missing");
  await bring(look, source, target);
  const { fileSystem } = parts;
  // Loaded with isomorphic-git by the first two sides that differ: a start goes without.
  const { mergeBases } = await import("../git/merge_bases.ts");
  const bases = await mergeBases(fileSystem, target.repository, target.commit, source.commit);
  if (bases.includes(target.commit)) return await copy(look, source, target);
  if (bases.includes(source.commit)) return await copy(look, target, source);
  const conflict = await merge(look, source.commit);
  if (conflict === null) return { kind: "moved" };
  if (strategy === "manual") return { kind: "conflict", detail: conflict };
  const sourceWins = strategy === "source_wins" || await isLater(source, target);
  return sourceWins ? await overrule(look, source, target) : await overrule(look, target, source);
}

async function afterDeletion(
  look: Look,
  deleted: Side,
  other: Side,
  strategy: Strategy,
): Promise<PairOutcome> {
  if (other.commit === look.base) return await overrule(look, deleted, other);
  if (strategy === "manual") {
    const [there, here] = [deleted, other].map(({ place }) => `${place.repository}:${place.layer}`);
    return { kind: "conflict", detail: `${there} was deleted, and ${here} went on` };
  }
  const deletionWins = strategy === "source_wins" && deleted === look.source;
  return deletionWins ? await overrule(look, deleted, other) : await copy(look, other, deleted);
}

/** The objects of one side to the other's repository, under a ref that keeps them. */
function bring({ refs }: Look, from: Side, to: Side): Promise<void> {
  return fetchLayer(from.repository, layerRef(from.place.layer), to.repository, refs.incoming);
}

/** Makes the layer of `to` what that of `from` is. */
async function copy(look: Look, from: Side, to: Side): Promise<PairOutcome> {
  await bring(look, from, to);
  await agree(look, from, to, [], `Copy ${from.place.layer}`);
  return { kind: "moved" };
}

/** Merges the source into the target; what conflicts, or null. */
async function merge({ parts, source, target }: Look, from: ObjectId): Promise<string | null> {
  const { repository, layer } = target.place;
  const operation: Operation = {
    op: "merge_layer",
    repository,
    layer,
    from: { kind: "commit", commit: from },
    expect: { commit: target.commit },
  };
  const message = `Merge ${source.place.layer} of ${source.place.repository}`;
  try {
    await commit(parts, [operation], message);
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

async function overrule(look: Look, winner: Side, loser: Side): Promise<PairOutcome> {
  if (winner.commit !== null) await bring(look, winner, loser);
  const { repository } = loser.place;
  const lost = lostRef(look.replica, loser);
  const keep = { op: "update_ref", repository, ref: lost, new: loser.commit } as const;
  const message = `Let ${winner.place.repository} win; what lost is ${lost}`;
  await agree(look, winner, loser, [keep], message);
  return { kind: "overruled", repository, lost };
}

/** Both sides are what `from` is, and that is where they agree; nothing is incoming any more. */
async function agree(
  look: Look,
  from: Side,
  to: Side,
  before: readonly Operation[],
  message: string,
): Promise<void> {
  const { repository, layer } = to.place;
  const ref = layerRef(layer);
  const move = { op: "update_ref", repository, ref, new: from.commit, expect: to.commit } as const;
  const done = [look.source, look.target]
    .filter((side) => side.repository.refs.read(look.refs.incoming) !== null)
    .map((side) => removal(side, look.refs.incoming));
  await commit(look.parts, [...before, move, baseAt(look, from.commit), ...done], message);
}

function baseAt({ target, refs }: Look, commit: ObjectId | null): Operation {
  return { op: "update_ref", repository: target.place.repository, ref: refs.base, new: commit };
}

function removal({ place }: Side, ref: RefName): Operation {
  return { op: "update_ref", repository: place.repository, ref, new: null };
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
