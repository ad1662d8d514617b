/**
 * Undo within one structured file: what a transaction did to some keys is taken back where
 * later transactions changed others. It is the three-way merge whose base is what the
 * transaction left and whose other side is what was there before it, so the same keys conflict.
 */
import { objectId } from "../git/object_codec.ts";
import type { Repository, TreeEntry } from "../git/repository.ts";
import { mergeStructured } from "../structured/merge_content.ts";
import type { StagedFile } from "./layer_change.ts";
import { fileMode, type StagingContext } from "./staging_checks.ts";

/** One file in three states. */
export interface UndoneFile {
  readonly path: string;
  readonly before: TreeEntry;
  readonly after: TreeEntry;
  readonly current: TreeEntry;
}

export type UndoneKeys =
  | { readonly kind: "restore"; readonly file: StagedFile }
  /** All of it is as it was before already. */
  | { readonly kind: "nothing" }
  /** `keys` is empty where the file can only be taken whole. */
  | { readonly kind: "conflict"; readonly keys: readonly string[] };

export async function undoKeys(
  context: StagingContext,
  repository: Repository,
  { path, before, after, current }: UndoneFile,
): Promise<UndoneKeys> {
  const entries = [before, after, current];
  if (entries.some(({ mode }) => !mode.startsWith("100"))) return WHOLE;
  const [was, left, now] = [fileMode(before.mode), fileMode(after.mode), fileMode(current.mode)];
  if (now !== left && now !== was && left !== was) return WHOLE;
  const mode = now === left ? was : now;
  const bytes = (entry: TreeEntry) =>
    context.bytes(repository, { ...entry, content: { kind: "stored" } });
  const merged = mergeStructured(path, {
    base: await bytes(after),
    ours: await bytes(current),
    theirs: await bytes(before),
  });
  if (merged === null) return WHOLE;
  if (merged.kind === "conflict") return { kind: "conflict", keys: merged.keys };
  const oid = objectId("blob", merged.bytes);
  if (oid === current.oid && mode === now) return { kind: "nothing" };
  return {
    kind: "restore",
    file: { mode, oid, content: { kind: "bytes", bytes: merged.bytes } },
  };
}

const WHOLE: UndoneKeys = { kind: "conflict", keys: [] };
