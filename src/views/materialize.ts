/**
 * Writes a view to a directory, atomically. `TARGET` is a symbolic link; beside it stands
 * `.TARGET.layerd/`, which holds
 *
 *   v<n>/       the files of one view, complete before the link ever names it
 *   v<n>.json   its marker: which view, and id and mode of every file
 *   lock        held (flock) while somebody writes
 *
 * W1. One rename of a link over TARGET switches: at every moment, also after SIGKILL, TARGET
 *     is wholly the old view or wholly the new one. Files and marker are durable before it.
 * W2. What is not ours is not touched: a TARGET that is no link of ours is refused, and a
 *     file that was changed or added by hand stops everything before anything is written,
 *     unless the new view has just that content.
 * W3. A file that is the same in both views is one file (a hard link), checked by content.
 * W4. What a killed run left is removed by the next one. The view before stays, for those
 *     who still have its files open; older ones go.
 */
import { basename, dirname, join } from "@std/path";
import { parseFilePath } from "../core/ids.ts";
import type { HandEdit, Materialized, WantedFile, WantedView } from "../core/materialization.ts";
import { objectId } from "../git/object_codec.ts";
import type { FileSystem } from "../system/file_system.ts";
import { decodeMarker, encodeMarker, type Marker } from "./marker.ts";

const LINK = "120000";
const EXECUTABLE = "100755";

/** Writes the view; `target` is absolute. Answers what came of it. */
export async function materialize(
  files: FileSystem,
  target: string,
  view: WantedView,
): Promise<Materialized> {
  for (const { path } of view.files) parseFilePath(path);
  const store = join(dirname(target), `.${basename(target)}.layerd`);
  makeDirectories(files, store);
  const lock = files.open(join(store, "lock"), {
    read: true,
    write: true,
    create: true,
    mode: 0o644,
  });
  try {
    if (!lock.tryLock()) {
      return { kind: "refused", reason: `Another layerd is writing ${target} now` };
    }
    return await new Target(files, target, store).write(view);
  } finally {
    lock.close();
  }
}

/** Missing parents are made: a new machine has no `~/.config` yet. */
function makeDirectories(files: FileSystem, directory: string): void {
  if (files.lstatIfAny(directory) !== null) return;
  makeDirectories(files, dirname(directory));
  files.makeDirectory(directory, 0o755);
}

/** The version that TARGET names. */
interface Current {
  readonly number: number;
  readonly directory: string;
  readonly marker: Marker;
}

class Target {
  readonly #files: FileSystem;
  readonly #target: string;
  readonly #store: string;

  constructor(files: FileSystem, target: string, store: string) {
    this.#files = files;
    this.#target = target;
    this.#store = store;
  }

  async write(view: WantedView): Promise<Materialized> {
    const current = this.#current();
    if (typeof current === "string") return { kind: "refused", reason: current };
    const wanted = new Map(view.files.map((file) => [file.path, file]));
    const onDisk = current === null ? new Map<string, string>() : this.#look(current.directory);
    const edits = current === null ? [] : handEdits(current.marker, onDisk, wanted);
    const overwritten = edits.filter(({ change }) => change !== "deleted");
    if (overwritten.length > 0) return { kind: "edited", edits };
    this.#sweep(current);
    if (current !== null && edits.length === 0 && sameFiles(current.marker, wanted, onDisk)) {
      return { kind: "unchanged", directory: current.directory };
    }
    return await this.#next(view, current, onDisk, edits);
  }

