/**
 * Trees of commits: looked up, listed, compared and rewritten, with a cache of parsed trees
 * bounded by bytes. Trees are immutable and named by their content, so the cache is never
 * wrong and is shared by all transactions.
 *
 * T1. rewrite() reads and writes only the directories on changed paths; every other entry
 *     keeps its bytes, submodules and odd modes too.
 * T2. Names that are not UTF-8 are shown with replacement characters and cannot be addressed.
 */
import { LayerdError } from "../core/errors.ts";
import type { ObjectId } from "../core/ids.ts";
import { CACHE_ENTRY_BYTES, ROOT_CACHE_ENTRIES_MAX, TREE_CACHE_BYTES_MAX } from "../core/limits.ts";
import { LruMap } from "./lru_map.ts";
import { EMPTY_TREE_ID, objectId, parseCommit } from "./object_codec.ts";
import { isTreeMode, ParsedTree, type TreeSplice } from "./parsed_tree.ts";
import type { NewObject, ObjectStore, TreeChange, TreeEntry, TreeReader } from "./repository.ts";

const TREE_MODE = "40000";

type PathEntry = { readonly path: string } & TreeEntry;
interface PathDifference {
  readonly path: string;
  readonly before: TreeEntry | null;
  readonly after: TreeEntry | null;
}

/** Changes of one directory: what is put or removed here, and what lies deeper. */
interface DirectoryChanges {
  readonly here: Map<string, TreeEntry | null>;
  readonly below: Map<string, DirectoryChanges>;
}

