/**
 * Undo: stages, in a transaction of its own, what puts back everything that a committed
 * transaction changed. Nothing is known of that transaction but its results (which ref moved
 * from where to where), so it works as well from the ledger after a restart.
 *
 * U1. A layer that moved is put back file by file: a path that is still as the transaction
 *     left it becomes what it was before; one that is as it was already is left alone. What
 *     other transactions did to other paths stays, and in a structured file to other keys.
 * U2. A layer that was created is deleted where its tree is still what the transaction left;
 *     one that was deleted is created again at its old commit. Other refs are moved back
 *     where they still are what the transaction made them.
 * U3. Everything else is a conflict. All are looked for, then one `write_conflict` names
 *     each, and nothing is staged.
 *
 * So a second undo of the same transaction finds everything put back and changes nothing.
 */
import { LayerdError, type RefConflict } from "../core/errors.ts";
import {
  layerOfRef,
  type ObjectId,
  parseRefName,
  parseRepositoryName,
  quote,
  type RefName,
} from "../core/ids.ts";
import type { RefResult } from "../core/transaction_document.ts";
import type { Repository, TreeEntry } from "../git/repository.ts";
import { isTree, type LayerChange, type StagedFile } from "./layer_change.ts";
import { placeFile } from "./place_file.ts";
import {
  fileMode,
  refuseNameConflict,
  requireCommit,
  type StagingContext,
} from "./staging_checks.ts";
import { objectIdIn } from "./transaction_diff.ts";

/** One ref of the transaction that is undone, as it is now. */
interface Moved {
  readonly repository: Repository;
  readonly ref: RefName;
  readonly before: ObjectId | null;
  readonly after: ObjectId | null;
  readonly now: ObjectId | null;
}

/** One path of it, and what has to stand there; null for nothing. */
interface PutBack {
  readonly path: string;
  readonly file: StagedFile | null;
}

/** Stages the undo; answers how many refs it touches. Throws `write_conflict`. */
export async function stageUndo(
  context: StagingContext,
  results: readonly RefResult[],
): Promise<number> {
  const moved = await look(context, results);
  const plans: (() => Promise<void>)[] = [];
  const conflicts: RefConflict[] = [];
  for (const one of moved) {
    const plan = await planOf(context, one);
    if (plan.kind === "conflict") conflicts.push(...plan.conflicts);
    else if (plan.kind === "restore") plans.push(plan.stage);
  }
  if (conflicts.length > 0) throw changedSince(conflicts);
  // Deletions first: what is created again may need their names.
  for (const stage of plans) await stage();
  return plans.length;
}

/** Locks every ref, in one order, and sees where it is. */
async function look(context: StagingContext, results: readonly RefResult[]): Promise<Moved[]> {
  const refs = results.map((result) => ({
    repository: context.repository(parseRepositoryName(result.repository)),
    ref: parseRefName(result.ref),
    before: objectIdIn(result.old),
    after: objectIdIn(result.new),
  }));
  const keyOf = (one: typeof refs[number]) => `${one.repository.id} ${one.ref}`;
  refs.sort((one, other) => keyOf(one) < keyOf(other) ? -1 : 1);
  const moved: Moved[] = [];
  for (const one of refs) {
    context.requireWritable(one.repository);
    moved.push({ ...one, now: await context.touch(one.repository, one.ref, "exclusive") });
  }
  return moved.sort((one, other) => Number(one.before !== null) - Number(other.before !== null));
}

type Plan =
  | { readonly kind: "nothing" }
  | { readonly kind: "conflict"; readonly conflicts: readonly RefConflict[] }
  | { readonly kind: "restore"; readonly stage: () => Promise<void> };

async function planOf(context: StagingContext, moved: Moved): Promise<Plan> {
  const { repository, ref, before, after, now } = moved;
  if (now === before) return { kind: "nothing" };
  const isLayer = layerOfRef(ref) !== null;
  const restorable = now === after ||
    (isLayer && before === null && await sameTree(repository, now, after));
  if (!isLayer || before === null || after === null) {
    if (!restorable) return { kind: "conflict", conflicts: [conflictOf(moved)] };
    return { kind: "restore", stage: () => pointBack(context, moved) };
  }
  if (now === null) return { kind: "conflict", conflicts: [conflictOf(moved)] };
  return await planOfFiles(context, moved, now);
}

/** Points the ref where it was. */
async function pointBack(
  context: StagingContext,
  { repository, ref, before, now }: Moved,
): Promise<void> {
  if (context.checkedOut(repository).has(ref)) {
    throw new LayerdError(
      "ref_checked_out",
      `${ref} is checked out in a work tree of repository ${repository.name}`,
    );
  }
  const change = context.changes.change(repository, ref, now);
  if (before === null) return context.changes.note(change.reset({ kind: "absent" }));
  if (!change.exists) refuseNameConflict(context, repository, ref);
  if (ref.startsWith("refs/heads/") || layerOfRef(ref) !== null) {
    await requireStanding(context, repository, before);
  }
  context.changes.note(change.reset({ kind: "object", oid: before }));
}

