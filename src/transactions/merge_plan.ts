/**
 * What merging another commit's files into a layer changes, path by path, against one base.
 * Every path that both sides touched is looked at here; nothing is left to a merge engine.
 *
 * P1. A path that only they changed becomes theirs; one that both made the same stays.
 * P2. Both changed it: contents of regular files merge (structured/merge_content.ts); a
 *     deletion, a link or a submodule against any other change is a conflict.
 * P3. A file where the other side has a directory is found when the plan is applied.
 */
import type { ObjectId } from "../core/ids.ts";
import { objectId } from "../git/object_codec.ts";
import type { Repository, TreeEntry } from "../git/repository.ts";
import { mergeContent } from "../structured/merge_content.ts";
import type { LayerChange, StagedFile, VisibleFile } from "./layer_change.ts";
import { fileMode, type StagingContext } from "./staging_checks.ts";

export interface PathConflict {
  readonly path: string;
  readonly key: string | null;
  readonly reason: string;
  readonly ours: ObjectId | null;
  readonly theirs: ObjectId | null;
}

export interface MergePlan {
  /** By path; null removes. */
  readonly files: ReadonlyMap<string, StagedFile | null>;
  readonly conflicts: readonly PathConflict[];
  /** Contents that were merged: what a second engine is told to make of the same three. */
  readonly merged: ReadonlyMap<string, string>;
}

/** One path that they changed. */
interface Change {
  readonly path: string;
  readonly before: TreeEntry | null;
  readonly ours: VisibleFile | null;
  readonly theirs: TreeEntry | null;
}

const STORED = { kind: "stored" } as const;
const SUBMODULE = "160000";
const LINK = "120000";

export async function planMerge(
  context: StagingContext,
  repository: Repository,
  change: LayerChange,
  roots: { readonly base: ObjectId; readonly theirs: ObjectId },
): Promise<MergePlan> {
  const files = new Map<string, StagedFile | null>();
  const conflicts: PathConflict[] = [];
  const merged = new Map<string, string>();
  for (const { path, before, after } of await repository.trees.diff(roots.base, roots.theirs)) {
    const one = { path, before, ours: await change.entry(path), theirs: after };
    if (same(one.ours, before)) {
      if (after !== null && after.mode === SUBMODULE) conflicts.push(conflictOf(one, "submodule"));
      else {files.set(
          path,
          after && { mode: fileMode(after.mode), oid: after.oid, content: STORED },
        );}
    } else if (!same(one.ours, after)) {
      const both = await mergeBoth(context, repository, one, merged);
      if (Array.isArray(both)) conflicts.push(...both);
      else if (!same(one.ours, both)) files.set(path, both);
    }
  }
  return { files, conflicts, merged };
}

async function mergeBoth(
  context: StagingContext,
  repository: Repository,
  change: Change,
  merged: Map<string, string>,
): Promise<StagedFile | PathConflict[]> {
  const { path, before, ours, theirs } = change;
  if (ours === null || theirs === null) return [conflictOf(change, "deleted")];
  const special = [before, ours, theirs].some((entry) =>
    entry?.mode === SUBMODULE || entry?.mode === LINK
  );
  if (special) return [conflictOf(change, "type")];
  const [was, mine, yours] = [before, ours, theirs].map((entry) => entry && fileMode(entry.mode));
  const mode = mine === yours || yours === was ? mine : mine === was ? yours : null;
  if (!mode) return [conflictOf(change, "mode")];
  if (theirs.oid === ours.oid || theirs.oid === before?.oid) return { ...ours, mode };
  if (ours.oid === before?.oid) return { mode, oid: theirs.oid, content: STORED };
  const sides = {
    base: before === null ? null : await stored(context, repository, before),
    ours: await context.bytes(repository, ours),
    theirs: await stored(context, repository, theirs),
  };
  const outcome = mergeContent(path, sides);
  if (outcome.kind === "clean") {
    const { bytes } = outcome;
    const key = sidesKey(text(sides.base), text(sides.ours), text(sides.theirs));
    merged.set(key, text(bytes));
    return { mode, oid: objectId("blob", bytes), content: { kind: "bytes", bytes } };
  }
  if (outcome.keys.length === 0) return [conflictOf(change, outcome.reason)];
  return outcome.keys.map((key) => ({ ...conflictOf(change, outcome.reason), key }));
}

/** The name of three contents in {@link MergePlan.merged}. */
export function sidesKey(base: string, ours: string, theirs: string): string {
  return JSON.stringify([base, ours, theirs]);
}

function stored(
  context: StagingContext,
  repository: Repository,
  entry: TreeEntry,
): Promise<Uint8Array> {
  return context.bytes(repository, { ...entry, content: STORED });
}

function text(bytes: Uint8Array | null): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes ?? new Uint8Array());
}

function conflictOf({ path, ours, theirs }: Change, reason: string): PathConflict {
  return { path, key: null, reason, ours: ours?.oid ?? null, theirs: theirs?.oid ?? null };
}

function same(one: TreeEntry | null, other: TreeEntry | null): boolean {
  return one?.oid === other?.oid && one?.mode === other?.mode;
}
