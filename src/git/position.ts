/**
 * `<common dir>/layerd/position`: what changes about who owns a repository. JSON, replaced
 * as a whole by temporary file, fsync, rename, fsync of the directory, so that it is always
 * an old or a new one. Beside it stands `owner`, which never changes (owner.ts).
 *
 * `lsn` never claims more than the log holds durably: it is written after the log's
 * checkpoint record was forced and before segments are deleted. A log that ends before it
 * has been restored from a backup.
 */
import { errorCode, type FileSystem } from "../system/file_system.ts";
import { type SharedRepository, shareWithGroup } from "./shared_permissions.ts";

export interface Position {
  /** Where the repository stood; a copy at another path says the old one. */
  readonly commonDir: string;
  readonly stateDirectory: string;
  readonly pid: number;
  /** The daemon gave the repository up and left no lock: another log may take it. */
  readonly released: boolean;
  /** Of the daemon's start; rises with every start over one log. */
  readonly incarnation: number;
  /** The log reached at least this LSN. */
  readonly lsn: number;
}

/** Reads the position; null where it is missing or unreadable, which proves nothing. */
export function readPosition(fs: FileSystem, layerdDir: string): Position | null {
  try {
    return parsePosition(new TextDecoder().decode(fs.readFile(`${layerdDir}/position`)));
  } catch (error) {
    if (errorCode(error) === "ENOENT" || error instanceof SyntaxError) return null;
    throw error;
  }
}

function parsePosition(text: string): Position | null {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null) return null;
  const { common_dir, state_directory, pid, released, incarnation, lsn } = value as Record<
    string,
    unknown
  >;
  if (
    typeof common_dir !== "string" || typeof state_directory !== "string" ||
    typeof pid !== "number" || typeof released !== "boolean" ||
    typeof incarnation !== "number" || typeof lsn !== "number"
  ) return null;
  const commonDir = common_dir;
  return { commonDir, stateDirectory: state_directory, pid, released, incarnation, lsn };
}

/** Replaces the position; durable when resolved. `unique` names the temporary file. */
export async function writePosition(
  fs: FileSystem,
  layerdDir: string,
  position: Position,
  shared: SharedRepository,
  unique: string,
): Promise<void> {
  const { commonDir, stateDirectory, pid, released, incarnation, lsn } = position;
  const text = JSON.stringify({
    common_dir: commonDir,
    state_directory: stateDirectory,
    pid,
    released,
    incarnation,
    lsn,
  });
  const temporary = `${layerdDir}/tmp/position-${unique}`;
  fs.writeNewFile(temporary, new TextEncoder().encode(text + "\n"));
  try {
    shareWithGroup(fs, temporary, shared);
    await fs.syncFile(temporary);
    fs.rename(temporary, `${layerdDir}/position`);
  } catch (error) {
    if (fs.lstatIfAny(temporary) !== null) fs.unlink(temporary);
    throw error;
  }
  await fs.syncDirectory(layerdDir);
}

/** Removes a position that was the first; not durable. */
export function removePosition(fs: FileSystem, layerdDir: string): void {
  const path = `${layerdDir}/position`;
  if (fs.lstatIfAny(path) !== null) fs.unlink(path);
}
