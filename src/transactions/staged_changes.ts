/**
 * Everything that an open transaction has staged, with a journal that takes it back.
 *
 * J1. Between mark() and keep() or undoTo() every change is in the journal; undoTo(mark)
 *     restores the state of that mark exactly. That is how a list is staged whole or not
 *     at all, and what a savepoint is: a mark with a name.
 * J2. Without savepoints keep() empties the journal, so that it does not grow with the
 *     transaction.
 * J3. `bytes` is what staged content keeps in memory, the journal's included.
 */
import type { ObjectId, RefName, RepositoryId } from "../core/ids.ts";
import { LayerdError } from "../core/errors.ts";
import type { ExternalOperation } from "../core/operations.ts";
import { RefNameSet } from "../core/ref_name_set.ts";
import {
  SAVEPOINTS_PER_TRANSACTION_MAX,
  STAGED_BYTES_PER_TRANSACTION_MAX,
} from "../core/limits.ts";
import type { Repository } from "../git/repository.ts";
import { bytesHeld, LayerChange, type Undo } from "./layer_change.ts";

/** What is staged in one repository. */
export interface RepositoryChanges {
  readonly repository: Repository;
  readonly layers: Map<RefName, LayerChange>;
  /** The names of `layers`. */
  readonly names: RefNameSet;
  /** What `verify` expects. */
  readonly checks: Map<RefName, ObjectId | null>;
  /** Blobs that were put by id and found in the repository: somebody else may have written them. */
  readonly found: Set<ObjectId>;
}

/** Work at a participant was staged. */
interface Called {
  readonly kind: "called";
}

interface Verified {
  readonly kind: "verified";
  readonly checks: Map<RefName, ObjectId | null>;
  readonly ref: RefName;
}

interface Mark {
  readonly journal: number;
  readonly operations: number;
}

export class StagedChanges {
  readonly #repositories = new Map<RepositoryId, RepositoryChanges>();
  readonly #journal: (Undo | Verified | Called)[] = [];
  readonly #calls: ExternalOperation[] = [];
  readonly #savepoints = new Map<string, Mark>();
  #operations = 0;
  #bytes = 0;

  get operations(): number {
    return this.#operations;
  }

  /** Work at participants, in the order in which it was staged. */
  get calls(): readonly ExternalOperation[] {
    return this.#calls;
  }

  call(operation: ExternalOperation): void {
    this.#calls.push(operation);
    this.#journal.push({ kind: "called" });
  }

  get bytes(): number {
    return this.#bytes;
  }

  get savepoints(): string[] {
    return [...this.#savepoints.keys()];
  }

  get repositories(): Iterable<RepositoryChanges> {
    return this.#repositories.values();
  }

  in(repository: Repository): RepositoryChanges {
    const known = this.#repositories.get(repository.id);
    if (known) return known;
    const fresh: RepositoryChanges = {
      repository,
      layers: new Map(),
      names: new RefNameSet(),
      checks: new Map(),
      found: new Set(),
    };
    this.#repositories.set(repository.id, fresh);
    return fresh;
  }

  /** The change of a ref if there is one. */
  find(repository: Repository, ref: RefName): LayerChange | null {
    return this.#repositories.get(repository.id)?.layers.get(ref) ?? null;
  }

  /** The change of a ref, made with its snapshot value when this is the first. */
  change(repository: Repository, ref: RefName, base: ObjectId | null): LayerChange {
    const { layers, names } = this.in(repository);
    const known = layers.get(ref);
    if (known) return known;
    const fresh = new LayerChange(repository.name, ref, base, repository.trees);
    layers.set(ref, fresh);
    names.add(ref);
    return fresh;
  }

  /** Takes in what a change of a layer answered; `payload_too_large` over the limit. */
  note(undo: Undo): void {
    this.#journal.push(undo);
    this.#bytes += heldNow(undo);
    if (this.#bytes > STAGED_BYTES_PER_TRANSACTION_MAX) {
      throw new LayerdError(
        "payload_too_large",
        `A transaction holds at most ${STAGED_BYTES_PER_TRANSACTION_MAX} bytes of staged ` +
          `content; upload large files through PUT .../blobs`,
        { limit: STAGED_BYTES_PER_TRANSACTION_MAX },
      );
    }
  }

  verify(repository: Repository, ref: RefName, expected: ObjectId | null): void {
    const { checks } = this.in(repository);
    // The snapshot was compared already, so a second verify expects the same value.
    if (checks.has(ref)) return;
    checks.set(ref, expected);
    this.#journal.push({ kind: "verified", checks, ref });
  }

  mark(): Mark {
    return { journal: this.#journal.length, operations: this.#operations };
  }

  /** The list is staged: counts its operations. */
  keep(operations: number): void {
    this.#operations += operations;
    if (this.#savepoints.size > 0) return;
    for (const undo of this.#journal) this.#bytes -= heldBefore(undo);
    this.#journal.length = 0;
  }

  /** Takes back everything since the mark. */
  undoTo(mark: Mark): void {
    while (this.#journal.length > mark.journal) {
      const undo = this.#journal.pop();
      if (undo === undefined) break;
      if (undo.kind === "called") {
        this.#calls.pop();
        continue;
      }
      if (undo.kind === "verified") {
        undo.checks.delete(undo.ref);
        continue;
      }
      this.#bytes -= heldNow(undo);
      undo.change.undo(undo);
    }
    this.#operations = mark.operations;
  }

  /** Names this moment; a name that is in use moves here. */
  save(name: string): void {
    if (!this.#savepoints.has(name) && this.#savepoints.size >= SAVEPOINTS_PER_TRANSACTION_MAX) {
      throw new LayerdError(
        "invalid_request",
        `A transaction has at most ${SAVEPOINTS_PER_TRANSACTION_MAX} savepoints`,
        { limit: SAVEPOINTS_PER_TRANSACTION_MAX },
      );
    }
    this.#savepoints.delete(name);
    this.#savepoints.set(name, this.mark());
  }

  /** Takes back what was staged after the savepoint; later savepoints go with it. */
  undoToSavepoint(name: string): void {
    const mark = this.#savepoints.get(name);
    if (mark === undefined) {
      throw new LayerdError("savepoint_not_found", `The transaction has no savepoint ${name}`);
    }
    let later = false;
    for (const other of this.savepoints) {
      if (later) this.#savepoints.delete(other);
      if (other === name) later = true;
    }
    this.undoTo(mark);
  }
}

/** Bytes in memory under what the change put in place; its undo is not done yet. */
function heldNow(undo: Undo): number {
  if (undo.kind === "parents") return 0;
  if (undo.kind === "file") return bytesHeld(undo.change.files.get(undo.path));
  return [...undo.change.files.values()].reduce((sum, file) => sum + bytesHeld(file), 0);
}

/** Bytes in memory that only the journal keeps. */
function heldBefore(undo: Undo | Verified | Called): number {
  if (undo.kind === "called" || undo.kind === "verified" || undo.kind === "parents") return 0;
  if (undo.kind === "file") return bytesHeld(undo.before);
  return [...undo.files.values()].reduce((sum, file) => sum + bytesHeld(file), 0);
}
