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
 * O4. A copy made of hard links shares the owner's inode with its original, and so its flock:
 *     it gets an inode of its own before it is locked, when an operator adopts it.
 * O5. `position` says "released" only when no lock links to the owner file.
 */
import { LayerdError } from "../core/errors.ts";
import type { LogId, RepositoryId } from "../core/ids.ts";
import type { FileHandle, FileSystem } from "../system/file_system.ts";
import type { Random } from "../system/random.ts";
import { makeLayerdDirectories, type RepositoryLayout } from "./gate.ts";
import {
  detachLinkedCopy,
  type HeldOwner,
  holdExisting,
  linkedCopyOf,
  makeOwner,
  type OwnerIdentity,
  ownerPath,
  parseOwner,
  partsOf,
  removeLayerdDirectory,
  replaceOwner,
} from "./owner_file.ts";
import { removeLinksTo } from "./lock_links.ts";
import { type Position, readPosition, removePosition, writePosition } from "./position.ts";

const CLAIM_TRIES_MAX = 5;

/** The owner file as those who link to it need it. */
export interface OwnerFile {
  readonly path: string;
  readonly device: number;
  readonly inode: number;
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
  /** The repository that the log knows at this path, or null where any will do. */
  readonly expected: RepositoryId | null;
}

/** A repository that this process owns until release(), close() or forget(). */
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

  /** Stops owning it without giving it up: no other log may have it yet. */
  async close(): Promise<void> {
    await this.#writing;
    this.#handle.close();
  }

  /** Gives the repository up for good: removes our lock links, then `layerd/`. */
  async forget(): Promise<void> {
    await this.#writing;
    try {
      removeLinksTo(this.#fs, this.#layout, this);
      // A lock that a power loss brings back is known for ours by the owner file alone.
      await this.#fs.syncFileSystem(this.#layout.commonDir);
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

/** Takes ownership, or throws `repository_owned` with the reason and whose it is. */
export async function claimRepository(
  fs: FileSystem,
  layout: RepositoryLayout,
  request: ClaimRequest,
): Promise<OwnerClaim> {
  if (request.expected !== null) requireOwnerFile(fs, layout);
  makeLayerdDirectories(fs, layout);
  const { layerd, shared } = partsOf(layout);
  const original = linkedCopyOf(fs, layout);
  if (original !== null) {
    if (!request.adopt) throw copyOf(layout, original);
    await detachLinkedCopy(fs, layout);
  }
  let held = await holdOwner(fs, layout, request);
  try {
    requireExpected(layout, held, request);
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
    const unique = () => request.random.bytes(8).toHex();
    try {
      await writePosition(fs, layerd, position, shared, unique());
    } catch (error) {
      // The next try of this process must not take its own mark for another daemon's.
      if (before === null) removePosition(fs, layerd);
      else await writePosition(fs, layerd, before, shared, unique());
      throw error;
    }
    const recordedPath = before?.commonDir ?? null;
    return new OwnerClaim(fs, layout, request.random, held, position, recordedPath);
  } catch (error) {
    held.handle.close();
    throw error;
  }
}

/** What the log knows about a repository must not be applied to one that only stands in its place. */
function requireOwnerFile(fs: FileSystem, layout: RepositoryLayout): void {
  const path = ownerPath(layout);
  if (fs.lstatIfAny(path) !== null) return;
  throw new LayerdError(
    "repository_owned",
    `${path} is missing: if this is the repository that was registered, stop the daemon and run ` +
      `\`layerd doctor --fix\`; else remove the registration and add it again`,
    { reason: "owner_missing" },
  );
}

function requireExpected(
  layout: RepositoryLayout,
  { identity }: HeldOwner,
  { expected, logId }: ClaimRequest,
): void {
  if (expected === null || (identity.repositoryId === expected && identity.logId === logId)) return;
  const what = identity.logId === logId
    ? `Another repository stands at ${layout.commonDir} than the one that was registered: put ` +
      `that one back`
    : `${layout.commonDir} went over to the log ${identity.logId} since it was registered here: ` +
      `leave it to that daemon`;
  throw new LayerdError(
    "repository_owned",
    `${what}, or remove the registration and add it again`,
    { reason: identity.logId === logId ? "replaced" : "foreign_log" },
  );
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
    if (!adopt) throw copyOf(layout, original);
    return true;
  }
  // Each start raises the incarnation: one that a daemon had and never gave back is not ours.
  const past = (position?.released === false ? 1 : 0) + (position?.incarnation ?? 0);
  if (position !== null && (position.lsn > lastLsn || past > incarnation)) {
    refuse(
      "log_behind",
      `${layout.commonDir} was served by start ${past} of this log, up to LSN ${position.lsn}; ` +
        `this log is at start ${incarnation} and LSN ${lastLsn}: an old copy of the state ` +
        `directory was put back`,
    );
  }
  return false;
}

function copyOf({ commonDir }: RepositoryLayout, original: string): LayerdError {
  return new LayerdError(
    "repository_owned",
    `${commonDir} is a copy of ${original}; adopt it to give it an identity of its own`,
    { reason: "copy" },
  );
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
