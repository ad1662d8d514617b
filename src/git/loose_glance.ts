/**
 * One look at the loose files of many refs. A missing file costs more than a present one (the
 * runtime makes an error of it), so a directory that many of the refs share is listed once.
 *
 * Valid for the moment in which it was made: under ref locks, or where a later look decides.
 */
import type { RefName } from "../core/ids.ts";
import type { LooseRef, LooseRefs } from "./loose_refs.ts";

/** With fewer refs in a directory each is looked at by itself. */
const SHARED_BY_MIN = 16;
const ABSENT: LooseRef = { kind: "absent" };

export class LooseGlance {
  readonly #loose: LooseRefs;
  /** Names in the directories that were listed. */
  readonly #names = new Map<string, ReadonlySet<string>>();

  constructor(loose: LooseRefs, refs: Iterable<RefName>) {
    this.#loose = loose;
    const counts = new Map<string, number>();
    for (const ref of refs) {
      const directory = directoryOf(ref);
      counts.set(directory, (counts.get(directory) ?? 0) + 1);
    }
    for (const [directory, count] of counts) {
      if (count >= SHARED_BY_MIN) this.#names.set(directory, loose.namesIn(directory));
    }
  }

  /** As LooseRefs.read(). */
  read(ref: RefName): LooseRef {
    return this.mayExist(ref) ? this.#loose.read(ref) : ABSENT;
  }

  /** False where certainly nothing stands at the name, file or directory. */
  mayExist(ref: RefName): boolean {
    const names = this.#names.get(directoryOf(ref));
    return names === undefined || names.has(ref.slice(ref.lastIndexOf("/") + 1));
  }
}

function directoryOf(ref: string): string {
  return ref.slice(0, ref.lastIndexOf("/"));
}
