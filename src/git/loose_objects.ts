/**
 * Loose objects: one file each, `objects/xx/yyyy`.
 *
 * L1. A file gets its name complete: written aside as `objects/tmp_obj_*` (which git ignores
 *     and cleans up), then renamed. It is durable only after sync().
 * L2. git gc removes an empty `xx` between our mkdir and open, and `prune --expire=now` a
 *     temporary file before our rename: both show as ENOENT and are tried again.
 */
import { dirname } from "@std/path";
import type { ObjectId } from "../core/ids.ts";
import { errorCode, type FileSystem } from "../system/file_system.ts";
import { decodeLoose, decodeLooseHeader } from "./object_codec.ts";
import type { GitObject, ObjectType } from "./repository.ts";
import { sharedMode, type SharedRepository, shareWithGroup } from "./shared_permissions.ts";

const WRITE_TRIES_MAX = 8;
/** Enough compressed bytes for the header of any object. */
const HEADER_READ_BYTES = 512;

/** What is at an object's place: the object, nothing, or bytes that are not it. */
export type LooseRead = GitObject | "missing" | "damaged";

export function loosePath(objectsDir: string, oid: ObjectId): string {
  return `${objectsDir}/${oid.slice(0, 2)}/${oid.slice(2)}`;
}

/** The file's bytes, or null where there is none. */
export function readLooseFile(
  fs: FileSystem,
  objectsDir: string,
  oid: ObjectId,
): Uint8Array | null {
  try {
    return fs.readFile(loosePath(objectsDir, oid));
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw error;
  }
}

/** Reads and checks an object. */
export function readLoose(fs: FileSystem, objectsDir: string, oid: ObjectId): LooseRead {
  const file = readLooseFile(fs, objectsDir, oid);
  return file === null ? "missing" : decodeLoose(oid, file) ?? "damaged";
}

/** Type and size by the first bytes alone; the content is not checked. */
export function readLooseHeader(
  fs: FileSystem,
  objectsDir: string,
  oid: ObjectId,
): { readonly type: ObjectType; readonly size: number } | "missing" | "damaged" {
  const path = loosePath(objectsDir, oid);
  try {
    const handle = fs.open(path, { read: true });
    try {
      const buffer = new Uint8Array(HEADER_READ_BYTES);
      const count = handle.readAt(buffer, 0);
      return decodeLooseHeader(buffer.subarray(0, count)) ?? "damaged";
    } finally {
      handle.close();
    }
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return "missing";
    throw error;
  }
}

/** Temporary names of this daemon: 12 digits, where git's own have 6 characters. */
const OWN_TEMPORARY = /^tmp_(obj|pack|idx)_[0-9a-f]{12}(_\d+)?$/;

/** Removes what a dead process of ours was writing; the caller owns the repository. */
export function sweepTemporaries(fs: FileSystem, objectsDir: string): void {
  for (const directory of [objectsDir, `${objectsDir}/pack`]) {
    if (fs.lstatIfAny(directory) === null) continue;
    for (const { name } of fs.readDirectory(directory)) {
      if (OWN_TEMPORARY.test(name)) fs.unlink(`${directory}/${name}`);
    }
  }
}

/** `git prune --expire=now` may be faster. */
function unlinkIfAny(fs: FileSystem, path: string): void {
  try {
    fs.unlink(path);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
}

/** Writes loose objects into one object directory. */
export class LooseWriter {
  readonly #fs: FileSystem;
  readonly #objectsDir: string;
  readonly #shared: SharedRepository;
  /** Makes temporary names of this process unlike all others'. */
  readonly #unique: string;
  #count = 0;
  /** The mode git would give an object here; learnt from the first file made. */
  #mode: number | null = null;

  constructor(fs: FileSystem, objectsDir: string, shared: SharedRepository, unique: string) {
    this.#fs = fs;
    this.#objectsDir = objectsDir;
    this.#shared = shared;
    this.#unique = unique;
  }

  /** Puts the file in its place, over a damaged one too. Not yet durable. */
  write(oid: ObjectId, file: Uint8Array): void {
    const path = loosePath(this.#objectsDir, oid);
    for (let tries = 1;; tries += 1) {
      const temporary = this.#writeAside(file);
      try {
        this.#place(temporary, path);
        return;
      } catch (error) {
        unlinkIfAny(this.#fs, temporary);
        if (errorCode(error) !== "ENOENT" || tries === WRITE_TRIES_MAX) throw error;
      }
    }
  }

  #writeAside(file: Uint8Array): string {
    this.#count += 1;
    const temporary = `${this.#objectsDir}/tmp_obj_${this.#unique}${this.#count}`;
    if (this.#mode === null) {
      this.#fs.writeNewFile(temporary, file);
      this.#mode = sharedMode(this.#shared, "file", this.#fs.lstat(temporary).mode & 0o444);
      this.#fs.chmod(temporary, this.#mode);
    } else {
      this.#fs.writeNewFile(temporary, file, this.#mode);
    }
    return temporary;
  }

  /** One gc passes over each empty directory three times: the rename follows mkdir at once. */
  #place(temporary: string, path: string): void {
    try {
      this.#fs.rename(temporary, path);
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
      this.#makeDirectory(dirname(path));
      this.#fs.rename(temporary, path);
    }
  }

  #makeDirectory(directory: string): void {
    try {
      this.#fs.makeDirectory(directory);
      shareWithGroup(this.#fs, directory, this.#shared);
    } catch (error) {
      const code = errorCode(error);
      if (code !== "EEXIST" && code !== "ENOENT") throw error;
    }
  }

  /** Makes an object's file and its directory entry durable. Throws ENOENT where it is gone. */
  async sync(oid: ObjectId): Promise<void> {
    const path = loosePath(this.#objectsDir, oid);
    await this.#fs.syncFile(path);
    await this.#fs.syncDirectory(dirname(path));
  }
}
