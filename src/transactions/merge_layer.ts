/**
 * `merge_layer`: a three-way merge of another layer, ref or commit into a layer. The merge
 * becomes part of the layer's one commit, which has what was merged as a further parent.
 *
 * M1. Where the histories cross (several merge bases) each base must give the same files;
 *     where they are unrelated the base is empty, so only what differs conflicts.
 * M2. Two engines must agree: the plan made path by path here, and isomorphic-git's merge
 *     of the same trees. Otherwise nothing is staged.
 * M3. All conflicts are found before one is told; a refused merge has staged nothing (its
 *     list of operations is taken back).
 */
import { LayerdError } from "../core/errors.ts";
import { layerRef, type ObjectId, quote } from "../core/ids.ts";
import type { LayerOrigin, Operation } from "../core/operations.ts";
import { isomorphicMerge } from "../git/isomorphic_merge.ts";
import { mergeBases } from "../git/merge_bases.ts";
import { EMPTY_TREE_ID, objectId } from "../git/object_codec.ts";
import type { NewObject, Repository } from "../git/repository.ts";
import { peel } from "../git/tag_peeling.ts";
import type { LayerChange, StagedFile } from "./layer_change.ts";
import { type MergePlan, type PathConflict, planMerge, sidesKey } from "./merge_plan.ts";
import { placeFile } from "./place_file.ts";
import { missingOrigin, requireCommit, type StagingContext } from "./staging_checks.ts";

type MergeLayer = Extract<Operation, { readonly op: "merge_layer" }>;

/** Throws `merge_conflict` with every path and key that conflicts. */
export async function mergeLayer(
  context: StagingContext,
  repository: Repository,
  change: LayerChange,
  { from }: MergeLayer,
): Promise<void> {
  const theirs = await commitOf(context, repository, from);
  const ours = change.tip.kind === "object" ? change.tip.oid : null;
  if (change.merged.includes(theirs)) return;
  const bases = ours === null ? [] : await mergeBases(context.fileSystem, repository, ours, theirs);
  // All of theirs is in ours already.
  if (bases.includes(theirs)) return;
  const { trees } = repository;
  const root = await trees.rootOf(theirs);
  const roots = await Promise.all(bases.map((base) => trees.rootOf(base)));
  if (roots.length === 0) roots.push(EMPTY_TREE_ID);
  const plan = await agreedPlan(context, repository, change, roots, root);
  await stageAgreed(context, repository, change, plan, { bases: roots, theirs: root });
  context.changes.note(change.addParent(theirs));
}

/** The commit to merge; a layer or ref is locked for reading. */
async function commitOf(
  context: StagingContext,
  repository: Repository,
  from: LayerOrigin,
): Promise<ObjectId> {
  if (from.kind === "commit") {
    await requireCommit(context, repository, from.commit, "from");
    return from.commit;
  }
  const ref = from.kind === "layer" ? layerRef(from.layer) : from.ref;
  const value = await context.touch(repository, ref, "shared");
  if (context.changes.find(repository, ref)?.touched) {
    const text = `${ref} is changed in this transaction, so it has no commit to merge yet`;
    throw new LayerdError("invalid_request", text, { field: "from" });
  }
  if (value === null) throw missingOrigin(repository, ref);
  const oid = await peel(repository.objects, value) ?? value;
  await requireCommit(context, repository, oid, "from");
  return oid;
}

/** One plan, the same against every base; `merge_conflict` where one conflicts or two differ. */
async function agreedPlan(
  context: StagingContext,
  repository: Repository,
  change: LayerChange,
  roots: readonly ObjectId[],
  theirs: ObjectId,
): Promise<MergePlan> {
  const plans: MergePlan[] = [];
  for (const base of roots) {
    const plan = await planMerge(context, repository, change, { base, theirs });
    if (plan.conflicts.length > 0) throw mergeConflict(change, plan.conflicts);
    plans.push(plan);
  }
  const [first, ...others] = plans;
  if (first === undefined) throw new Error("BUG: a merge without a base");
  if (others.some((plan) => !sameFiles(first, plan))) throw crossed(change, roots.length);
  return { ...first, merged: new Map(plans.flatMap(({ merged }) => [...merged])) };
}

