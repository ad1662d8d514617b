/**
 * A group's work in one repository: locks, what the refs hold under them, and the refs
 * that transactions accepted so far will leave behind.
 */
import { LayerdError } from "../core/errors.ts";
import type { RefConflict } from "../core/errors.ts";
import type { ObjectId, RefName } from "../core/ids.ts";
import type { RepositoryPart } from "../core/log_record.ts";
import { conflictOf } from "../core/recovery_plan.ts";
import { RefNameSet } from "../core/ref_name_set.ts";
import type { RefEdit } from "../core/ref_edit.ts";
import type { LockedRefs, Repository, StagedPublication } from "../git/repository.ts";

/** Who the reflog names. */
export const REFLOG_COMMITTER = { name: "layerd", email: "layerd@localhost" };

export class Lane {
  readonly repository: Repository;
  readonly #locked: LockedRefs;
  readonly #planned = new Map<RefName, RefEdit>();
  readonly #made: RefNameSet;
  readonly #gone = new Set<RefName>();
  readonly #checkedOut: ReadonlySet<RefName>;
  staged: StagedPublication | null = null;

  /**
   * Requires the repository's packed-refs.lock and the locks of `refs`, all that the group
   * writes or checks here. `promised`: names that others will create.
   */
  constructor(
    repository: Repository,
    refs: readonly RefName[],
    promised: readonly RefName[],
  ) {
    this.repository = repository;
    this.#made = new RefNameSet(promised);
    this.#locked = repository.publisher.readLocked();
    this.#locked.lookAt(refs);
    this.#checkedOut = repository.refs.checkedOut();
  }

  /** What the group publishes here: every ref once, from what it holds now to its last value. */
  get edits(): RefEdit[] {
    return [...this.#planned.values()];
  }

  value(ref: RefName): ObjectId | null {
    const planned = this.#planned.get(ref);
    return planned ? planned.new : this.#locked.value(ref);
  }

  /** Refs of the part that are not where it expects them. */
  conflicts(part: RepositoryPart): RefConflict[] {
    const conflicts: RefConflict[] = [];
    const compare = (ref: RefName, expected: ObjectId | null) => {
      const actual = this.value(ref);
      if (actual !== expected) conflicts.push(conflictOf(part, { ref, old: expected }, actual));
    };
    for (const check of part.checks) compare(check.ref, check.expected);
    for (const edit of part.edits) compare(edit.ref, edit.old);
    return conflicts;
  }

  /** Why the part's edits cannot stand beside other names or a work tree, or null. */
  refusal(part: RepositoryPart): LayerdError | null {
    const gone = new Set([...this.#gone, ...part.edits.filter(removes).map((edit) => edit.ref)]);
    const made = new RefNameSet(part.edits.filter(creates).map((edit) => edit.ref));
    for (const edit of part.edits) {
      if (this.#checkedOut.has(edit.ref) && edit.old !== edit.new) {
        return new LayerdError(
          "ref_checked_out",
          `${edit.ref} is checked out in a work tree of repository ${part.repository}; ` +
            `switch the work tree to another branch first`,
        );
      }
      if (!creates(edit)) continue;
      const name = clashIn(made, edit.ref) ?? clashIn(this.#made, edit.ref) ??
        this.#locked.nameConflict(edit.ref, gone);
      if (name !== null) {
        return new LayerdError(
          "name_conflict",
          `${edit.ref} cannot exist beside ${name} in repository ${part.repository}`,
        );
      }
    }
    return null;
  }

  /** Adds an accepted part to what will be published. */
  accept(part: RepositoryPart): void {
    for (const edit of part.edits) {
      const earlier = this.#planned.get(edit.ref);
      this.#planned.set(edit.ref, { ...edit, old: earlier ? earlier.old : edit.old });
      if (creates(edit)) this.#made.add(edit.ref);
      else this.#made.delete(edit.ref);
      if (removes(edit)) this.#gone.add(edit.ref);
      else this.#gone.delete(edit.ref);
    }
  }
}

function creates(edit: RefEdit): boolean {
  return edit.old === null && edit.new !== null;
}

function removes(edit: RefEdit): boolean {
  return edit.new === null;
}

function clashIn(names: RefNameSet, ref: RefName): RefName | null {
  return names.clashes(ref).next().value ?? null;
}
