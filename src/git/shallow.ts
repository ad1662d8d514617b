/** The edge of a shallow clone: commits whose parents were left out, in `<common dir>/shallow`. */
import { isObjectId, type ObjectId } from "../core/ids.ts";
import type { FileSystem } from "../system/file_system.ts";

/** Empty for a repository with its whole history. */
export function shallowCommits(fs: FileSystem, commonDir: string): ReadonlySet<ObjectId> {
  const path = `${commonDir}/shallow`;
  if (fs.lstatIfAny(path) === null) return new Set();
  return new Set(new TextDecoder().decode(fs.readFile(path)).split("\n").filter(isObjectId));
}
