/**
 * What a transaction made of one layer (or another ref), in memory: where the ref points
 * before any file change ({@link Tip}), and an overlay of changed files on the tree there.
 *
 * C1. `base` is the snapshot value and never changes; it is the edit's expected old value.
 * C2. The overlay holds a path as null only where the tip's tree has that path.
 * C3. No live file lies below another file of the view: place() refuses that before it
 *     changes anything.
 * C4. Every change answers a function-free {@link Undo} that takes it back; undoing in
 *     reverse order restores the overlay exactly.
 */
import { LayerdError } from "../core/errors.ts";
import type { LayerName, ObjectId, RefName, RepositoryName } from "../core/ids.ts";
import { layerOfRef, quote } from "../core/ids.ts";
import type { FileMode } from "../core/operations.ts";
import type { TreeEntry, TreeReader } from "../git/repository.ts";

/** Where the bytes of a staged file are until the commit is built. */
export type StagedContent =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "spooled"; readonly file: string; readonly size: number }
  /** The repository has the blob. */
  | { readonly kind: "stored" };

export interface StagedFile {
  readonly mode: FileMode;
  readonly oid: ObjectId;
  readonly content: StagedContent;
}

/** Where a ref points before file changes. An unborn layer exists and has no commit yet. */
export type Tip =
  | { readonly kind: "absent" }
  | { readonly kind: "unborn" }
  | { readonly kind: "object"; readonly oid: ObjectId };

/** A file as a transaction sees it. */
export type VisibleFile = TreeEntry & { readonly content: StagedContent };

type Overlay = Map<string, StagedFile | null>;

/** Overlay entries somewhere below a directory. */
interface Below {
  live: number;
  deleted: number;
}

/** What one change replaced. `before` of a file is undefined where the overlay had nothing. */
export type Undo =
  | {
    readonly kind: "file";
    readonly change: LayerChange;
    readonly path: string;
    readonly before: StagedFile | null | undefined;
  }
  | {
    readonly kind: "tip";
    readonly change: LayerChange;
    readonly tip: Tip;
    readonly files: Overlay;
    readonly below: Map<string, Below>;
    readonly merged: readonly ObjectId[];
  }
  | {
    readonly kind: "parents";
    readonly change: LayerChange;
    readonly merged: readonly ObjectId[];
  };

const STORED: StagedContent = { kind: "stored" };
const TREE_MODE = "040000";
const GITLINK_MODE = "160000";

export class LayerChange {
  readonly repository: RepositoryName;
  readonly ref: RefName;
  readonly base: ObjectId | null;
  readonly #trees: TreeReader;
  #tip: Tip;
  #files: Overlay = new Map();
  #below = new Map<string, Below>();
  #merged: readonly ObjectId[] = [];

  constructor(
    repository: RepositoryName,
    ref: RefName,
    base: ObjectId | null,
    trees: TreeReader,
  ) {
    this.repository = repository;
    this.ref = ref;
    this.base = base;
    this.#trees = trees;
    this.#tip = base === null ? { kind: "absent" } : { kind: "object", oid: base };
  }

  get tip(): Tip {
    return this.#tip;
  }

  get exists(): boolean {
    return this.#tip.kind !== "absent";
  }

  /** Changed files on top of the tip; null stands for deleted. */
  get files(): ReadonlyMap<string, StagedFile | null> {
    return this.#files;
  }

  /** Commits that were merged in: further parents of the commit to come. */
  get merged(): readonly ObjectId[] {
    return this.#merged;
  }

  get layer(): LayerName | null {
    return layerOfRef(this.ref);
  }

