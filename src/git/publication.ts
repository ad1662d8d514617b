/**
 * Moves refs by one rename of `packed-refs`: native readers see all edits or none.
 *
 * stage() runs before the decision, under the locks of the refs and packed-refs.lock:
 *
 *   1 fold     loose files of these refs go into packed-refs with the values they have
 *     1a       write packed-refs aside, fsync; rename; fsync the directory
 *     1b       for each loose file: lock still ours, content still the same, unlink
 *     1c       fsync the directories of the loose files
 *   2 aside    write the new packed-refs in layerd/tmp, fsync
 *
 * publish() renames it, settle() fsyncs the directory and appends reflogs.
 *
 * P1. No step of stage() changes what any ref reads as. After 1a loose and packed agree; 1b
 *     only uncovers the equal value. In another order a crash would bring an old value back.
 * P2. What is unlinked in 1b is gone durably (1c) before the decision, so that after a power
 *     loss no loose file covers what was published.
 *     Where that fails nothing is staged in the repository before the same was done again:
 *     the next publication finds no loose file there that it would have to make sure of.
 * P3. publish() renames only over the very file that stage() rebuilt, under our own locks,
 *     and only while no edited ref has a loose file: else somebody removed a lock by hand
 *     and wrote, and their value must neither be overwritten nor hide ours.
 * P4. Nothing is fsynced twice in place of being written: stage() writes the file anew also
 *     where all refs hold their new values already (redo after a crash or a failed fsync).
 * P5. Loose files of other refs are not touched.
 * P6. On a failure in stage() or publish() no file of ours is left behind.
 *
 * A native reader that read a loose file before 1b and packed-refs after publish() can see
 * a mixture; and a `git pack-refs` that read an old loose value and then finds a native reset
 * to that same value after our publication prunes the loose file, and our value comes back
 * (GIT-SAFETY 2.13). Neither can be prevented from our side.
 */
import { invariant, LayerdError } from "../core/errors.ts";
import type { ObjectId, RefName } from "../core/ids.ts";
import type { RefEdit } from "../core/ref_edit.ts";
import { errorCode, type FileSystem } from "../system/file_system.ts";
import { LooseGlance } from "./loose_glance.ts";
import type { LooseRefs } from "./loose_refs.ts";
import { lockedLooseValue } from "./locked_refs.ts";
import type { PackedEntry } from "./packed_refs.ts";
import type { PackedRefsFile, PackedState } from "./packed_refs_file.ts";
import type { RefFiles } from "./ref_files.ts";
import type { RefLocks } from "./ref_locks.ts";
import type { Reflog, ReflogNote } from "./reflog.ts";
import type { ObjectStore, StagedPublication } from "./repository.ts";
import type { SizePad } from "./size_pad.ts";
import { peel } from "./tag_peeling.ts";

/** Told of each publication in the instant of its rename; folds are edits from a value to itself. */
export type PublicationListener = (
  edits: readonly RefEdit[],
  before: PackedState,
  after: PackedState,
) => void;

export interface PublicationParts {
  readonly fileSystem: FileSystem;
  readonly commonDir: string;
  readonly objects: Pick<ObjectStore, "read" | "header">;
  readonly file: PackedRefsFile;
  readonly files: RefFiles;
  readonly locks: RefLocks;
  readonly loose: LooseRefs;
  readonly pad: SizePad;
  readonly reflog: Reflog;
  readonly published: PublicationListener;
  /** Directories in which names were removed and that could not be made durable since. */
  readonly undurable: Set<string>;
}

/** A new packed-refs, durable in layerd/tmp. */
interface Aside {
  readonly path: string;
  readonly before: PackedState;
  readonly after: PackedState;
}

/**
 * `base` is packed-refs as it was read under the lock. Refs that come more than once in
 * `edits` get their last value. Without a note no reflog is written.
 */
export async function stagePublication(
  parts: PublicationParts,
  base: PackedState,
  edits: readonly RefEdit[],
  note: ReflogNote | null,
): Promise<StagedPublication> {
  if (edits.length === 0) return NOTHING;
  const refs = [...new Set(edits.map((edit) => edit.ref))];
  requireLocks(parts, refs);
  await makeRemovalsDurable(parts);
  const peeled = peelingOnce(parts.objects);
  const folded = await fold(parts, base, refs, peeled);
  const changes = new Map<RefName, PackedEntry | null>();
  for (const { ref, new: oid } of edits) {
    changes.set(ref, oid === null ? null : await entryFor(peeled, folded, ref, oid));
  }
  return new FilesPublication(parts, refs, edits, note, await writeAside(parts, folded, changes));
}

const NOTHING: StagedPublication = {
  publish: () => {},
  settle: () => Promise.resolve(),
  discard: () => {},
};

class FilesPublication implements StagedPublication {
  readonly #parts: PublicationParts;
  readonly #refs: readonly RefName[];
  readonly #edits: readonly RefEdit[];
  readonly #note: ReflogNote | null;
  readonly #aside: Aside;
  #state: "staged" | "published" | "discarded" = "staged";

  constructor(
    parts: PublicationParts,
    refs: readonly RefName[],
    edits: readonly RefEdit[],
    note: ReflogNote | null,
    aside: Aside,
  ) {
    this.#parts = parts;
    this.#refs = refs;
    this.#edits = edits;
    this.#note = note;
    this.#aside = aside;
  }

