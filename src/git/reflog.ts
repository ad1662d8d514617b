/**
 * Reflogs, appended where git would append them and in git's format:
 *
 *   <old> SP <new> SP <name> <<email>> SP <seconds> SP +0000 TAB <message> LF
 *
 * G1. A log is appended to where it exists, and made where core.logAllRefUpdates says so:
 *     `always` for every ref, true for branches, remote branches, notes and HEAD; not set
 *     means true in a repository that is not bare.
 * G2. The HEAD of the common directory gets the entries of the branch it points at. (That
 *     happens in bare repositories only: elsewhere such a branch is checked out, and not moved.)
 * G3. Redo writes no entry twice: where the last entry leads to the new value already,
 *     nothing is appended. Native git leaves no gap there, since it logs every move of a ref
 *     that has a log.
 * G4. A removed ref loses its log, as in git.
 * G5. Reflogs are no part of what a commit promises: a failure is logged, and the
 *     publication, which is durable by then, stands.
 */
import { getLogger } from "@logtape/logtape";
import type { RefName } from "../core/ids.ts";
import type { RefEdit } from "../core/ref_edit.ts";
import type { Identity } from "../core/transaction_document.ts";
import { errorCode, type FileSystem, FileSystemError } from "../system/file_system.ts";
import type { RefFiles } from "./ref_files.ts";
import type { WorkTrees } from "./work_trees.ts";

const NULL_OID = "0".repeat(40);
const OID_LENGTH = 40;
/** Enough for a last line of any message that git or we write; a longer one is not recognised. */
const TAIL_BYTES = 64 * 1024;
const LOGGED_BY_DEFAULT = ["refs/heads/", "refs/remotes/", "refs/notes/"];
const logger = getLogger(["layerd", "git"]);

/** Who moved the refs, when and why. */
export interface ReflogNote {
  readonly committer: Identity;
  readonly atMs: number;
  readonly message: string;
}

interface Parts {
  readonly fileSystem: FileSystem;
  readonly files: RefFiles;
  readonly workTrees: WorkTrees;
  readonly layout: { readonly commonDir: string; readonly bare: boolean };
  /** The value of `core.logAllRefUpdates` as it is now, null where it is not set. */
  readonly logAllRefUpdates: () => string | null;
}

export class Reflog {
  readonly #parts: Parts;
  readonly #root: string;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#root = `${parts.layout.commonDir}/logs`;
  }

  /** Notes published edits, one a ref. */
  record(edits: readonly RefEdit[], note: ReflogNote): void {
    const head = this.#parts.workTrees.headOf(this.#parts.layout.commonDir);
    const setting = this.#parts.logAllRefUpdates()?.toLowerCase() ?? null;
    // Most layers have no logs at all: one look at their directory answers for all of them.
    const logged = new Map<string, boolean>();
    for (const edit of edits) {
      try {
        const top = edit.ref.split("/", 2).join("/");
        const mayExist = logged.get(top) ?? this.#isThere(`${this.#root}/${top}`);
        logged.set(top, mayExist);
        if (mayExist || this.#isMadeFor(edit.ref, setting)) {
          if (edit.new === null) this.#remove(edit.ref);
          else this.#append(edit.ref, edit, note, setting);
        }
        if (edit.ref === head) this.#append("HEAD", edit, note, setting);
      } catch (error) {
        if (!(error instanceof FileSystemError)) throw error;
        logger.warn("Reflog of {ref} was not written: {error}", {
          ref: edit.ref,
          error: error.message,
        });
      }
    }
  }

  #isThere(path: string): boolean {
    return this.#parts.fileSystem.lstatIfAny(path) !== null;
  }

  #append(ref: RefName | "HEAD", edit: RefEdit, note: ReflogNote, setting: string | null): void {
    if (edit.old === edit.new) return;
    const path = `${this.#root}/${ref}`;
    const exists = this.#parts.fileSystem.lstatIfAny(path)?.kind === "file";
    if (!exists && !this.#isMadeFor(ref, setting)) return;
    if (exists && this.#lastValue(path) === (edit.new ?? NULL_OID)) return;
    this.#parts.files.append(path, this.#parts.layout.commonDir, encodeEntry(edit, note));
  }

  #isMadeFor(ref: RefName | "HEAD", setting: string | null): boolean {
    if (setting === "always") return true;
    const on = setting === null
      ? !this.#parts.layout.bare
      : ["true", "yes", "on", "1", ""].includes(setting);
    return on && (ref === "HEAD" || LOGGED_BY_DEFAULT.some((prefix) => ref.startsWith(prefix)));
  }

  /** The value that the last entry leads to, or null where there is no whole entry. */
  #lastValue(path: string): string | null {
    const handle = this.#parts.fileSystem.open(path, { read: true });
    try {
      const { size } = handle.info();
      const tail = new Uint8Array(Math.min(size, TAIL_BYTES));
      const length = handle.readAt(tail, size - tail.length);
      const lines = new TextDecoder().decode(tail.subarray(0, length)).trimEnd().split("\n");
      const last = lines.at(-1) ?? "";
      return last === "" ? null : last.slice(OID_LENGTH + 1, 2 * OID_LENGTH + 1);
    } finally {
      handle.close();
    }
  }

  #remove(ref: RefName): void {
    try {
      this.#parts.fileSystem.unlink(`${this.#root}/${ref}`);
    } catch (error) {
      const code = errorCode(error);
      if (code === "ENOENT" || code === "ENOTDIR" || code === "EISDIR") return;
      throw error;
    }
    this.#pruneParents(ref);
  }

  // Else a later `a` could have no log where `a/b` had one.
  #pruneParents(ref: RefName): void {
    const parts = ref.split("/");
    for (let count = parts.length - 1; count >= 3; count--) {
      try {
        this.#parts.fileSystem.removeDirectory(
          `${this.#root}/${parts.slice(0, count).join("/")}`,
        );
      } catch (error) {
        // Not empty; or not ours to remove, and an empty directory harms nobody.
        if (error instanceof FileSystemError) return;
        throw error;
      }
    }
  }
}

function encodeEntry(edit: RefEdit, { committer, atMs, message }: ReflogNote): Uint8Array {
  const clean = (text: string) => text.replace(/[<>\n\0]/g, "").trim();
  const who = `${clean(committer.name)} <${clean(committer.email)}>`;
  const when = `${Math.floor(atMs / 1000)} +0000`;
  const why = message.replace(/\s+/g, " ").trim();
  const line = `${edit.old ?? NULL_OID} ${edit.new ?? NULL_OID} ${who} ${when}\t${why}\n`;
  return new TextEncoder().encode(line);
}
