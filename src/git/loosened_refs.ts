/**
 * Refs that this process put into loose files. Each one makes every list of refs a file longer to
 * read, so their number is bounded: once it is reached, the next publication folds all of them.
 *
 * Native git may fold or write any of them meanwhile: what is in the set is a hint, and the file
 * itself is looked at under the ref's lock. What cannot be folded is forgotten, and stays loose
 * as native git's own do: it must not hold up the commits of others.
 */
import { LayerdError } from "../core/errors.ts";
import type { RefName } from "../core/ids.ts";
import { FileSystemError } from "../system/file_system.ts";
import type { LooseRefs } from "./loose_refs.ts";
import type { RefLocks } from "./ref_locks.ts";

/** Whose locks they are while they are folded. */
const HOLDER = "folding";

export class LoosenedRefs {
  readonly #loose: LooseRefs;
  readonly #locks: RefLocks;
  readonly #max: number;
  readonly #refs = new Set<RefName>();

  constructor(loose: LooseRefs, locks: RefLocks, max: number) {
    this.#loose = loose;
    this.#locks = locks;
    this.#max = max;
  }

  get isFull(): boolean {
    return this.#refs.size >= this.#max;
  }

  note(ref: RefName): void {
    this.#refs.add(ref);
  }

  forget(refs: Iterable<RefName>): void {
    for (const ref of refs) this.#refs.delete(ref);
  }

  /**
   * Locks those that nobody holds, and answers them; the caller folds and unlocks them. `but`:
   * what it holds already.
   */
  lockAll(but: readonly RefName[]): RefName[] {
    const held = new Set(but);
    return [...this.#refs].filter((ref) => !held.has(ref) && this.#lock(ref));
  }

  #lock(ref: RefName): boolean {
    // Locking takes an adopted lock over, which may be a promise's.
    if (this.#locks.has(ref)) return false;
    try {
      const { kind } = this.#loose.read(ref);
      if (kind === "value") return this.#locks.lockRefs([ref], HOLDER).kind === "locked";
    } catch (error) {
      if (!(error instanceof FileSystemError || error instanceof LayerdError)) throw error;
    }
    this.#refs.delete(ref);
    return false;
  }
}
