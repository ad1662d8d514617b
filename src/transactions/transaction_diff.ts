/** What a transaction changes, file by file: staged, prepared or committed. */
import { layerOfRef, type ObjectId, parseObjectId, parseRepositoryName } from "../core/ids.ts";
import type { TransactionDocument } from "../core/transaction_document.ts";
import type { Repository, TreeEntry } from "../git/repository.ts";
import type { RepositoryCatalog } from "./catalog.ts";
import { isTree, type LayerChange } from "./layer_change.ts";
import type { DiffEntry } from "./manager.ts";
import type { StagedChanges } from "./staged_changes.ts";

/** A path before and after; a mode that changed counts as a change. */
interface Sides {
  readonly before: TreeEntry | null;
  readonly after: TreeEntry | null;
}

/** Changes that are staged; layers that came out as they were are left out. */
export async function diffStaged(changes: StagedChanges): Promise<DiffEntry[]> {
  const entries: DiffEntry[] = [];
  for (const { repository, layers } of changes.repositories) {
    for (const change of layers.values()) {
      if (!change.touched) continue;
      const sides = await stagedSides(repository, change);
      entries.push(...entriesOf(repository.name, layerOfRef(change.ref) ?? change.ref, sides));
    }
  }
  return entries;
}

/** Changes of a finished transaction, from the commits it left. */
export async function diffCommitted(
  document: TransactionDocument,
  catalog: Pick<RepositoryCatalog, "get">,
): Promise<DiffEntry[]> {
  const entries: DiffEntry[] = [];
  for (const result of document.results) {
    const repository = catalog.get(parseRepositoryName(result.repository));
    const before = await rootOf(repository, objectIdIn(result.old));
    const after = await rootOf(repository, objectIdIn(result.new));
    const sides = await sidesOf(repository, before, after);
    entries.push(...entriesOf(result.repository, result.layer, sides));
  }
  return entries;
}

/** An id of a document that this daemon wrote, back as a proven one. */
export function objectIdIn(text: string | null): ObjectId | null {
  return text === null ? null : parseObjectId(text);
}

async function stagedSides(
  repository: Repository,
  change: LayerChange,
): Promise<Map<string, Sides>> {
  const before = await rootOf(repository, change.base);
  const tip = change.tip.kind === "object" ? change.tip.oid : null;
  const sides = await sidesOf(repository, before, await rootOf(repository, tip));
  for (const [path, after] of change.files) {
    const entry = before === null ? null : await repository.trees.lookup(before, path);
    sides.set(path, { before: entry !== null && isTree(entry) ? null : entry, after });
  }
  return sides;
}

/** Refs outside layers may point at tags and blobs: those have no files to compare. */
async function rootOf(repository: Repository, oid: ObjectId | null): Promise<ObjectId | null> {
  if (oid === null || (await repository.objects.header(oid))?.type !== "commit") return null;
  return await repository.trees.rootOf(oid);
}

async function sidesOf(
  repository: Repository,
  before: ObjectId | null,
  after: ObjectId | null,
): Promise<Map<string, Sides>> {
  if (before === after) return new Map();
  const differences = await repository.trees.diff(before, after);
  return new Map(differences.map(({ path, ...sides }) => [path, sides]));
}

function entriesOf(
  repository: string,
  layer: string,
  sides: ReadonlyMap<string, Sides>,
): DiffEntry[] {
  const entries: DiffEntry[] = [];
  for (const [path, { before, after }] of sides) {
    const status = statusOf(before, after);
    if (status === null) continue;
    const ids = { old_oid: before?.oid ?? null, new_oid: after?.oid ?? null };
    entries.push({ repository, layer, path, status, ...ids });
  }
  return entries.sort((one, other) => one.path < other.path ? -1 : 1);
}

function statusOf(before: TreeEntry | null, after: TreeEntry | null): DiffEntry["status"] | null {
  if (before === null) return after === null ? null : "added";
  if (after === null) return "deleted";
  return before.oid === after.oid && before.mode === after.mode ? null : "modified";
}
