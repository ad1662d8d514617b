/**
 * Refs read under ref locks and packed-refs.lock: what a commit compares with.
 *
 * The bytes of packed-refs were read after the lock was taken, whatever stat said; loose
 * files are read when asked. With both locks held native git changes neither; with the ref
 * lock alone it would (`branch -D` and `fetch --prune` of 2.39 edit packed-refs without it).
 *
 * Names: a ref can be made only where no prefix of its name and nothing below it is a ref.
 * Lock files of others count as refs that are about to be: native git that has prepared
 * `a/b` beside our `a` would leave a repository that `clone --mirror` refuses. Ours do not
 * count: what our transactions are about to make the caller knows.
 */
import { LayerdError } from "../core/errors.ts";
import type { ObjectId, RefName } from "../core/ids.ts";
import { LooseGlance } from "./loose_glance.ts";
import type { LooseRefs } from "./loose_refs.ts";
import type { PackedRefs } from "./packed_refs.ts";
import type { RefLocks } from "./ref_locks.ts";
import type { LockedRefs } from "./repository.ts";

export class FilesLockedRefs implements LockedRefs {
  readonly #packed: PackedRefs;
  readonly #loose: LooseRefs;
  readonly #locks: RefLocks;
  #glance: LooseGlance;
  /** What stands at names above refs: many refs of a group share them. */
  readonly #above = new Map<string, "ref" | "lock" | "nothing">();

  constructor(packed: PackedRefs, loose: LooseRefs, locks: RefLocks) {
    this.#packed = packed;
    this.#loose = loose;
    this.#locks = locks;
    this.#glance = new LooseGlance(loose, []);
  }

  lookAt(refs: readonly RefName[]): void {
    this.#glance = new LooseGlance(this.#loose, refs);
  }

  value(ref: RefName): ObjectId | null {
    const loose = lockedLooseValue(this.#glance, ref);
    return loose ?? this.#packed.get(ref)?.oid ?? null;
  }

  nameConflict(
    ref: RefName,
    gone: ReadonlySet<RefName>,
  ): string | null {
    return this.#ancestor(ref, gone) ?? this.#descendant(ref, gone);
  }

  #ancestor(
    ref: RefName,
    gone: ReadonlySet<string>,
  ): string | null {
    const parts = ref.split("/");
    for (let count = 2; count < parts.length; count++) {
      const name = parts.slice(0, count).join("/");
      const found = this.#above.get(name) ?? this.#lookAt(name);
      this.#above.set(name, found);
      if (found === "ref" && !gone.has(name)) return name;
      if (found === "lock") return `${name}.lock`;
    }
    return null;
  }

  #descendant(
    ref: RefName,
    gone: ReadonlySet<string>,
  ): string | null {
    const prefix = `${ref}/`;
    for (const [name] of this.#packed.entries(prefix)) if (!gone.has(name)) return name;
    if (!this.#glance.mayExist(ref)) return null;
    for (const name of this.#loose.names(ref)) {
      const counts = name.endsWith(".lock") ? this.#isForeignLock(name) : !gone.has(name);
      if (counts) return name;
    }
    return null;
  }

  // A ref that goes away may have somebody's lock beside it, which counts all the same.
  #lookAt(name: string): "ref" | "lock" | "nothing" {
    if (this.#isForeignLock(`${name}.lock`)) return "lock";
    return this.#packed.has(name) || this.#loose.read(name).kind !== "absent" ? "ref" : "nothing";
  }

  #isForeignLock(name: string): boolean {
    return this.#loose.exists(name) && !this.#locks.isOurs(this.#loose.pathOf(name));
  }
}

/**
 * The value of a loose ref under its lock, null where there is none. Throws `git_error` for
 * a damaged one and for a symbolic one: its lock is not that of the ref it leads to.
 */
export function lockedLooseValue(loose: Pick<LooseRefs, "read">, ref: RefName): ObjectId | null {
  const found = loose.read(ref);
  switch (found.kind) {
    case "absent":
      return null;
    case "value":
      return found.oid;
    case "symbolic":
      throw new LayerdError(
        "git_error",
        `Ref ${ref} is symbolic (it leads to ${found.target}) and cannot be moved`,
      );
    case "damaged":
      throw new LayerdError("git_error", `Ref ${ref} is damaged: ${found.reason}`);
  }
}
