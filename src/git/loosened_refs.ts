/**
 * Layers that stand in loose files, as far as this process put or found them there. Each one
 * makes every list of layers a file longer to read, so their number is bounded: once it is
 * reached, the next publication goes through packed-refs and takes all of them along.
 *
 * Native git may fold or write any of them meanwhile: what is in the set is a hint, and the
 * file itself is looked at under the ref's lock.
 */
import { LAYER_REF_PREFIX, type RefName } from "../core/ids.ts";
import type { LooseRefs } from "./loose_refs.ts";
import type { RefLocks } from "./ref_locks.ts";

/** Whose locks they are while they are folded. */
const HOLDER = "folding";

export class LoosenedRefs {
  readonly #loose: LooseRefs;
  readonly #locks: RefLocks;
  readonly #max: number;
  /** Null before the first one: what stands there from before is looked up then. */
  #refs: Set<RefName> | null = null;

  constructor(loose: LooseRefs, locks: RefLocks, max: number) {
    this.#loose = loose;
    this.#locks = locks;
    this.#max = max;
  }

  get isFull(): boolean {
    return this.#refs !== null && this.#refs.size >= this.#max;
  }

  note(ref: RefName): void {
    this.#refs ??= new Set(this.#found());
    this.#refs.add(ref);
  }

  forget(refs: Iterable<RefName>): void {
    for (const ref of refs) this.#refs?.delete(ref);
  }

  /**
   * Where they are too many: locks those that nobody holds, and answers them. The caller folds
   * and unlocks them. `but`: what it holds already.
   */
  lockAll(but: readonly RefName[]): RefName[] {
    if (!this.isFull) return [];
    const held = new Set(but);
    const locked: RefName[] = [];
    try {
      for (const ref of this.#refs ?? []) {
        if (!held.has(ref) && this.#lock(ref)) locked.push(ref);
      }
    } catch (error) {
      this.#locks.unlockRefs(locked);
      throw error;
    }
    return locked;
  }

  #lock(ref: RefName): boolean {
    // Locking takes an adopted lock over, which may be a promise's.
    if (this.#locks.has(ref)) return false;
    const { kind } = this.#loose.read(ref);
    if (kind === "absent") this.forget([ref]);
    return kind === "value" && this.#locks.lockRefs([ref], HOLDER).kind === "locked";
  }

  *#found(): Generator<RefName> {
    for (const [ref] of this.#loose.walk(LAYER_REF_PREFIX.slice(0, -1))) yield ref;
  }
}
