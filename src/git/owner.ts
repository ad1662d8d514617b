/**
 * Ownership of a repository: `<common dir>/layerd/owner`, held under an exclusive flock(2)
 * for the daemon's life. Every lock file that we take in the repository is a hard link to it.
 *
 *   layerd owner 1
 *   log <ULID of the write-ahead log>
 *   repository <random ULID of the repository>
 *
 * O1. The content never changes after the file got its name. Another log, or a copy that was
 *     adopted, gets a new file (a new inode) in its place.
 * O2. Whoever makes or replaces the file holds the lock on it before it gets its name; whoever
 *     locks an existing one looks afterwards whether the name still means that inode.
 * O3. A file is replaced only when no lock links to it: with its flock free those links are
 *     dead, and they are removed first.
 * O4. `position` says "released" only when no lock links to the owner file.
 */
import { getLogger } from "@logtape/logtape";
import { LayerdError } from "../core/errors.ts";
import { type LogId, parseLogId, parseRepositoryId, type RepositoryId } from "../core/ids.ts";
import { errorCode, type FileHandle, type FileSystem } from "../system/file_system.ts";
import type { Random } from "../system/random.ts";
import { makeLayerdDirectories, type RepositoryLayout } from "./gate.ts";
import { type Position, readPosition, writePosition } from "./position.ts";
import { shareWithGroup } from "./shared_permissions.ts";

const logger = getLogger(["layerd", "git"]);

/** First line of an owner file, and so of every lock file of ours. */
export const OWNER_MAGIC = "layerd owner 1";
const CLAIM_TRIES_MAX = 5;

/** The owner file as those who link to it need it. */
export interface OwnerFile {
  readonly path: string;
  readonly device: number;
  readonly inode: number;
}

export interface OwnerIdentity {
  readonly logId: LogId;
  readonly repositoryId: RepositoryId;
}

export interface ClaimRequest {
  readonly random: Random;
  /** Wall clock, for the ids that are made. */
  readonly nowMs: number;
  readonly logId: LogId;
  readonly stateDirectory: string;
  readonly pid: number;
  readonly incarnation: number;
  /** Last LSN of our log. */
  readonly lastLsn: number;
  /** An operator decided that this daemon takes the repository over. */
  readonly adopt: boolean;
}

/** A repository that this process owns until release(). */
export class OwnerClaim implements OwnerFile {
  readonly #fs: FileSystem;
  readonly #layout: RepositoryLayout;
  readonly #random: Random;
  readonly #handle: FileHandle;
  #position: Position;
  #writing: Promise<void> = Promise.resolve();
  readonly path: string;
  readonly device: number;
  readonly inode: number;
  readonly repositoryId: RepositoryId;
  /** Where the repository stood when it was last served, or null where that is not known. */
  readonly recordedPath: string | null;

  constructor(
    fs: FileSystem,
    layout: RepositoryLayout,
    random: Random,
    held: HeldOwner,
    position: Position,
    recordedPath: string | null,
  ) {
    this.#fs = fs;
    this.#layout = layout;
    this.#random = random;
    this.#handle = held.handle;
    this.#position = position;
    const info = held.handle.info();
    this.path = ownerPath(layout);
    this.device = info.device;
    this.inode = info.inode;
    this.repositoryId = held.identity.repositoryId;
    this.recordedPath = recordedPath;
  }

  /** Records that the log reached `lsn`; a lower one than recorded changes nothing. */
  recordPosition(lsn: number): Promise<void> {
    return this.#write((position) => ({ ...position, lsn: Math.max(position.lsn, lsn) }));
  }

  /** Gives the repository up. Lock links that stand (promises) keep it with this log. */
  async release(): Promise<void> {
    const released = this.#handle.info().links === 1;
    try {
      await this.#write((position) => ({ ...position, released }));
    } finally {
      this.#handle.close();
    }
  }