  async #next(
    view: WantedView,
    current: Current | null,
    onDisk: ReadonlyMap<string, string>,
    edits: readonly HandEdit[],
  ): Promise<Materialized> {
    const number = this.#numbers().reduce((one, other) => Math.max(one, other), 0) + 1;
    const directory = join(this.#store, `v${number}`);
    const building = `${directory}.tmp`;
    this.#files.makeDirectory(building, 0o755);
    const made = new Set<string>([building]);
    let linked = 0;
    for (const file of view.files) {
      const path = join(building, file.path);
      this.#makeParents(building, file.path, made);
      const same = current !== null && onDisk.get(file.path) === keyOf(file);
      if (same) {
        this.#files.link(join(current.directory, file.path), path);
        linked += 1;
      } else await this.#put(path, file, await view.content(file.path));
    }
    for (const path of made) await this.#files.syncDirectory(path);
    const marker = encodeMarker({ source: view.source, files: view.files });
    const note = `${directory}.json`;
    this.#files.writeNewFile(note, marker, 0o644);
    await this.#files.syncFile(note);
    this.#files.rename(building, directory);
    await this.#files.syncDirectory(this.#store);
    await this.#switchTo(number);
    this.#sweep({ number, directory, marker: { source: view.source, files: view.files } }, current);
    const before = current?.marker.files ?? [];
    const kept = new Set(view.files.map(({ path }) => path));
    return {
      kind: "written",
      directory,
      written: view.files.length - linked,
      linked,
      removed: before.filter(({ path }) => !kept.has(path)).length,
      restored: edits.map(({ path }) => path),
    };
  }

  async #put(path: string, { mode }: WantedFile, bytes: Uint8Array): Promise<void> {
    if (mode === LINK) return this.#files.symlink(new TextDecoder().decode(bytes), path);
    this.#files.writeNewFile(path, bytes, mode === EXECUTABLE ? 0o755 : 0o644);
    await this.#files.syncFile(path);
  }

  #makeParents(root: string, path: string, made: Set<string>): void {
    let directory = root;
    for (const part of path.split("/").slice(0, -1)) {
      directory = join(directory, part);
      if (made.has(directory)) continue;
      this.#files.makeDirectory(directory, 0o755);
      made.add(directory);
    }
  }

  /** The one rename. */
  async #switchTo(number: number): Promise<void> {
    const link = join(this.#store, "next");
    this.#files.symlink(`${basename(this.#store)}/v${number}`, link);
    this.#files.rename(link, this.#target);
    await this.#files.syncDirectory(dirname(this.#target));
  }

  /** What TARGET is now, null where nothing is, or why it cannot be written. */
  #current(): Current | null | string {
    const info = this.#files.lstatIfAny(this.#target);
    if (info === null) return null;
    const named = info.kind === "symlink" ? this.#files.readLink(this.#target) : "";
    const [, store, digits] = /^([^/]+)\/v([0-9]+)$/.exec(named) ?? [];
    if (store !== basename(this.#store) || digits === undefined) {
      return `${this.#target} is there already and was not written by layerd: move it away first`;
    }
    const number = Number(digits);
    const directory = join(this.#store, `v${number}`);
    const note = `${directory}.json`;
    try {
      return { number, directory, marker: decodeMarker(this.#files.readFile(note)) };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return `${note}, which says what layerd wrote, cannot be read (${reason}): ` +
        `move ${this.#target} away first`;
    }
  }

  /** Mode and content of everything below a directory, by path. */
  #look(directory: string): Map<string, string> {
    const found = new Map<string, string>();
    const visit = (below: string) => {
      for (const { name } of this.#files.readDirectory(join(directory, below))) {
        const path = below === "" ? name : `${below}/${name}`;
        const info = this.#files.lstat(join(directory, path));
        if (info.kind === "directory") visit(path);
        else found.set(path, this.#keyOnDisk(join(directory, path), info));
      }
    };
    if (this.#files.lstatIfAny(directory) !== null) visit("");
    return found;
  }

  #keyOnDisk(
    path: string,
    { kind, mode }: { readonly kind: string; readonly mode: number },
  ): string {
    if (kind === "symlink") {
      const oid = objectId("blob", new TextEncoder().encode(this.#files.readLink(path)));
      return keyOf({ mode: LINK, oid });
    }
    // A pipe or a socket is nobody's file of ours.
    if (kind !== "file") return kind;
    const oid = objectId("blob", this.#files.readFile(path));
    return keyOf({ mode: (mode & 0o100) !== 0 ? EXECUTABLE : "100644", oid });
  }

  #numbers(): number[] {
    return this.#files.readDirectory(this.#store).flatMap(({ name }) => {
      const digits = /^v([0-9]+)(?:\.json|\.tmp)?$/.exec(name)?.[1];
      return digits === undefined ? [] : [Number(digits)];
    });
  }

  /** Removes all but the lock, the current version and the one before it. */
  #sweep(current: Current | null, before: Current | null = null): void {
    const numbers = this.#numbers().filter((number) => number < (current?.number ?? 0));
    const previous = before?.number ?? Math.max(0, ...numbers);
    const kept = new Set(["lock"]);
    for (const number of [current?.number, previous]) {
      if (number === undefined) continue;
      kept.add(`v${number}`);
      kept.add(`v${number}.json`);
    }
    for (const { name } of this.#files.readDirectory(this.#store)) {
      if (!kept.has(name)) this.#remove(join(this.#store, name));
    }
  }

  #remove(path: string): void {
    if (this.#files.lstat(path).kind !== "directory") return this.#files.unlink(path);
    for (const { name } of this.#files.readDirectory(path)) this.#remove(join(path, name));
    this.#files.removeDirectory(path);
  }
}

function keyOf({ mode, oid }: Pick<WantedFile, "mode" | "oid">): string {
  return `${mode} ${oid}`;
}

/** Everything on disk that is neither what was written nor what is wanted now. */
function handEdits(
  { files }: Marker,
  onDisk: ReadonlyMap<string, string>,
  wanted: ReadonlyMap<string, WantedFile>,
): HandEdit[] {
  const written = new Map(files.map((file) => [file.path, keyOf(file)]));
  const edits: HandEdit[] = [];
  for (const [path, key] of onDisk) {
    const now = wanted.get(path);
    if (written.get(path) === key || (now !== undefined && keyOf(now) === key)) continue;
    edits.push({ path, change: written.has(path) ? "modified" : "added" });
  }
  for (const path of written.keys()) {
    if (!onDisk.has(path) && wanted.has(path)) edits.push({ path, change: "deleted" });
  }
  return edits.sort((one, other) => one.path < other.path ? -1 : 1);
}

function sameFiles(
  { files }: Marker,
  wanted: ReadonlyMap<string, WantedFile>,
  onDisk: ReadonlyMap<string, string>,
): boolean {
  return files.length === wanted.size && files.every((file) => {
    const now = wanted.get(file.path);
    return now !== undefined && keyOf(now) === keyOf(file) && onDisk.get(file.path) === keyOf(file);
  });
}