export class CachedTreeReader implements TreeReader {
  readonly #objects: Pick<ObjectStore, "read">;
  readonly #trees = new LruMap<ObjectId, ParsedTree>(
    TREE_CACHE_BYTES_MAX,
    (tree) => tree.byteLength + CACHE_ENTRY_BYTES,
  );
  readonly #roots = new LruMap<ObjectId, ObjectId>(ROOT_CACHE_ENTRIES_MAX, () => 1);

  constructor(objects: Pick<ObjectStore, "read">) {
    this.#objects = objects;
  }

  async rootOf(commit: ObjectId): Promise<ObjectId> {
    const known = this.#roots.get(commit);
    if (known !== undefined) return known;
    const object = await this.#objects.read(commit);
    if (object === null) throw new LayerdError("git_error", `Commit ${commit} is missing`);
    if (object.type !== "commit") {
      throw new LayerdError("git_error", `Object ${commit} is a ${object.type}, not a commit`);
    }
    const { tree } = parseCommit(object.body, commit);
    this.#roots.set(commit, tree);
    return tree;
  }

  noteRoot(commit: ObjectId, root: ObjectId): void {
    this.#roots.set(commit, root);
  }

  async lookup(root: ObjectId, path: string): Promise<TreeEntry | null> {
    let entry: TreeEntry = { mode: TREE_MODE, oid: root };
    for (const name of partsOf(path)) {
      if (!isTreeMode(entry.mode)) return null;
      const next = (await this.#tree(entry.oid)).find(name);
      if (next === null) return null;
      entry = next;
    }
    return entry;
  }

  async directory(
    root: ObjectId,
    path: string,
  ): Promise<ReadonlyMap<string, TreeEntry> | null> {
    const entry = await this.lookup(root, path);
    if (entry === null || !isTreeMode(entry.mode)) return null;
    const tree = await this.#tree(entry.oid);
    const entries = new Map<string, TreeEntry>();
    for (let at = 0; at < tree.count; at += 1) entries.set(tree.nameAt(at), tree.entryAt(at));
    return entries;
  }

  async *files(root: ObjectId): AsyncGenerator<PathEntry> {
    yield* this.#filesBelow(root, "");
  }

  async *#filesBelow(oid: ObjectId, prefix: string): AsyncGenerator<PathEntry> {
    const tree = await this.#tree(oid);
    for (let at = 0; at < tree.count; at += 1) {
      const entry = tree.entryAt(at);
      const path = prefix + tree.nameAt(at);
      if (isTreeMode(entry.mode)) yield* this.#filesBelow(entry.oid, `${path}/`);
      else yield { path, ...entry };
    }
  }

  async rewrite(
    root: ObjectId | null,
    changes: TreeChange,
  ): Promise<{ readonly root: ObjectId; readonly objects: readonly NewObject[] }> {
    const objects: NewObject[] = [];
    const before = root === null ? null : await this.#tree(root);
    const after = await this.#rewritten(before, groupChanges(changes), "", objects);
    if (after !== null && after === before && root !== null) return { root, objects };
    const tree = after ?? ParsedTree.empty;
    return { root: this.#keep(tree, objects), objects };
  }

  /** The directory after its changes, null where nothing is left in it. */
  async #rewritten(
    before: ParsedTree | null,
    changes: DirectoryChanges,
    prefix: string,
    objects: NewObject[],
  ): Promise<ParsedTree | null> {
    const tree = before ?? ParsedTree.empty;
    const splices: TreeSplice[] = [];
    for (const [name, entry] of changes.here) {
      if (changes.below.has(name)) continue;
      const old = entry === null ? null : tree.find(name);
      if (old !== null && isTreeMode(old.mode)) {
        const text = `${prefix}${name} is a directory and cannot be a file too`;
        throw new LayerdError("name_conflict", text);
      }
      splices.push({ name, entry });
    }
    for (const [name, deeper] of changes.below) {
      const path = prefix + name;
      const here = changes.here.get(name);
      const old = here === null ? null : tree.find(name);
      const subtree = old !== null && isTreeMode(old.mode) ? await this.#tree(old.oid) : null;
      const next = await this.#rewritten(subtree, deeper, `${path}/`, objects);
      const isFile = old !== null && subtree === null;
      if (next !== null && (isFile || (here ?? null) !== null)) {
        throw new LayerdError("name_conflict", `${path} is a file and cannot be a directory too`);
      }
      if (next !== null && next === subtree) continue;
      if (next !== null) {
        splices.push({ name, entry: { mode: TREE_MODE, oid: this.#keep(next, objects) } });
      } else if (here !== undefined) splices.push({ name, entry: here });
      else if (subtree !== null) splices.push({ name, entry: null });
    }
    const after = tree.spliced(splices);
    if (after === tree) return before;
    return after.count === 0 ? null : after;
  }

  /** Adds a tree to the new objects and to the cache. */
  #keep(tree: ParsedTree, objects: NewObject[]): ObjectId {
    const oid = objectId("tree", tree.body);
    objects.push({ oid, type: "tree", body: tree.body });
    this.#trees.set(oid, tree);
    return oid;
  }

  async diff(
    before: ObjectId | null,
    after: ObjectId | null,
  ): Promise<readonly PathDifference[]> {
    const differences: PathDifference[] = [];
    await this.#compare(before, after, "", differences);
    return differences;
  }

  async #compare(
    before: ObjectId | null,
    after: ObjectId | null,
    prefix: string,
    differences: PathDifference[],
  ): Promise<void> {
    if (before === after) return;
    const old = before === null ? ParsedTree.empty : await this.#tree(before);
    const now = after === null ? ParsedTree.empty : await this.#tree(after);
    let oldAt = 0;
    let nowAt = 0;
    while (oldAt < old.count || nowAt < now.count) {
      const order = oldAt === old.count
        ? 1
        : nowAt === now.count
        ? -1
        : old.compareEntries(oldAt, now, nowAt);
      if (order === 0 && old.sameEntry(oldAt, now, nowAt)) {
        oldAt += 1;
        nowAt += 1;
        continue;
      }
      const name = order <= 0 ? old.nameAt(oldAt) : now.nameAt(nowAt);
      const was = order <= 0 ? old.entryAt(oldAt++) : null;
      const is = order >= 0 ? now.entryAt(nowAt++) : null;
      const path = prefix + name;
      // Directories sort apart from files, so both sides are of one kind.
      if (isTreeMode((was ?? is)?.mode ?? "")) {
        await this.#compare(was?.oid ?? null, is?.oid ?? null, `${path}/`, differences);
      } else differences.push({ path, before: was, after: is });
    }
  }

  async #tree(oid: ObjectId): Promise<ParsedTree> {
    if (oid === EMPTY_TREE_ID) return ParsedTree.empty;
    const known = this.#trees.get(oid);
    if (known !== undefined) return known;
    const object = await this.#objects.read(oid);
    if (object === null) throw new LayerdError("git_error", `Tree ${oid} is missing`);
    if (object.type !== "tree") {
      throw new LayerdError("git_error", `Object ${oid} is a ${object.type}, not a tree`);
    }
    const tree = ParsedTree.parse(object.body, oid);
    this.#trees.set(oid, tree);
    return tree;
  }
}

function partsOf(path: string): string[] {
  return path === "" ? [] : path.split("/");
}

function groupChanges(changes: TreeChange): DirectoryChanges {
  const root: DirectoryChanges = { here: new Map(), below: new Map() };
  for (const [path, entry] of changes) {
    const names = partsOf(path);
    const last = names.pop();
    if (last === undefined) throw new LayerdError("invalid_request", "Path must not be empty");
    let directory = root;
    for (const name of names) {
      const next = directory.below.get(name) ?? { here: new Map(), below: new Map() };
      directory.below.set(name, next);
      directory = next;
    }
    directory.here.set(last, entry === null ? null : { mode: entry.mode, oid: entry.oid });
  }
  return root;
}
