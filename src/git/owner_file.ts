/**
 * The owner file of a repository, as a file: made, locked, read, replaced, and what links to
 * it. Who may have a repository is owner.ts's business; the rules O1 to O3 stand there.
 */
import { getLogger } from "@logtape/logtape";
import { LayerdError } from "../core/errors.ts";
import { type LogId, parseLogId, parseRepositoryId, type RepositoryId } from "../core/ids.ts";
import { errorCode, type FileHandle, type FileSystem } from "../system/file_system.ts";
import type { Random } from "../system/random.ts";
import { makeLayerdDirectories, type RepositoryLayout } from "./gate.ts";
import { isSame, removeDeadCopies, removeLinksTo } from "./lock_links.ts";
import { type Position, readPosition } from "./position.ts";
import { shareWithGroup } from "./shared_permissions.ts";

const logger = getLogger(["layerd", "git"]);

/** First line of an owner file, and so of every lock file of ours. */
export const OWNER_MAGIC = "layerd owner 1";
export interface OwnerIdentity {
  readonly logId: LogId;
  readonly repositoryId: RepositoryId;
}

/** What a new owner file is made of. */
export interface OwnerRequest {
  readonly random: Random;
  /** Wall clock, for the id that is made. */
  readonly nowMs: number;
  readonly logId: LogId;
}

/** Where our files are, and how they are shared. */
export function partsOf(layout: RepositoryLayout) {
  return { layerd: `${layout.commonDir}/layerd`, shared: layout.shared };
}

/** Path of the owner file. */
export function ownerPath(layout: RepositoryLayout): string {
  return `${layout.commonDir}/layerd/owner`;
}

/** An owner file under this process's lock. */
export interface HeldOwner {
  readonly handle: FileHandle;
  readonly identity: OwnerIdentity;
}

/** null: there is none, or it was replaced while we took it. Throws when it is held. */
export function holdExisting(fs: FileSystem, layout: RepositoryLayout): HeldOwner | null {
  const path = ownerPath(layout);
  if (fs.lstatIfAny(path) === null) return null;
  let handle: FileHandle;
  try {
    handle = fs.open(path, { read: true });
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw error;
  }
  try {
    if (!handle.tryLock()) throw servedBy(readPosition(fs, partsOf(layout).layerd), layout);
    const info = handle.info();
    const named = fs.lstatIfAny(path);
    if (named !== null && isSame(named, info)) {
      const bytes = new Uint8Array(Math.min(info.size, 1_024));
      const count = handle.readAt(bytes, 0);
      return { handle, identity: parseOwner(bytes.subarray(0, count), path) };
    }
  } catch (error) {
    handle.close();
    throw error;
  }
  handle.close();
  return null;
}

/**
 * The repository that this one was copied from by hard links, or null. The owner file is then
 * one file under two names, while the directories are two (under a bind mount they are one).
 */
export function linkedCopyOf(fs: FileSystem, layout: RepositoryLayout): string | null {
  const original = readPosition(fs, partsOf(layout).layerd)?.commonDir ?? null;
  if (original === null || original === layout.commonDir) return null;
  const [here, there] = [ownerPath(layout), `${original}/layerd/owner`].map((path) =>
    fs.lstatIfAny(path)
  );
  if (!here || !there || !isSame(here, there)) return null;
  return isSame(fs.lstat(layout.commonDir), fs.lstat(original)) ? null : original;
}

/** Takes the shared owner file, and the locks that link to it, out of the copy. */
export async function detachLinkedCopy(fs: FileSystem, layout: RepositoryLayout): Promise<void> {
  const path = ownerPath(layout);
  removeLinksTo(fs, layout, fs.lstat(path));
  fs.unlink(path);
  await fs.syncDirectory(partsOf(layout).layerd);
}

function servedBy(position: Position | null, layout: RepositoryLayout): LayerdError {
  const who = position === null
    ? "another daemon"
    : `the daemon with pid ${position.pid} and state directory ${position.stateDirectory}`;
  return new LayerdError("repository_owned", `${layout.commonDir} is served by ${who}`, {
    reason: "served",
  });
}

/** Reads what an owner file says. */
export function parseOwner(bytes: Uint8Array, path: string): OwnerIdentity {
  const text = new TextDecoder().decode(bytes);
  const match = text.match(/^(.*)\nlog ([0-9A-Z]{26})\nrepository ([0-9A-Z]{26})\n$/);
  if (match === null || match[1] !== OWNER_MAGIC) {
    throw new LayerdError(
      "repository_owned",
      `${path} is not an owner file that this version knows; remove it only when no daemon ` +
        `serves the repository`,
      { reason: "foreign_log" },
    );
  }
  return { logId: parseLogId(match[2] ?? ""), repositoryId: parseRepositoryId(match[3] ?? "") };
}

