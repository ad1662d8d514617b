/**
 * Git's lock files, taken as hard links to the repository's owner file.
 *
 * K1. link(2) is exclusive, like git's own O_EXCL. A lock with the owner's inode is ours,
 *     any other somebody else's; somebody else's is reported and never removed.
 * K2. lockRefs() takes all or nothing, in the byte order of the names: opposite orders of
 *     two writers defeat each other.
 * K3. In a live daemon the registry says which transaction holds a lock. A lock whose
 *     holder is null is ours and nobody's: recovery adopted it, or it could not be removed. Who
 *     wants it next takes it over, and unlockStuck() tries again.
 * K4. Every unlink looks at the inode first: people and tools remove lock files by hand,
 *     and then the name may be another program's.
 * K5. Only directories below `refs/` are made, and only empty ones removed (loose_refs.ts).
 * K6. Many locks are checked by the owner file's link count. Somebody who removes one and has
 *     hard-linked another (a backup) deceives it: then the comparison of values decides.
 */
import { getLogger } from "@logtape/logtape";
import { invariant, LayerdError } from "../core/errors.ts";
import type { RefName } from "../core/ids.ts";
import { REFS_PER_TRANSACTION_MAX } from "../core/limits.ts";
import type { Clock } from "../system/clock.ts";
import { errorCode, type FileSystem, FileSystemError } from "../system/file_system.ts";
import type { LooseRefs } from "./loose_refs.ts";
import type { OwnerFile } from "./owner.ts";
import { compareRefNames, validRefName } from "./ref_names.ts";
import type { RefFiles } from "./ref_files.ts";
import type { LockOutcome } from "./repository.ts";

const LOCK_TRIES = 3;
const COUNTED_MIN = 16; // From so many refs on their locks are counted instead of looked at.
const logger = getLogger(["layerd", "git"]);

type Refusal = Exclude<LockOutcome, { kind: "locked" }>;

interface HeldLock {
  readonly holder: string | null;
  /** Monotonic milliseconds. */
  readonly sinceMs: number;
}

/** What a call that may be taken back found at a ref. */
interface Before {
  readonly held: HeldLock | undefined;
  readonly stuck: boolean;
}

interface Parts {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly commonDir: string;
  readonly owner: OwnerFile;
  readonly loose: LooseRefs;
  readonly files: RefFiles;
}