/** Stages the plan, and compares what comes of it with isomorphic-git's merge. */
async function stageAgreed(
  context: StagingContext,
  repository: Repository,
  change: LayerChange,
  plan: MergePlan,
  { bases, theirs }: { readonly bases: readonly ObjectId[]; readonly theirs: ObjectId },
): Promise<void> {
  const { trees } = repository;
  const root = await change.root();
  const before = await trees.rewrite(root, change.files);
  const staged = [...before.objects, ...blobsIn(change.files), EMPTY_TREE];
  await stage(context, repository, change, plan);
  const after = await trees.rewrite(root, change.files);
  for (const base of bases) {
    const answered = await isomorphicMerge(
      context.fileSystem,
      repository,
      { base, ours: before.root, theirs, staged },
      (one, mine, yours) => plan.merged.get(sidesKey(one, mine, yours)) ?? null,
    );
    if (answered === after.root) continue;
    throw new LayerdError(
      "git_error",
      `Two ways to merge into layer ${change.layer} came to different files; nothing was merged`,
    );
  }
}

const EMPTY_TREE: NewObject = { oid: EMPTY_TREE_ID, type: "tree", body: new Uint8Array(0) };

/** Removes first, so that a file can stand where a directory was. */
async function stage(
  context: StagingContext,
  repository: Repository,
  change: LayerChange,
  { files }: MergePlan,
): Promise<void> {
  const conflicts: PathConflict[] = [];
  for (const [path, file] of files) {
    if (file === null) context.changes.note(await change.remove(path));
  }
  for (const [path, file] of files) {
    if (file === null) continue;
    try {
      context.changes.note(await placeFile(context, repository, change, path, file));
    } catch (error) {
      if (!(error instanceof LayerdError) || error.code !== "name_conflict") throw error;
      conflicts.push({ path, key: null, reason: "name", ours: null, theirs: file.oid });
    }
  }
  if (conflicts.length > 0) throw mergeConflict(change, conflicts);
}

function* blobsIn(files: ReadonlyMap<string, StagedFile | null>): Iterable<NewObject> {
  for (const file of files.values()) {
    if (file?.content.kind === "bytes") {
      const { bytes } = file.content;
      yield { oid: objectId("blob", bytes), type: "blob", body: bytes };
    } else if (file?.content.kind === "spooled") {
      yield { oid: file.oid, type: "blob", file: file.content.file, size: file.content.size };
    }
  }
}

function sameFiles(one: MergePlan, other: MergePlan): boolean {
  return one.files.size === other.files.size && [...one.files].every(([path, file]) => {
    const there = other.files.get(path);
    return there !== undefined && file?.oid === there?.oid && file?.mode === there?.mode;
  });
}

function mergeConflict(change: LayerChange, conflicts: readonly PathConflict[]): LayerdError {
  const { repository, ref, layer } = change;
  const names = conflicts.slice(0, 5).map(({ path, key }) =>
    key === null || key === "" ? quote(path) : `${quote(path)} at ${key}`
  );
  const more = conflicts.length > 5 ? `, and ${conflicts.length - 5} more` : "";
  return new LayerdError(
    "merge_conflict",
    `Both sides changed ${names.join(", ")}${more} in different ways`,
    {
      conflicts: conflicts.map(({ path, key, reason, ours, theirs }) => ({
        repository,
        ref,
        layer,
        expected: ours,
        actual: theirs,
        path,
        ...(key === null ? {} : { key }),
        reason,
      })),
    },
  );
}

function crossed(change: LayerChange, bases: number): LayerdError {
  return new LayerdError(
    "merge_conflict",
    `The histories cross: from their ${bases} merge bases layer ${change.layer} comes out ` +
      `differently. Merge the other way first, or one of the bases`,
  );
}
