/**
 * Moves one ref by the rename of its loose file. In a repository of very many refs that spares
 * writing and syncing all of packed-refs for it; publication.ts holds for all other edits.
 *
 *   stage()    the file aside in layerd/tmp, fsync
 *   publish()  renames it
 *   settle()   fsyncs packed-refs where native git wrote it (packed_refs_file.ts, C3), then the
 *              directories above the ref; appends the reflog
 *
 * P1. One edit: of two renames a native reader could see one without the other. It neither
 *     creates nor deletes a ref: a creation would have to make directories that stay, and what
 *     packed-refs holds is deleted there.
 * P2. The value is one that the ref never had. Native pack-refs takes a loose file away that
 *     holds what it packed, also where the ref moved on and came back to it meanwhile.
 * P3. publish() renames only under our own locks and over what stage() found there: else
 *     somebody removed a lock by hand and wrote.
 * P4. On a failure in stage() or publish() no file of ours is left behind.
 *
 * The packed value stays, as native git leaves it, until somebody packs the refs, a commit of
 * several refs moves this one, or too many are loose (loosened_refs.ts).
 */
import { invariant, LayerdError } from "../core/errors.ts";
import type { ObjectId, RefName } from "../core/ids.ts";
import { lockedLooseValue } from "./locked_refs.ts";
import type { RefEdit } from "../core/ref_edit.ts";
import type { PackedState } from "./packed_refs_file.ts";
import { makeRemovalsDurable, type PublicationParts, requireLocks } from "./publication.ts";
import type { AsideFile } from "./ref_files.ts";
import type { ReflogNote } from "./reflog.ts";
import type { StagedPublication } from "./repository.ts";

interface MovedRef extends RefEdit {
  readonly new: ObjectId;
}

/** The one edit that can be published loose, or null. */
export function looseEdit(
  { fileSystem, file, loose, loosened }: PublicationParts,
  edits: readonly RefEdit[],
  made: ReadonlySet<ObjectId>,
): MovedRef | null {
  const [edit] = edits;
  if (edit === undefined || edits.length > 1) return null;
  if (loosened.isFull || file.mustBeReplaced) return null;
  const { ref, old, new: oid } = edit;
  if (old === null || oid === null || !made.has(oid)) return null;
  // A directory or a link in the way is publication.ts's to clear away.
  const stands = fileSystem.lstatIfAny(loose.pathOf(ref));
  return stands === null || stands.kind === "file" ? { ref, old, new: oid } : null;
}

/** `base` is packed-refs as it was read under the lock; the edit is of {@link looseEdit}. */
export async function stageLoosePublication(
  parts: PublicationParts,
  base: PackedState,
  edit: MovedRef,
  note: ReflogNote,
): Promise<StagedPublication> {
  requireLocks(parts, [edit.ref]);
  await makeRemovalsDurable(parts);
  const found = lockedLooseValue(parts.loose, edit.ref);
  const path = parts.loose.pathOf(edit.ref);
  const bytes = new TextEncoder().encode(`${edit.new}\n`);
  const aside = await parts.files.writeAside(bytes, path, parts.fileSystem.lstatIfAny(path));
  return new LoosePublication(parts, { base, edit, note, found, aside });
}

interface Staged {
  readonly base: PackedState;
  readonly edit: MovedRef;
  readonly note: ReflogNote;
  /** What the loose file held. */
  readonly found: ObjectId | null;
  readonly aside: AsideFile;
}

class LoosePublication implements StagedPublication {
  readonly #parts: PublicationParts;
  readonly #staged: Staged;
  #state: "staged" | "published" | "discarded" = "staged";

  constructor(parts: PublicationParts, staged: Staged) {
    this.#parts = parts;
    this.#staged = staged;
  }

  publish(): void {
    invariant(this.#state === "staged", `a publication that is ${this.#state} is published`);
    const { base, edit, aside } = this.#staged;
    try {
      requireLocks(this.#parts, [edit.ref]);
      this.#requireUnchanged(edit.ref);
      this.#parts.fileSystem.rename(aside.path, this.#parts.loose.pathOf(edit.ref));
    } catch (error) {
      this.discard();
      throw error;
    }
    this.#state = "published";
    this.#parts.loosened.note(edit.ref);
    this.#parts.published({ edits: [edit], before: base, after: base, where: "loose" });
  }

  async settle(): Promise<void> {
    invariant(this.#state === "published", `a publication that is ${this.#state} is settled`);
    const { edit, note } = this.#staged;
    await this.#parts.file.makeDurable();
    for (const directory of this.#parts.loose.directoriesAbove(edit.ref)) {
      await this.#parts.fileSystem.syncDirectory(directory);
    }
    this.#parts.reflog.record([edit], note);
  }

  discard(): void {
    if (this.#state !== "staged") return;
    this.#state = "discarded";
    this.#parts.files.discard(this.#staged.aside.path);
  }

  #requireUnchanged(ref: RefName): void {
    const { base, found } = this.#staged;
    if (lockedLooseValue(this.#parts.loose, ref) === found && this.#parts.file.isInPlace(base)) {
      return;
    }
    throw new LayerdError("git_error", `Ref ${ref} was written in spite of its lock`);
  }
}