/** What a deleted layer pointed at is reachable from nothing: git may have pruned it. */
async function requireStanding(
  context: StagingContext,
  repository: Repository,
  commit: ObjectId,
): Promise<void> {
  try {
    await requireCommit(context, repository, commit, "from");
  } catch (error) {
    const text = `Commit ${commit} is no longer in repository ${repository.name}: git pruned it`;
    throw new LayerdError("git_error", text, {}, error);
  }
}

async function planOfFiles(
  context: StagingContext,
  moved: Moved,
  now: ObjectId,
): Promise<Plan> {
  const { repository, ref, before, after } = moved;
  const { trees } = repository;
  if (before === null || after === null) throw new Error("BUG: a layer that did not only move");
  const root = await trees.rootOf(now);
  const restore: PutBack[] = [];
  const conflicts: RefConflict[] = [];
  const changed = await trees.diff(await trees.rootOf(before), await trees.rootOf(after));
  for (const file of changed) {
    const entry = await trees.lookup(root, file.path);
    // A directory where a file was is as good as no file, until one has to be put there.
    const current = entry !== null && isTree(entry) ? null : entry;
    if (same(current, file.before)) continue;
    if (same(current, file.after)) {
      restore.push({ path: file.path, file: file.before && stored(file.path, file.before) });
      continue;
    }
    // Loaded with the parsers of structured files by the first who needs it: no start does.
    const { undoKeys } = await import("./undo_keys.ts");
    const keys = current && file.before && file.after
      ? await undoKeys(context, repository, {
        path: file.path,
        current,
        before: file.before,
        after: file.after,
      })
      : { kind: "conflict" as const, keys: [] };
    if (keys.kind === "restore") restore.push({ path: file.path, file: keys.file });
    if (keys.kind !== "conflict") continue;
    const conflict = {
      ...conflictOf(moved),
      path: file.path,
      expected: file.after?.oid ?? null,
      actual: current?.oid ?? null,
    };
    if (keys.keys.length === 0) conflicts.push(conflict);
    else conflicts.push(...keys.keys.map((key) => ({ ...conflict, key })));
  }
  if (conflicts.length > 0) return { kind: "conflict", conflicts };
  if (restore.length === 0) {
    // The commits differ and their files do not: only the ref itself can be put back.
    if (changed.length > 0 || now !== after) return { kind: "nothing" };
    return { kind: "restore", stage: () => pointBack(context, moved) };
  }
  const change = () => context.changes.change(repository, ref, now);
  return { kind: "restore", stage: () => putBack(context, moved, change(), restore) };
}

function stored(path: string, { mode, oid }: TreeEntry): StagedFile {
  if (mode === "160000") throw submodule(path);
  return { mode: fileMode(mode), oid, content: { kind: "stored" } };
}

/** Removes first, so that a file can stand where a directory was. */
async function putBack(
  context: StagingContext,
  moved: Moved,
  change: LayerChange,
  files: readonly PutBack[],
): Promise<void> {
  for (const { path, file } of files) {
    if (file === null) context.changes.note(await change.remove(path));
  }
  const conflicts: RefConflict[] = [];
  for (const { path, file } of files) {
    if (file === null) continue;
    if (file.content.kind === "stored") context.changes.in(moved.repository).found.add(file.oid);
    try {
      context.changes.note(await placeFile(context, moved.repository, change, path, file));
    } catch (error) {
      // Somebody has made a directory of it, or a file of a directory above it.
      if (!(error instanceof LayerdError) || error.code !== "name_conflict") throw error;
      conflicts.push({ ...conflictOf(moved), path, expected: null, actual: null });
    }
  }
  if (conflicts.length > 0) throw changedSince(conflicts);
}

async function sameTree(
  repository: Repository,
  one: ObjectId | null,
  other: ObjectId | null,
): Promise<boolean> {
  if (one === null || other === null) return one === other;
  return await repository.trees.rootOf(one) === await repository.trees.rootOf(other);
}

function same(one: TreeEntry | null, other: TreeEntry | null): boolean {
  return one?.oid === other?.oid && one?.mode === other?.mode;
}

function conflictOf({ repository, ref, after, now }: Moved): RefConflict {
  return {
    repository: repository.name,
    ref,
    layer: layerOfRef(ref),
    expected: after,
    actual: now,
  };
}

function changedSince(conflicts: readonly RefConflict[]): LayerdError {
  const names = conflicts.slice(0, 5).map(({ layer, ref, path, key }) => {
    const where = key === undefined ? "" : `key ${key} in `;
    return path === undefined ? layer ?? ref : `${where}${quote(path)} of ${layer ?? ref}`;
  });
  const more = conflicts.length > names.length
    ? `, and ${conflicts.length - names.length} more`
    : "";
  return new LayerdError(
    "write_conflict",
    `What would be undone has changed since: ${names.join(", ")}${more}`,
    { conflicts },
  );
}

function submodule(path: string): LayerdError {
  return new LayerdError(
    "invalid_content",
    `${quote(path)} was a submodule, which no operation can put back`,
  );
}