  /** Whether anything was staged, also when it comes to the same in the end. */
  get touched(): boolean {
    return this.#files.size > 0 || this.#merged.length > 0 || this.#tip.kind === "unborn" ||
      (this.#tip.kind === "object" ? this.#tip.oid : null) !== this.base;
  }

  /** Root tree of the tip, or null where there is no commit. */
  async root(): Promise<ObjectId | null> {
    return this.#tip.kind === "object" ? await this.#trees.rootOf(this.#tip.oid) : null;
  }

  /** The file at a path as the transaction sees it; directories and submodules are not files. */
  async file(path: string): Promise<VisibleFile | null> {
    const staged = this.#files.get(path);
    if (staged !== undefined) return staged;
    const entry = await this.#baseEntry(path);
    if (entry === null || isTree(entry) || entry.mode === GITLINK_MODE) return null;
    return { ...entry, content: STORED };
  }

  /** What stands at a path, submodules too; null for nothing and for a directory. */
  async entry(path: string): Promise<VisibleFile | null> {
    const staged = this.#files.get(path);
    if (staged !== undefined) return staged;
    const entry = await this.#baseEntry(path);
    return entry === null || isTree(entry) ? null : { ...entry, content: STORED };
  }

  /** All files that the transaction sees, in no order. */
  async *allFiles(): AsyncIterable<{ readonly path: string } & VisibleFile> {
    const root = await this.root();
    if (root !== null) {
      for await (const { path, mode, oid } of this.#trees.files(root)) {
        if (!this.#files.has(path)) yield { path, mode, oid, content: STORED };
      }
    }
    for (const [path, file] of this.#files) {
      if (file !== null) yield { path, ...file };
    }
  }

  /** Puts a file; `name_conflict` where a directory is, or a file where one is needed. */
  async place(path: string, file: StagedFile): Promise<Undo> {
    if (file.mode === "120000" && /(^|\/)\.gitmodules$/i.test(path)) {
      throw new LayerdError("invalid_request", "A .gitmodules that is a symbolic link harms git", {
        field: "mode",
      });
    }
    const other = await this.#obstacle(path);
    if (other !== null) {
      throw new LayerdError(
        "name_conflict",
        `${quote(path)} cannot be a file of ${this.#name()}: ${other}`,
      );
    }
    return this.#set(path, file);
  }

  /** Removes a file; `file_not_found` where the transaction sees none. */
  async remove(path: string): Promise<Undo> {
    if (await this.file(path) === null && !await this.#isGitlink(path)) {
      throw new LayerdError("file_not_found", `${this.#name()} has no file ${quote(path)}`);
    }
    const entry = await this.#baseEntry(path);
    // A tree there means that its files were deleted one by one before a file took its place.
    return this.#set(path, entry === null || isTree(entry) ? undefined : null);
  }

  /** Points the ref elsewhere and starts with the given overlay, by default an empty one. */
  reset(
    tip: Tip,
    files: ReadonlyMap<string, StagedFile | null> = new Map(),
    merged: readonly ObjectId[] = [],
  ): Undo {
    const undo: Undo = {
      kind: "tip",
      change: this,
      tip: this.#tip,
      files: this.#files,
      below: this.#below,
      merged: this.#merged,
    };
    this.#tip = tip;
    this.#files = new Map();
    this.#below = new Map();
    this.#merged = merged;
    for (const [path, file] of files) this.#set(path, file);
    return undo;
  }

  /** Notes a commit whose files were merged in. */
  addParent(commit: ObjectId): Undo {
    const undo: Undo = { kind: "parents", change: this, merged: this.#merged };
    this.#merged = [...this.#merged, commit];
    return undo;
  }

  /** Takes back one change; the latest first. */
  undo(undo: Undo): void {
    if (undo.kind === "file") {
      this.#set(undo.path, undo.before);
      return;
    }
    this.#merged = undo.merged;
    if (undo.kind === "parents") return;
    this.#tip = undo.tip;
    this.#files = undo.files;
    this.#below = undo.below;
  }

  #set(path: string, file: StagedFile | null | undefined): Undo {
    const before = this.#files.get(path);
    if (file === undefined) this.#files.delete(path);
    else this.#files.set(path, file);
    for (const directory of ancestorsOf(path)) {
      const below = this.#below.get(directory) ?? { live: 0, deleted: 0 };
      below.live += Number(isLive(file)) - Number(isLive(before));
      below.deleted += Number(file === null) - Number(before === null);
      if (below.live === 0 && below.deleted === 0) this.#below.delete(directory);
      else this.#below.set(directory, below);
    }
    return { kind: "file", change: this, path, before };
  }

  /** Why no file can be put at the path, in words, or null. */
  async #obstacle(path: string): Promise<string | null> {
    if (await this.#isDirectory(path)) return "a directory is there";
    const ancestors = ancestorsOf(path);
    const fileIn = (ancestor: string) => `${quote(ancestor)} is a file`;
    for (const ancestor of ancestors) {
      if (isLive(this.#files.get(ancestor))) return fileIn(ancestor);
    }
    const parent = ancestors.at(-1);
    // A live file beside it proves that every ancestor is a directory.
    if (parent === undefined || (this.#below.get(parent)?.live ?? 0) > 0) return null;
    for (const ancestor of ancestors) {
      const entry = await this.#baseEntry(ancestor);
      if (entry === null) return null;
      if (!isTree(entry) && this.#files.get(ancestor) !== null) return fileIn(ancestor);
    }
    return null;
  }

  async #isDirectory(path: string): Promise<boolean> {
    const below = this.#below.get(path);
    if (below !== undefined && below.live > 0) return true;
    const entry = await this.#baseEntry(path);
    if (entry === null || !isTree(entry)) return false;
    return below === undefined || await this.#hasSurvivor(path);
  }

  /** Whether a base directory still holds a file that the overlay does not delete. */
  async #hasSurvivor(directory: string): Promise<boolean> {
    const root = await this.root();
    if (root === null) return false;
    for (const [name, entry] of await this.#trees.directory(root, directory) ?? []) {
      const path = `${directory}/${name}`;
      if (isTree(entry)) {
        if (await this.#hasSurvivor(path)) return true;
      } else if (this.#files.get(path) !== null) return true;
    }
    return false;
  }

  async #isGitlink(path: string): Promise<boolean> {
    if (this.#files.has(path)) return false;
    return (await this.#baseEntry(path))?.mode === GITLINK_MODE;
  }

  async #baseEntry(path: string): Promise<TreeEntry | null> {
    const root = await this.root();
    return root === null ? null : await this.#trees.lookup(root, path);
  }

  #name(): string {
    return this.layer === null ? this.ref : `layer ${this.layer}`;
  }
}

/** Bytes of content that the entry keeps in memory. */
export function bytesHeld(file: StagedFile | null | undefined): number {
  return file && file.content.kind === "bytes" ? file.content.bytes.length : 0;
}

export function isTree(entry: TreeEntry): boolean {
  // Git writes "40000" into trees and prints "040000".
  return entry.mode === TREE_MODE || entry.mode === "40000";
}

function isLive(file: StagedFile | null | undefined): boolean {
  return file !== undefined && file !== null;
}

/** Directories above a path, outermost first. */
function ancestorsOf(path: string): string[] {
  const ancestors: string[] = [];
  for (let at = path.indexOf("/"); at !== -1; at = path.indexOf("/", at + 1)) {
    ancestors.push(path.slice(0, at));
  }
  return ancestors;
}
