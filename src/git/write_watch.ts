/**
 * Whether the repository can be written: what the last try to write objects or refs came to.
 * Commits meet a full disk one by one and are refused one by one; health has to know of it
 * although nothing is damaged.
 *
 * W1. A failure of the machine (no space, quota, read-only, EIO) stands until something was
 *     written after it: by a commit, or by a look of ours, which writes a little and removes it.
 */
import { messageOf } from "../core/errors.ts";
import { errorCode, type FileSystem } from "../system/file_system.ts";
import type { Random } from "../system/random.ts";
import { unlinkIfAny } from "./pack_directory.ts";
import type { RepositoryFinding } from "./repository.ts";

/** Of what a look writes: a disk with less room has none for a commit. */
const PROBE_BYTES = 64 * 1024;
const FULL = new Set(["ENOSPC", "EDQUOT"]);
const UNWRITABLE = new Set([...FULL, "EROFS", "EIO", "EACCES", "EPERM"]);

export class WriteWatch {
  readonly #fs: FileSystem;
  readonly #random: Random;
  readonly #directory: string;
  #failure: unknown = null;

  constructor(fs: FileSystem, random: Random, { commonDir }: { readonly commonDir: string }) {
    this.#fs = fs;
    this.#random = random;
    this.#directory = `${commonDir}/layerd/tmp`;
  }

  /** Writes something, and remembers whether that could be done. */
  during<T>(write: () => T): T {
    try {
      const result = write();
      this.#failure = null;
      return result;
    } catch (error) {
      this.#note(error);
      throw error;
    }
  }

  /** The same for what takes time. */
  async duringLong<T>(write: () => Promise<T>): Promise<T> {
    try {
      const result = await write();
      this.#failure = null;
      return result;
    } catch (error) {
      this.#note(error);
      throw error;
    }
  }

  /** What is wrong now; looks again where something was. */
  finding(): RepositoryFinding | null {
    if (this.#failure === null) return null;
    try {
      this.#probe();
    } catch (error) {
      this.#note(error);
    }
    if (this.#failure === null) return null;
    const isFull = FULL.has(errorCode(this.#failure) ?? "");
    return {
      code: isFull ? "no_space" : "not_writable",
      detail: `Commits are refused, the repository cannot be written: ${messageOf(this.#failure)}`,
      severity: "suspicious",
      ref: null,
    };
  }

  #note(error: unknown): void {
    if (UNWRITABLE.has(errorCode(error) ?? "")) this.#failure = error;
  }

  /** What each commit does: a file of some size, and a rename. */
  #probe(): void {
    const path = `${this.#directory}/probe.${this.#random.bytes(8).toHex()}`;
    try {
      this.#fs.writeNewFile(path, new Uint8Array(PROBE_BYTES));
      this.#fs.rename(path, `${path}.renamed`);
      this.#failure = null;
    } finally {
      for (const name of [path, `${path}.renamed`]) unlinkIfAny(this.#fs, name);
    }
  }
}
