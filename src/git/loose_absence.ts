/**
 * Proves that no loose file stands at a ref, by the directory that would hold it. Layers are
 * packed, so nearly every read asks for a file that is missing; the runtime makes an error of
 * that, which costs five times a stat of the directory.
 *
 * A1. A listing counts while the directory's inode and modification time are what they were,
 *     and only if that time lay in an earlier second than the listing. A later change then has
 *     another time, also where a file system keeps whole seconds (as with `packed-refs`).
 * A2. A directory that is missing is proved missing by the one above it.
 * A3. Nothing is proved where that would need more than a look: the caller reads the file.
 */
import type { Clock } from "../system/clock.ts";
import { type FileInfo, type FileSystem, FileSystemError } from "../system/file_system.ts";
import type { LooseRefs } from "./loose_refs.ts";
import { LruMap } from "./lru_map.ts";

// The kernel stamps files with the time of its last tick, up to 10 ms ago.
const TICK_MS = 20;
/** A directory that cannot be listed to any use is not looked at again before this time. */
const PAUSE_MS = 1_000;
/** Names in the listings that are kept. */
const NAMES_MAX = 65_536;
/** A directory with more entries is not listed. */
const DIRECTORY_BYTES_MAX = 1024 * 1024;
/** Above are `refs` and the common directory, where no ref stands. */
const PARTS_MIN = 2;

type Listing =
  | { readonly kind: "names"; readonly names: ReadonlySet<string>; readonly info: FileInfo }
  | { readonly kind: "missing" }
  /** It changes, or is no directory: each file is looked at by itself until then. */
  | { readonly kind: "unknown"; readonly untilMs: number };

export class LooseAbsence {
  readonly #fileSystem: Pick<FileSystem, "lstatIfAny">;
  readonly #clock: Clock;
  readonly #loose: LooseRefs;
  readonly #listings = new LruMap<string, Listing>(
    NAMES_MAX,
    (listing) => listing.kind === "names" ? listing.names.size + 1 : 1,
  );

  constructor(fileSystem: Pick<FileSystem, "lstatIfAny">, clock: Clock, loose: LooseRefs) {
    this.#fileSystem = fileSystem;
    this.#clock = clock;
    this.#loose = loose;
  }

  /** True where certainly nothing stands at the name at this moment. */
  proves(name: string): boolean {
    const slash = name.lastIndexOf("/");
    const directory = name.slice(0, slash);
    if (directory.split("/").length < PARTS_MIN) return false;
    const known = this.#listings.get(directory);
    if (known?.kind === "missing" && this.proves(directory)) return true;
    if (known?.kind === "unknown" && this.#clock.monotonic() < known.untilMs) return false;
    const before = this.#clock.now() - TICK_MS;
    const info = this.#fileSystem.lstatIfAny(this.#loose.pathOf(directory));
    const listing = known?.kind === "names" && info !== null && isSame(known.info, info)
      ? known
      : this.#list(directory, info, before);
    if (listing.kind === "missing") return true;
    return listing.kind === "names" && !listing.names.has(name.slice(slash + 1));
  }

  #list(directory: string, info: FileInfo | null, beforeMs: number): Listing {
    const listing = this.#look(directory, info, beforeMs);
    this.#listings.set(directory, listing);
    return listing;
  }

  #look(directory: string, info: FileInfo | null, beforeMs: number): Listing {
    if (info === null) return { kind: "missing" };
    const settled = Math.floor(info.modifiedMs / 1_000) < Math.floor(beforeMs / 1_000);
    const unknown = { kind: "unknown", untilMs: this.#clock.monotonic() + PAUSE_MS } as const;
    if (info.kind !== "directory" || !settled || info.size > DIRECTORY_BYTES_MAX) return unknown;
    try {
      return { kind: "names", names: this.#loose.namesIn(directory), info };
    } catch (error) {
      // A directory that may be entered and not listed: its files can be read all the same.
      if (error instanceof FileSystemError) return unknown;
      throw error;
    }
  }
}

function isSame(one: FileInfo, other: FileInfo): boolean {
  return one.inode === other.inode && one.modifiedMs === other.modifiedMs &&
    one.device === other.device && one.kind === other.kind;
}