export class RefLocks {
  readonly #parts: Parts;
  readonly #refs = new Map<RefName, HeldLock>();
  /** K3: locks that could not be removed when their transaction let go of them. */
  readonly #stuck = new Set<RefName>();
  readonly #packedPath: string;
  /** `adopted`: the link stands, and nobody holds it. */
  #packed: "free" | "adopted" | "held" = "free";

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#packedPath = `${parts.commonDir}/packed-refs.lock`;
  }

  lockRefs(refs: readonly RefName[], holder: string): LockOutcome {
    this.#requireOwner();
    const before = new Map<RefName, Before>();
    try {
      for (const ref of [...new Set(refs)].sort(compareRefNames)) {
        const was = { held: this.#refs.get(ref), stuck: this.#stuck.has(ref) };
        const refusal = this.#lockRef(ref, holder);
        if (refusal !== null) {
          this.#restore(before);
          return refusal;
        }
        before.set(ref, was);
      }
      return { kind: "locked" };
    } catch (error) {
      this.#restore(before);
      throw error;
    }
  }

  unlockRefs(refs: readonly RefName[]): void {
    // One ref a directory: each directory is tried once, when all its locks are gone.
    const emptied = new Map<string, RefName>();
    for (const ref of refs) {
      if (!this.#refs.has(ref)) continue;
      if (this.#remove(this.#lockPath(ref))) {
        this.#refs.delete(ref);
        this.#stuck.delete(ref);
      } else {
        this.#refs.set(ref, { holder: null, sinceMs: this.#parts.clock.monotonic() });
        this.#stuck.add(ref);
      }
      emptied.set(ref.slice(0, ref.lastIndexOf("/")), ref);
    }
    for (const ref of emptied.values()) this.#parts.loose.pruneParents(ref);
  }

  lockPackedRefs(): LockOutcome {
    invariant(this.#packed !== "held", "packed-refs.lock is taken twice");
    this.#requireOwner();
    if (this.#packed === "adopted" && this.isOurs(this.#packedPath)) {
      this.#packed = "held";
      return { kind: "locked" };
    }
    for (let attempt = 0; attempt < LOCK_TRIES; attempt++) {
      try {
        this.#parts.fileSystem.link(this.#parts.owner.path, this.#packedPath);
        this.#packed = "held";
        return { kind: "locked" };
      } catch (error) {
        if (errorCode(error) !== "EEXIST") throw this.#explain(error);
        const refusal = this.#blocked(this.#packedPath, null);
        if (refusal !== null) return refusal;
      }
    }
    return { kind: "blocked", path: this.#packedPath, ageMs: 0, ref: null, holder: null };
  }

  unlockPackedRefs(): void {
    if (this.#packed === "free") return;
    this.#packed = this.#remove(this.#packedPath) ? "free" : "adopted";
  }

  /** Lock files that stand although nobody holds them. */
  get stuck(): readonly string[] {
    const packed = this.#packed === "adopted" ? [this.#packedPath] : [];
    return [...packed, ...[...this.#stuck].map((ref) => this.#lockPath(ref))];
  }

  /** Tries again to remove what is stuck. */
  unlockStuck(): void {
    if (this.#packed === "adopted") this.unlockPackedRefs();
    this.unlockRefs([...this.#stuck]);
  }

  get holdsPackedRefs(): boolean {
    return this.#packed === "held";
  }

  /** Whether packed-refs.lock is held and still our link. */
  packedRefsStillHeld(): boolean {
    return this.#packed === "held" && this.isOurs(this.#packedPath);
  }

  refStillHeld(ref: RefName): boolean {
    return this.#refs.has(ref) && this.isOurs(this.#lockPath(ref));
  }

  stillHeld(refs: readonly RefName[]): boolean {
    if (this.#packed === "held" && !this.packedRefsStillHeld()) return false;
    if (refs.length >= COUNTED_MIN && refs.every((ref) => this.#refs.has(ref))) {
      if (this.#allStand()) return true;
    }
    return refs.every((ref) => this.refStillHeld(ref));
  }

  /** K6. As many links as locks: none was removed, and no path need be looked at. */
  #allStand(): boolean {
    const { fileSystem, owner } = this.#parts;
    const locks = this.#refs.size + (this.#packed === "free" ? 0 : 1);
    return this.isOurs(owner.path) && fileSystem.stat(owner.path).links === 1 + locks;
  }

  /** Whether the file at this path is a link to our owner file. */
  isOurs(path: string): boolean {
    const info = this.#parts.fileSystem.lstatIfAny(path);
    return info !== null && info.inode === this.#parts.owner.inode &&
      info.device === this.#parts.owner.device;
  }

  adoptLocks(): { readonly refs: readonly RefName[]; readonly packedRefs: boolean } {
    const { fileSystem, owner, loose, commonDir, clock } = this.#parts;
    // The owner file itself is one link; what is over stands somewhere as a lock.
    let left = fileSystem.stat(owner.path).links - 1;
    const refs: RefName[] = [];
    const packedRefs = left > 0 && this.isOurs(this.#packedPath);
    if (packedRefs) {
      left--;
      if (this.#packed === "free") this.#packed = "adopted";
    }
    if (left <= 0) return { refs, packedRefs };
    for (const name of loose.names("refs")) {
      if (!name.endsWith(".lock") || !this.isOurs(`${commonDir}/${name}`)) continue;
      const ref = validRefName(name.slice(0, -".lock".length));
      if (ref === null) continue;
      refs.push(ref);
      if (!this.#refs.has(ref)) this.#refs.set(ref, { holder: null, sinceMs: clock.monotonic() });
      if (--left === 0) break;
    }
    return { refs: refs.sort(compareRefNames), packedRefs };
  }

  /** Null when the lock is held by `holder` afterwards. */
  #lockRef(ref: RefName, holder: string): Refusal | null {
    const path = this.#lockPath(ref);
    const held = this.#refs.get(ref);
    if (held !== undefined && held.holder !== null && held.holder !== holder) {
      const ageMs = this.#parts.clock.monotonic() - held.sinceMs;
      return { kind: "blocked", path, ageMs, ref, holder: held.holder };
    }
    const mine: HeldLock = { holder, sinceMs: this.#parts.clock.monotonic() };
    if (held !== undefined && this.isOurs(path)) {
      this.#refs.set(ref, { ...mine, sinceMs: held.sinceMs });
      this.#stuck.delete(ref);
      return null;
    }
    const other = this.#parts.loose.linkAbove(ref);
    if (other !== null) return { kind: "name_conflict", ref, other };
    const refusal = this.#linkRef(ref, path);
    if (refusal !== null) return refusal;
    this.#refs.set(ref, mine);
    this.#stuck.delete(ref);
    return null;
  }

  #linkRef(ref: RefName, path: string): Refusal | null {
    for (let attempt = 1;; attempt++) {
      try {
        this.#parts.fileSystem.link(this.#parts.owner.path, path);
        return null;
      } catch (error) {
        const code = errorCode(error);
        if (code === "EEXIST") {
          const refusal = this.#blocked(path, ref);
          if (refusal !== null) return refusal;
        } else if (code !== "ENOENT" && code !== "ENOTDIR") throw this.#explain(error);
        // Native git removes empty directories at any time, hence more than one try.
        if (attempt === LOCK_TRIES) throw this.#explain(error);
        const other = this.#makeParents(ref);
        if (other !== null) return { kind: "name_conflict", ref, other };
      }
    }
  }

  /** Makes the directories above the ref; the name of a file that is in the way, or null. */
  #makeParents(ref: RefName): string | null {
    const parts = ref.split("/");
    for (let count = 2; count < parts.length; count++) {
      const name = parts.slice(0, count).join("/");
      const path = this.#parts.loose.pathOf(name);
      try {
        if (this.#parts.files.makeDirectory(path)) continue;
        if (this.#parts.fileSystem.stat(path).kind !== "directory") return name;
      } catch (error) {
        // A directory above was removed meanwhile: the next try begins at the top again.
        if (errorCode(error) === "ENOENT") return null;
        throw error;
      }
    }
    return null;
  }

  /** Who is in the way; null when the lock has just vanished. */
  #blocked(path: string, ref: RefName | null): Refusal | null {
    const info = this.#parts.fileSystem.lstatIfAny(path);
    if (info === null) return null;
    const ageMs = Math.max(0, this.#parts.clock.now() - info.modifiedMs);
    return { kind: "blocked", path, ageMs, ref, holder: null };
  }

  /** Gives back what a failed call took; what it took over is nobody's again. */
  #restore(before: ReadonlyMap<RefName, Before>): void {
    this.unlockRefs([...before].filter(([, { held }]) => held === undefined).map(([ref]) => ref));
    for (const [ref, { held, stuck }] of before) {
      if (held === undefined) continue;
      this.#refs.set(ref, held);
      if (stuck) this.#stuck.add(ref);
    }
  }

  /** Removes a lock of ours; false where it had to stay, or the repository is away with it. */
  #remove(path: string): boolean {
    try {
      if (this.isOurs(path)) this.#parts.fileSystem.unlink(path);
      // Away with all that is in it, or back since the first look.
      else if (!this.isOurs(this.#parts.owner.path) || this.isOurs(path)) return false;
      else logger.warn("Lock {path} was removed or replaced by somebody else", { path });
      return true;
    } catch (error) {
      if (!(error instanceof FileSystemError)) throw error;
      // K3: it stays ours, and whoever locks next takes it over.
      logger.error("Lock {path} could not be removed: {error}", { path, error: error.message });
      return false;
    }
  }

  // Links to anything but the file that holds our flock would not be recognised as ours.
  #requireOwner(): void {
    if (this.isOurs(this.#parts.owner.path)) return;
    throw new LayerdError("io_error", `${this.#parts.owner.path} was removed or replaced`);
  }

  #explain(error: unknown): unknown {
    if (errorCode(error) !== "EMLINK") return error;
    return new LayerdError(
      "invalid_request",
      `The file system allows no more hard links, so no more refs can be locked at once`,
      { limit: REFS_PER_TRANSACTION_MAX },
      error,
    );
  }

  #lockPath(ref: RefName): string {
    return `${this.#parts.loose.pathOf(ref)}.lock`;
  }
}
