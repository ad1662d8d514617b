/**
 * Refs as git would see them now, read without locks.
 *
 * R1. Loose first, then packed. A ref that is being packed is in one of the two at every
 *     instant, and git writes `packed-refs` before it removes the loose file; so who looks in
 *     this order finds it. (The other order saw values go backwards.) packed-refs is looked
 *     at again after each loose look, so no retry is needed.
 * R2. A snapshot is made by one synchronous pass and never changes; it shares the parsed
 *     packed-refs with everybody else.
 * R3. Damage is thrown as `git_error` by whoever asks for that ref or lists its prefix. It
 *     never looks like absence, and it does not take the other refs down.
 */
import { LayerdError } from "../core/errors.ts";
import type { ObjectId, RefName } from "../core/ids.ts";
import type { LooseAbsence } from "./loose_absence.ts";
import type { LooseRef, LooseRefs } from "./loose_refs.ts";
import type { PackedRefs } from "./packed_refs.ts";
import { compareRefNames } from "./ref_names.ts";
import type { PackedRefsFile } from "./packed_refs_file.ts";
import type { RefReader, RefSnapshot } from "./repository.ts";
import type { WorkTrees } from "./work_trees.ts";

/** As in git: a chain of more symbolic refs is a loop. */
const SYMBOLIC_DEPTH_MAX = 5;

type Found = Exclude<LooseRef, { kind: "symbolic" }>;

const ABSENT: LooseRef = { kind: "absent" };

export class FilesRefReader implements RefReader {
  readonly #loose: LooseRefs;
  readonly #absence: LooseAbsence;
  readonly #file: PackedRefsFile;
  readonly #workTrees: WorkTrees;

  constructor(
    loose: LooseRefs,
    absence: LooseAbsence,
    file: PackedRefsFile,
    workTrees: WorkTrees,
  ) {
    this.#loose = loose;
    this.#absence = absence;
    this.#file = file;
    this.#workTrees = workTrees;
  }

  read(ref: RefName): ObjectId | null {
    const found = follow(
      ref,
      (name) => this.#absence.proves(name) ? ABSENT : this.#loose.read(name),
      (name) => this.#file.current().packed.get(name)?.oid ?? null,
    );
    return valueOf(found, ref);
  }

  snapshot(prefix = "refs/"): RefSnapshot {
    const loose = new Map(this.#loose.walk(prefix.replace(/\/+$/, "")));
    // What symbolic refs lead to may stand outside the prefix.
    for (const [, found] of loose) {
      if (found.kind !== "symbolic" || loose.has(found.target)) continue;
      const target = this.#loose.read(found.target);
      if (target.kind !== "absent") loose.set(found.target, target);
    }
    return new FilesRefSnapshot(loose, this.#file.current().packed);
  }

  checkedOut(): ReadonlySet<RefName> {
    const branches = new Set<RefName>();
    for (const branch of this.#workTrees.branches()) {
      // A branch may be a symbolic ref itself: then the work tree shows the one it leads to.
      let name = branch;
      for (let depth = 0; depth < SYMBOLIC_DEPTH_MAX; depth++) {
        branches.add(name);
        const loose = this.#loose.read(name);
        if (loose.kind !== "symbolic") break;
        name = loose.target;
      }
    }
    return branches;
  }
}

class FilesRefSnapshot implements RefSnapshot {
  readonly #loose: ReadonlyMap<RefName, LooseRef>;
  readonly #packed: PackedRefs;
  #sorted: readonly RefName[] | null = null;

  constructor(loose: ReadonlyMap<RefName, LooseRef>, packed: PackedRefs) {
    this.#loose = loose;
    this.#packed = packed;
  }

  get(ref: RefName): ObjectId | null {
    return valueOf(this.#find(ref), ref);
  }

  *entries(prefix: string): Generator<readonly [ref: RefName, oid: ObjectId]> {
    this.#sorted ??= [...this.#loose.keys()].sort(compareRefNames);
    const loose = this.#sorted.filter((ref) => ref.startsWith(prefix));
    let next = 0;
    for (const entry of this.#packed.entries(prefix)) {
      for (; next < loose.length; next++) {
        const ref = loose[next];
        if (ref === undefined || compareRefNames(ref, entry[0]) > 0) break;
        yield* this.#looseEntry(ref);
      }
      if (!this.#loose.has(entry[0])) yield entry;
    }
    for (; next < loose.length; next++) {
      const ref = loose[next];
      if (ref !== undefined) yield* this.#looseEntry(ref);
    }
  }

  // A symbolic ref that leads nowhere is no ref of any value: git leaves it out as well.
  *#looseEntry(ref: RefName): Generator<readonly [ref: RefName, oid: ObjectId]> {
    const oid = this.get(ref);
    if (oid !== null) yield [ref, oid];
  }

  #find(ref: RefName): Found {
    return follow(
      ref,
      (name) => this.#loose.get(name) ?? { kind: "absent" },
      (name) => this.#packed.get(name)?.oid ?? null,
    );
  }
}

function follow(
  ref: RefName,
  loose: (ref: RefName) => LooseRef,
  packed: (ref: RefName) => ObjectId | null,
): Found {
  let name = ref;
  for (let depth = 0; depth <= SYMBOLIC_DEPTH_MAX; depth++) {
    const found = loose(name);
    if (found.kind === "symbolic") {
      name = found.target;
      continue;
    }
    if (found.kind !== "absent") return found;
    const oid = packed(name);
    return oid === null ? found : { kind: "value", oid };
  }
  return { kind: "damaged", reason: `it leads through more than ${SYMBOLIC_DEPTH_MAX} refs` };
}

function valueOf(found: Found, ref: RefName): ObjectId | null {
  if (found.kind === "damaged") {
    throw new LayerdError("git_error", `Ref ${ref} is damaged: ${found.reason}`);
  }
  return found.kind === "value" ? found.oid : null;
}
