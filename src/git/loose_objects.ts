/**
 * Loose objects: one file each, `objects/xx/yyyy`. Others write them; layerd only reads.
 */
import type { ObjectId } from "../core/ids.ts";
import type { ObjectType } from "../core/log_record.ts";
import { errorCode, type FileSystem } from "../system/file_system.ts";
import { decodeLoose, decodeLooseHeader } from "./object_codec.ts";
import type { GitObject } from "./repository.ts";

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