  /** Gives the repository up for good: removes our lock links, then `layerd/`. */
  async forget(): Promise<void> {
    await this.#writing;
    try {
      removeLinksTo(this.#fs, this.#layout, this);
      removeLayerdDirectory(this.#fs, this.#layout);
      await this.#fs.syncDirectory(this.#layout.commonDir);
    } finally {
      this.#handle.close();
    }
  }

  #write(change: (position: Position) => Position): Promise<void> {
    const next = this.#writing.then(() => {
      this.#position = change(this.#position);
      const unique = this.#random.bytes(8).toHex();
      const { layerd, shared } = partsOf(this.#layout);
      return writePosition(this.#fs, layerd, this.#position, shared, unique);
    });
    // The caller gets the failure; the next write must not inherit it.
    this.#writing = next.catch(() => undefined);
    return next;
  }
}

function partsOf(layout: RepositoryLayout) {
  return { layerd: `${layout.commonDir}/layerd`, shared: layout.shared };
}

function ownerPath(layout: RepositoryLayout): string {
  return `${layout.commonDir}/layerd/owner`;
}

interface HeldOwner {
  readonly handle: FileHandle;
  readonly identity: OwnerIdentity;
}

/** Takes ownership, or throws `repository_owned` with the reason and whose it is. */
export async function claimRepository(
  fs: FileSystem,
  layout: RepositoryLayout,
  request: ClaimRequest,
): Promise<OwnerClaim> {
  makeLayerdDirectories(fs, layout);
  const { layerd, shared } = partsOf(layout);
  let held = await holdOwner(fs, layout, request);
  try {
    const before = readPosition(fs, layerd);
    if (mustBeRemade(fs, layout, held, before, request)) {
      held = await replaceOwner(fs, layout, held, request);
    }
    const position: Position = {
      commonDir: layout.commonDir,
      stateDirectory: request.stateDirectory,
      pid: request.pid,
      released: false,
      incarnation: request.incarnation,
      lsn: request.lastLsn,
    };
    await writePosition(fs, layerd, position, shared, request.random.bytes(8).toHex());
    const recordedPath = before?.commonDir ?? null;
    return new OwnerClaim(fs, layout, request.random, held, position, recordedPath);
  } catch (error) {
    held.handle.close();
    throw error;
  }
}

/** Locks the owner file, making it where there is none. */
async function holdOwner(
  fs: FileSystem,
  layout: RepositoryLayout,
  request: ClaimRequest,
): Promise<HeldOwner> {
  for (let tries = 0; tries < CLAIM_TRIES_MAX; tries += 1) {
    const held = holdExisting(fs, layout) ?? await makeOwner(fs, layout, request);
    if (held !== null) return held;
  }
  throw new LayerdError(
    "repository_owned",
    `Another daemon is taking ${layout.commonDir} at this moment`,
    { reason: "served" },
  );
}

/** null: there is none, or it was replaced while we took it. Throws when it is held. */
function holdExisting(fs: FileSystem, layout: RepositoryLayout): HeldOwner | null {
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
    if (named !== null && named.inode === info.inode && named.device === info.device) {
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
  { logId, random, nowMs }: ClaimRequest,
): Promise<HeldOwner & { readonly temporary: string }> {
  const identity = { logId, repositoryId: parseRepositoryId(random.ulid(nowMs)) };
  const temporary = `${partsOf(layout).layerd}/tmp/owner-${random.bytes(8).toHex()}`;
  const handle = fs.open(temporary, { read: true, write: true, createNew: true });
  try {
    const text = `${OWNER_MAGIC}\nlog ${logId}\nrepository ${identity.repositoryId}\n`;
    handle.writeAt(new TextEncoder().encode(text), 0);
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
async function makeOwner(
  fs: FileSystem,
  layout: RepositoryLayout,
  request: ClaimRequest,
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
  await fs.syncDirectory(layerd);
  await fs.syncDirectory(layout.commonDir);
  return { handle, identity };
}

/** Whether the owner file must be made anew for our log; throws where we may not have it. */
function mustBeRemade(
  fs: FileSystem,
  layout: RepositoryLayout,
  { identity }: HeldOwner,
  position: Position | null,
  { logId, lastLsn, incarnation, adopt }: ClaimRequest,
): boolean {
  const refuse = (reason: string, text: string) => {
    if (!adopt) throw new LayerdError("repository_owned", text, { reason });
  };
  if (identity.logId !== logId) {
    if (position?.released !== true) {
      const where = position === null ? "" : `, last used by ${position.stateDirectory}`;
      refuse(
        "foreign_log",
        `${layout.commonDir} belongs to the log ${identity.logId}${where}, which did not ` +
          `release it; adopt it only when that daemon never comes back`,
      );
    }
    return true;
  }
  const original = position === null ? null : copiedFrom(fs, layout, identity, position);
  if (original !== null) {
    refuse("copy", `${layout.commonDir} is a copy of ${original}, which this log owns`);
    return true;
  }
  if (position !== null && (position.lsn > lastLsn || position.incarnation > incarnation)) {
    refuse(
      "log_behind",
      `${layout.commonDir} has seen LSN ${position.lsn} of this log, which ends at ${lastLsn}: ` +
        `the state directory was restored`,
    );
  }
  return false;
}

/** The other existing place with this repository id, or null. A moved repository has none. */
function copiedFrom(
  fs: FileSystem,
  layout: RepositoryLayout,
  identity: OwnerIdentity,
  { commonDir }: Position,
): string | null {
  const path = `${commonDir}/layerd/owner`;
  const there = commonDir === layout.commonDir ? null : fs.lstatIfAny(path);
  if (there === null || there.kind !== "file") return null;
  const here = fs.lstat(ownerPath(layout));
  if (here.inode === there.inode && here.device === there.device) return null;
  return parseOwner(fs.readFile(path), path).repositoryId === identity.repositoryId
    ? commonDir
    : null;
}

async function replaceOwner(
  fs: FileSystem,
  layout: RepositoryLayout,
  old: HeldOwner,
  request: ClaimRequest,
): Promise<HeldOwner> {
  const info = old.handle.info();
  const removed = removeLinksTo(fs, layout, info);
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

/** Removes every lock file that is a hard link to the owner file; answers their paths. */
function removeLinksTo(
  fs: FileSystem,
  layout: RepositoryLayout,
  owner: { readonly device: number; readonly inode: number },
): string[] {
  const removed: string[] = [];
  const removeIfOurs = (path: string) => {
    const info = fs.lstatIfAny(path);
    if (info === null || info.inode !== owner.inode || info.device !== owner.device) return;
    fs.unlink(path);
    removed.push(path);
  };
  const visit = (directory: string) => {
    for (const { name, kind } of fs.readDirectory(directory)) {
      const path = `${directory}/${name}`;
      if (kind === "directory") visit(path);
      else if (name.endsWith(".lock")) removeIfOurs(path);
    }
  };
  removeIfOurs(`${layout.commonDir}/packed-refs.lock`);
  visit(`${layout.commonDir}/refs`);
  return removed;
}

/** The owner file goes last: until then nobody else can take the repository. */
function removeLayerdDirectory(fs: FileSystem, layout: RepositoryLayout): void {
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