/** Writes a new owner file aside, locked and durable, not yet under its name. */
async function prepareOwner(
  fs: FileSystem,
  layout: RepositoryLayout,
  { logId, random, nowMs }: OwnerRequest,
): Promise<HeldOwner & { readonly temporary: string }> {
  const identity = { logId, repositoryId: parseRepositoryId(random.ulid(nowMs)) };
  const temporary = `${partsOf(layout).layerd}/tmp/owner-${random.bytes(8).toHex()}`;
  const handle = fs.open(temporary, { read: true, write: true, createNew: true });
  try {
    handle.writeAt(new TextEncoder().encode(textOf(identity)), 0);
    shareWithGroup(fs, temporary, layout.shared);
    await handle.sync();
    if (!handle.tryLock()) throw servedBy(null, layout);
    return { handle, identity, temporary };
  } catch (error) {
    handle.close();
    fs.unlink(temporary);
    throw error;
  }
}

/** null: somebody else made one first. */
export async function makeOwner(
  fs: FileSystem,
  layout: RepositoryLayout,
  request: OwnerRequest,
): Promise<HeldOwner | null> {
  const { layerd } = partsOf(layout);
  const { handle, identity, temporary } = await prepareOwner(fs, layout, request);
  try {
    fs.link(temporary, ownerPath(layout));
  } catch (error) {
    handle.close();
    if (errorCode(error) === "EEXIST") return null;
    throw error;
  } finally {
    fs.unlink(temporary);
  }
  try {
    await fs.syncDirectory(layerd);
    await fs.syncDirectory(layout.commonDir);
  } catch (error) {
    // So that the next try makes and syncs it anew, and does not meet our own lock.
    try {
      fs.unlink(ownerPath(layout));
    } finally {
      handle.close();
    }
    throw error;
  }
  return { handle, identity };
}

/** Puts a new owner file in the place of one whose log is gone. */
export async function replaceOwner(
  fs: FileSystem,
  layout: RepositoryLayout,
  old: HeldOwner,
  request: OwnerRequest,
): Promise<HeldOwner> {
  const removed = [
    ...removeLinksTo(fs, layout, old.handle.info()),
    ...removeDeadCopies(fs, layout, textOf(old.identity)),
  ];
  if (removed.length > 0) {
    logger.warn("Removed lock files of log {log}, whose daemon is gone: {paths}", {
      log: old.identity.logId,
      paths: removed,
    });
  }
  const next = await prepareOwner(fs, layout, request);
  try {
    fs.rename(next.temporary, ownerPath(layout));
    await fs.syncDirectory(partsOf(layout).layerd);
  } catch (error) {
    next.handle.close();
    if (fs.lstatIfAny(next.temporary) !== null) fs.unlink(next.temporary);
    throw error;
  }
  old.handle.close();
  return { handle: next.handle, identity: next.identity };
}

/** Writes an owner file anew, over a damaged one too: for doctor, which knows what stood in it. */
export async function rewriteOwner(
  fs: FileSystem,
  layout: RepositoryLayout,
  identity: OwnerIdentity,
  unique: string,
): Promise<void> {
  makeLayerdDirectories(fs, layout);
  const { layerd, shared } = partsOf(layout);
  const temporary = `${layerd}/tmp/owner-${unique}`;
  fs.writeNewFile(temporary, new TextEncoder().encode(textOf(identity)));
  try {
    shareWithGroup(fs, temporary, shared);
    await fs.syncFile(temporary);
    fs.rename(temporary, ownerPath(layout));
  } catch (error) {
    fs.unlink(temporary);
    throw error;
  }
  await fs.syncDirectory(layerd);
}

function textOf({ logId, repositoryId }: OwnerIdentity): string {
  return `${OWNER_MAGIC}\nlog ${logId}\nrepository ${repositoryId}\n`;
}

/** The owner file goes last: until then nobody else can take the repository. */
export function removeLayerdDirectory(fs: FileSystem, layout: RepositoryLayout): void {
  const { layerd } = partsOf(layout);
  const removeBelow = (directory: string) => {
    for (const { name, kind } of fs.readDirectory(directory)) {
      const path = `${directory}/${name}`;
      if (path === ownerPath(layout)) continue;
      if (kind === "directory") {
        removeBelow(path);
        fs.removeDirectory(path);
      } else fs.unlink(path);
    }
  };
  removeBelow(layerd);
  fs.unlink(ownerPath(layout));
  try {
    fs.removeDirectory(layerd);
  } catch (error) {
    // Another daemon has begun to take the repository in this moment; the directory is its.
    if (errorCode(error) !== "ENOTEMPTY") throw error;
  }
}
