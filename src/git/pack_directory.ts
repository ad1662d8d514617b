/** The directory of packs: making it, linking into it, and taking packs out of it. */
import { Buffer } from "node:buffer";
import { errorCode, type FileSystem } from "../system/file_system.ts";
import { type SharedRepository, shareWithGroup } from "./shared_permissions.ts";

/** Makes `objects/pack` with the mode that git would give it; nothing where it is there. */
export function makePackDirectory(
  fs: FileSystem,
  packDir: string,
  shared: SharedRepository,
): void {
  try {
    fs.makeDirectory(packDir);
    shareWithGroup(fs, packDir, shared);
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
  }
}

/** A pack's name is the hash of its content, so a file of that name is the same file. */
export function linkUnlessThere(fs: FileSystem, from: string, to: string): void {
  try {
    fs.link(from, to);
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
  }
}

/** Removes a file that somebody else may have removed already. */
export function unlinkIfAny(fs: FileSystem, path: string): void {
  try {
    fs.unlink(path);
  } catch (error) {
    const code = errorCode(error);
    if (code !== "ENOENT" && code !== "ENOTDIR") throw error;
  }
}

/**
 * A multi-pack index that names the pack goes before the pack does, as in `git repack`: it is
 * only a faster way to the indexes of the packs.
 */
export function removeFromMultiPackIndex(fs: FileSystem, packDir: string, name: string): void {
  const path = `${packDir}/multi-pack-index`;
  if (fs.lstatIfAny(path) === null) return;
  if (Buffer.from(fs.readFile(path)).includes(`${name}.idx`)) unlinkIfAny(fs, path);
}
