/**
 * The repository's `packed-refs` as this process last saw it.
 *
 * C1. current() believes its copy while inode, size and mtime are what they were, as git
 *     does, and reads again where that proves nothing: a file whose mtime lies in the second
 *     in which it was read may have had a successor with the same stat data. A file of our
 *     own publication is believed at once, since its size was chosen to be unlike those
 *     before it.
 * C2. reread() reads the bytes whatever the stat says. Values under locks come from it: a
 *     stale copy would be written back over other people's refs.
 * C3. The parsed object stays the same as long as the bytes do, so that its identity tells
 *     whether anything changed (ref_watch.ts relies on it).
 */
import type { Clock } from "../system/clock.ts";
import { errorCode, type FileInfo, type FileSystem } from "../system/file_system.ts";
import { PackedRefs } from "./packed_refs.ts";
import type { SizePad } from "./size_pad.ts";

// The kernel stamps files with the time of its last tick, up to 10 ms ago.
const TICK_MS = 20;

/** The file's parsed bytes and whose they were; `info` is null where there is no file. */
export interface PackedState {
  readonly packed: PackedRefs;
  readonly info: FileInfo | null;
}

interface Known extends PackedState {
  /** Whether equal stat data prove that it is still the same file. */
  readonly settled: boolean;
}

export class PackedRefsFile {
  readonly path: string;
  readonly #fileSystem: FileSystem;
  readonly #clock: Clock;
  readonly #pad: SizePad;
  #known: Known | null = null;

  constructor(fileSystem: FileSystem, clock: Clock, commonDir: string, pad: SizePad) {
    this.path = `${commonDir}/packed-refs`;
    this.#fileSystem = fileSystem;
    this.#clock = clock;
    this.#pad = pad;
  }

  /** What git would see now. Throws `git_error` on a damaged file. */
  current(): PackedState {
    const known = this.#known;
    if (known?.settled && this.isInPlace(known)) return known;
    return this.reread();
  }

  /** Reads the file; what the copy said does not count. */
  reread(): PackedState {
    const readAt = this.#clock.now() - TICK_MS;
    const file = this.#read();
    if (file === null) {
      this.#known = { packed: PackedRefs.EMPTY, info: null, settled: true };
      return this.#known;
    }
    const { bytes, info } = file;
    this.#pad.note(info.size);
    const before = this.#known?.packed;
    const packed = before !== undefined && sameBytes(before.bytes, bytes)
      ? before
      : PackedRefs.parse(bytes, this.path);
    const settled = Math.floor(info.modifiedMs / 1000) < Math.floor(readAt / 1000) ||
      this.#isSettled(packed, info);
    this.#known = { packed, info, settled };
    return this.#known;
  }

  /** A copy that could be believed by its stat data, and was read again as it is. */
  #isSettled(packed: PackedRefs, info: FileInfo): boolean {
    const known = this.#known;
    return known !== null && known.settled && known.packed === packed && known.info !== null &&
      isSameFile(known.info, info);
  }

  /** The file that we have just renamed into place. */
  published(state: PackedState): void {
    this.#known = { ...state, settled: true };
  }

  /** Whether the file's stat data are still those of the state. */
  isInPlace({ info }: PackedState): boolean {
    const now = this.#fileSystem.lstatIfAny(this.path);
    if (now === null || info === null) return now === info;
    return isSameFile(now, info);
  }

  // One open file, so that bytes and stat data belong together whatever is renamed meanwhile.
  #read(): { readonly bytes: Uint8Array; readonly info: FileInfo } | null {
    let handle;
    try {
      handle = this.#fileSystem.open(this.path, { read: true });
    } catch (error) {
      if (errorCode(error) === "ENOENT") return null;
      throw error;
    }
    try {
      const info = handle.info();
      const bytes = new Uint8Array(info.size);
      let length = 0;
      while (length < bytes.length) {
        const count = handle.readAt(bytes.subarray(length), length);
        if (count === 0) break;
        length += count;
      }
      return { bytes: bytes.subarray(0, length), info };
    } finally {
      handle.close();
    }
  }
}

function isSameFile(a: FileInfo, b: FileInfo): boolean {
  return a.inode === b.inode && a.size === b.size && a.modifiedMs === b.modifiedMs &&
    a.device === b.device;
}

// By words: 7 MB (100,000 refs) take about 2 ms this way.
function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  const aligned = a.byteOffset % 4 === 0 && b.byteOffset % 4 === 0;
  const words = aligned ? a.length >> 2 : 0;
  const left = new Uint32Array(a.buffer, aligned ? a.byteOffset : 0, words);
  const right = new Uint32Array(b.buffer, aligned ? b.byteOffset : 0, words);
  for (let i = 0; i < words; i++) if (left[i] !== right[i]) return false;
  for (let i = words * 4; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