  publish(): void {
    invariant(this.#state === "staged", `a publication that is ${this.#state} is published`);
    try {
      requireLocks(this.#parts, this.#refs);
      const loose = new LooseGlance(this.#parts.loose, this.#refs);
      for (const ref of this.#refs) {
        if (loose.read(ref).kind === "absent") continue;
        throw new LayerdError("git_error", `Ref ${ref} was written in spite of its lock`);
      }
      replacePackedRefs(this.#parts, this.#aside);
    } catch (error) {
      this.discard();
      throw error;
    }
    this.#state = "published";
    this.#parts.published(this.#edits, this.#aside.before, this.#aside.after);
  }

  async settle(): Promise<void> {
    invariant(this.#state === "published", `a publication that is ${this.#state} is settled`);
    await this.#parts.fileSystem.syncDirectory(this.#parts.commonDir);
    if (this.#note !== null) this.#parts.reflog.record(this.#edits, this.#note);
  }

  discard(): void {
    if (this.#state !== "staged") return;
    this.#state = "discarded";
    this.#parts.files.discard(this.#aside.path);
  }
}

/** Step 1; answers packed-refs as it is afterwards. */
async function fold(
  parts: PublicationParts,
  base: PackedState,
  refs: readonly RefName[],
  peeled: Peeling,
): Promise<PackedState> {
  const values = new Map<RefName, ObjectId>();
  const loose = new LooseGlance(parts.loose, refs);
  for (const ref of refs) {
    const oid = lockedLooseValue(loose, ref);
    if (oid !== null) values.set(ref, oid);
  }
  if (values.size === 0) return base;
  const entries = new Map<RefName, PackedEntry>();
  for (const [ref, oid] of values) entries.set(ref, await entryFor(peeled, base, ref, oid));
  const aside = await writeAside(parts, base, entries);
  try {
    requireLocks(parts, refs);
    replacePackedRefs(parts, aside);
  } catch (error) {
    parts.files.discard(aside.path);
    throw error;
  }
  const unmoved = [...values].map(([ref, oid]) => ({ ref, old: oid, new: oid }));
  parts.published(unmoved, aside.before, aside.after);
  await parts.fileSystem.syncDirectory(parts.commonDir);
  requireLocks(parts, refs);
  for (const ref of values.keys()) parts.undurable.add(parentOf(parts.loose.pathOf(ref)));
  for (const [ref, oid] of values) removeFolded(parts, ref, oid);
  await makeRemovalsDurable(parts);
  return aside.after;
}

/** Step 1c, also of an earlier publication that failed in it (P2). */
async function makeRemovalsDurable({ fileSystem, undurable }: PublicationParts): Promise<void> {
  for (const directory of undurable) {
    let present = directory;
    // One that is gone by now took the names with it, if that is durable.
    while (fileSystem.lstatIfAny(present) === null) present = parentOf(present);
    await fileSystem.syncDirectory(present);
    undurable.delete(directory);
  }
}

function removeFolded(parts: PublicationParts, ref: RefName, oid: ObjectId): void {
  const now = lockedLooseValue(parts.loose, ref);
  if (now === null) return;
  if (now !== oid || !parts.locks.refStillHeld(ref)) {
    throw new LayerdError("git_error", `Ref ${ref} was written in spite of its lock`);
  }
  try {
    parts.fileSystem.unlink(parts.loose.pathOf(ref));
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
}

async function writeAside(
  parts: PublicationParts,
  before: PackedState,
  changes: ReadonlyMap<RefName, PackedEntry | null>,
): Promise<Aside> {
  const pad = await parts.pad.next(before.info);
  const packed = before.packed.rewrite(changes, pad);
  const file = await parts.files.writeAside(packed.bytes, parts.file.path, before.info);
  return { path: file.path, before, after: { packed, info: file.info } };
}

/** The rename, if what stands there is still what the new file was made from (P3). */
function replacePackedRefs(parts: PublicationParts, { path, before, after }: Aside): void {
  if (!parts.file.isInPlace(before)) {
    throw new LayerdError("git_error", `${parts.file.path} was written in spite of its lock`);
  }
  parts.fileSystem.rename(path, parts.file.path);
  parts.file.published(after);
}

function requireLocks(parts: PublicationParts, refs: readonly RefName[]): void {
  if (parts.locks.packedRefsStillHeld() && parts.locks.stillHeld(refs)) return;
  throw new LayerdError(
    "repository_locked",
    `Lock files below ${parts.commonDir} were removed or replaced by somebody else`,
  );
}

/** The entry for a value; the peeled line is kept where the value stays. */
async function entryFor(
  peeled: Peeling,
  base: PackedState,
  ref: RefName,
  oid: ObjectId,
): Promise<PackedEntry> {
  const packed = base.packed.get(ref);
  if (packed?.oid === oid) return packed;
  // Git itself lets branches hold nothing but commits, which need no look.
  if (ref.startsWith("refs/heads/")) return { oid, peeled: null };
  return { oid, peeled: await peeled(oid) };
}

type Peeling = (oid: ObjectId) => Promise<ObjectId | null>;

/** Many refs of one publication move to the same object, which is looked at once. */
function peelingOnce(objects: PublicationParts["objects"]): Peeling {
  const known = new Map<ObjectId, Promise<ObjectId | null>>();
  return (oid) => {
    const before = known.get(oid);
    if (before !== undefined) return before;
    const peeled = peel(objects, oid);
    known.set(oid, peeled);
    return peeled;
  };
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
