/**
 * Lock files in a repository, by whose they are.
 *
 *   K1 a link to the owner file           ours; the next start of its daemon deals with it
 *   K2 our content, another inode, free   a copy of one: dead, and removed by --fix
 *   K3 our content, flock taken           a daemon that lives has it
 *   K4 anything else                      native git's: reported, never removed
 */
import { type Diagnosis, found, mended } from "../core/diagnosis.ts";
import { STALE_FILE_MS } from "../core/limits.ts";
import type { RepositoryLayout } from "../git/gate.ts";
import { LooseRefs } from "../git/loose_refs.ts";
import { isSame } from "../git/lock_links.ts";
import { OWNER_MAGIC, ownerPath } from "../git/owner_file.ts";
import type { Clock } from "../system/clock.ts";
import type { FileHandle, FileInfo, FileSystem } from "../system/file_system.ts";

/** Locks of git beside those of refs. */
const OTHER_LOCKS = ["packed-refs.lock", "HEAD.lock", "config.lock", "index.lock", "shallow.lock"];

export interface LockLook {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly layout: RepositoryLayout;
  readonly mode: "look" | "fix";
}

export function lookAtLocks(look: LockLook): Diagnosis[] {
  const { fileSystem, layout } = look;
  const { commonDir } = layout;
  const owner = fileSystem.lstatIfAny(ownerPath(layout));
  const names = [...OTHER_LOCKS, ...new LooseRefs(fileSystem, commonDir).names("refs")];
  return names.filter((name) => name.endsWith(".lock")).flatMap((name) => {
    const path = `${commonDir}/${name}`;
    const info = fileSystem.lstatIfAny(path);
    return info === null ? [] : lookAtLock(look, path, info, owner);
  });
}

function lookAtLock(
  look: LockLook,
  path: string,
  info: FileInfo,
  owner: FileInfo | null,
): Diagnosis[] {
  if (owner !== null && isSame(info, owner)) {
    const text = `Lock ${path} is a link to layerd's owner file: the next start of the daemon ` +
      "that the repository belongs to finishes what it was for, or removes it";
    return [found("note", "own_lock", path, text)];
  }
  const copy = openCopy(look.fileSystem, path, info);
  if (copy !== null) {
    try {
      return [lookAtCopy(look, path, info, copy)];
    } finally {
      copy.close();
    }
  }
  const ageMs = look.clock.now() - info.modifiedMs;
  const severity = ageMs < STALE_FILE_MS ? "note" : "suspicious";
  const text = `Lock ${path} is not layerd's and is ${Math.round(ageMs / 1_000)} s old`;
  const remedy = `If no git process is running there: rm ${path}`;
  return [found(severity, "foreign_lock", path, text, remedy)];
}

function lookAtCopy(look: LockLook, path: string, info: FileInfo, copy: FileHandle): Diagnosis {
  // Held until the file is gone, so that no daemon can begin to live by it meanwhile.
  if (!copy.tryLock()) {
    const text = `Lock ${path} is held by a layerd that is running, not by the one of this copy`;
    return found("suspicious", "live_lock", path, text, "Stop that daemon, then look again");
  }
  const text = `Lock ${path} is the copy of a layerd lock, and nobody holds it: it is dead`;
  const finding = found("suspicious", "dead_lock", path, text, "layerd doctor --fix");
  if (look.mode === "look") return finding;
  const now = look.fileSystem.lstatIfAny(path);
  if (now === null || !isSame(now, info)) return finding;
  look.fileSystem.unlink(path);
  return mended(finding, `${text}; removed`);
}

/** The file, open, where it has our content. */
function openCopy(fileSystem: FileSystem, path: string, info: FileInfo): FileHandle | null {
  if (info.kind !== "file" || info.size > 1_024) return null;
  const handle = fileSystem.open(path, { read: true });
  const start = new Uint8Array(OWNER_MAGIC.length);
  const count = handle.readAt(start, 0);
  if (new TextDecoder().decode(start.subarray(0, count)) === OWNER_MAGIC) return handle;
  handle.close();
  return null;
}
