/**
 * Which branches the work trees of a repository are on. Moving such a branch would leave
 * files and index behind the ref, so nothing of ours does it (GIT-SAFETY 2.12).
 *
 * The states are those of git's `branch_checked_out`: HEAD, a rebase (its branch, and the
 * refs that `--update-refs` will move at its end) and a bisection. A bare repository has a
 * HEAD and no work tree; its linked work trees count.
 */
import type { RefName } from "../core/ids.ts";
import { errorCode, type FileSystem } from "../system/file_system.ts";
import { parseLoose } from "./loose_refs.ts";
import { validRefName } from "./ref_names.ts";

const decoder = new TextDecoder();

export class WorkTrees {
  readonly #fileSystem: FileSystem;
  readonly #layout: { readonly commonDir: string; readonly bare: boolean };

  constructor(
    fileSystem: FileSystem,
    layout: { readonly commonDir: string; readonly bare: boolean },
  ) {
    this.#fileSystem = fileSystem;
    this.#layout = layout;
  }

  /** Branches that a work tree is on, rebases or bisects; a symbolic branch by its own name. */
  *branches(): Generator<RefName> {
    for (const directory of this.#gitDirs()) {
      const head = this.headOf(directory);
      if (head !== null) yield head;
      for (const name of this.#namesAtWork(directory)) {
        const ref = name === null ? null : validRefName(name);
        if (ref !== null) yield ref;
      }
    }
  }

  /** The ref that the HEAD of a git directory points at, or null (detached, unreadable). */
  headOf(directory: string): RefName | null {
    const path = `${directory}/HEAD`;
    const info = this.#fileSystem.lstatIfAny(path);
    if (info?.kind === "symlink") return validRefName(this.#fileSystem.readLink(path));
    const bytes = this.#read(path);
    if (bytes === null) return null;
    const head = parseLoose(bytes, path);
    return head.kind === "symbolic" ? head.target : null;
  }

  /** One listing instead of a failing look at each file: every commit group asks. */
  #namesAtWork(directory: string): (string | null)[] {
    const there = this.#entriesOf(directory);
    const names: (string | null)[] = [];
    if (there.has("rebase-merge")) {
      names.push(this.#firstLine(`${directory}/rebase-merge/head-name`));
      names.push(...this.#updatedRefs(`${directory}/rebase-merge/update-refs`));
    }
    if (there.has("rebase-apply")) {
      names.push(this.#firstLine(`${directory}/rebase-apply/head-name`));
    }
    if (there.has("BISECT_START")) {
      names.push(bisected(this.#firstLine(`${directory}/BISECT_START`)));
    }
    return names;
  }

  *#gitDirs(): Generator<string> {
    const { commonDir, bare } = this.#layout;
    if (!bare) yield commonDir;
    const linked = `${commonDir}/worktrees`;
    if (this.#fileSystem.lstatIfAny(linked) === null) return;
    for (const { name } of this.#fileSystem.readDirectory(linked)) yield `${linked}/${name}`;
  }

  // Three lines a ref: its name, its value before and after the rebase.
  #updatedRefs(path: string): string[] {
    const bytes = this.#read(path);
    if (bytes === null) return [];
    return decoder.decode(bytes).split("\n").filter((_, line) => line % 3 === 0);
  }

  #entriesOf(directory: string): ReadonlySet<string> {
    try {
      return new Set(this.#fileSystem.readDirectory(directory).map(({ name }) => name));
    } catch (error) {
      const code = errorCode(error);
      if (code === "ENOENT" || code === "ENOTDIR") return new Set();
      throw error;
    }
  }

  #firstLine(path: string): string | null {
    const bytes = this.#read(path);
    return bytes === null ? null : decoder.decode(bytes).split("\n", 1)[0] ?? null;
  }

  #read(path: string): Uint8Array | null {
    try {
      return this.#fileSystem.readFile(path);
    } catch (error) {
      const code = errorCode(error);
      if (code === "ENOENT" || code === "ENOTDIR" || code === "EISDIR") return null;
      throw error;
    }
  }
}

/** BISECT_START holds a branch without `refs/heads/`, or a commit id. */
function bisected(start: string | null): string | null {
  if (start === null || start === "") return null;
  return start.startsWith("refs/") ? start : `refs/heads/${start}`;
}
