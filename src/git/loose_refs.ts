/**
 * Loose refs: one file a ref below the common directory.
 *
 * L1. What is there and cannot be understood is *damaged*, never absent: a zero-byte ref is
 *     what a power loss leaves of a value, and taking it for absent would let it be lost.
 * L2. `*.lock` and names that git refuses are no refs; a directory where a ref could be is
 *     no ref either.
 * L3. Only empty directories are removed, and none with fewer than three parts
 *     (`refs/layers`, `refs/heads` stay), as native git does after removing a ref.
 */
import { isObjectId, type ObjectId, type RefName } from "../core/ids.ts";
import { errorCode, type FileSystem, FileSystemError } from "../system/file_system.ts";
import { validRefName } from "./ref_names.ts";

/** What stands at the path of a loose ref. */
export type LooseRef =
  | { readonly kind: "absent" }
  | { readonly kind: "value"; readonly oid: ObjectId }
  | { readonly kind: "symbolic"; readonly target: RefName }
  | { readonly kind: "damaged"; readonly reason: string };

const ABSENT: LooseRef = { kind: "absent" };
const NULL_OID = "0".repeat(40);
const decoder = new TextDecoder();

export class LooseRefs {
  readonly #fileSystem: FileSystem;
  readonly #commonDir: string;

  constructor(fileSystem: FileSystem, commonDir: string) {
    this.#fileSystem = fileSystem;
    this.#commonDir = commonDir;
  }

  pathOf(ref: string): string {
    return `${this.#commonDir}/${ref}`;
  }

  /** Whether anything stands at the name. */
  exists(name: string): boolean {
    return this.#fileSystem.lstatIfAny(this.pathOf(name)) !== null;
  }

  read(ref: string): LooseRef {
    const path = this.pathOf(ref);
    const info = this.#fileSystem.lstatIfAny(path);
    if (info === null || info.kind === "directory") return ABSENT;
    if (info.kind === "other") return damaged(path, "is no file");
    try {
      if (info.kind === "symlink") {
        // Git's old form of a symbolic ref; any other link is read through.
        const target = validRefName(this.#fileSystem.readLink(path));
        if (target !== null) return { kind: "symbolic", target };
        if (this.#fileSystem.stat(path).kind === "directory") return ABSENT;
      }
      return parseLoose(this.#fileSystem.readFile(path), path);
    } catch (error) {
      // Removed or packed since the look before; whoever asks looks at packed-refs next.
      if (isMissing(error)) return ABSENT;
      throw error;
    }
  }

  /** Every loose ref below a directory such as `refs` or `refs/layers`, in no order. */
  *walk(directory: string): Generator<readonly [ref: RefName, loose: LooseRef]> {
    for (const name of this.names(directory)) {
      if (name.endsWith(".lock")) continue;
      const ref = validRefName(name);
      if (ref === null) continue;
      const loose = this.read(ref);
      if (loose.kind !== "absent") yield [ref, loose];
    }
  }

  /** Names of all files below a directory, lock files too, relative to the common directory. */
  *names(directory: string): Generator<string> {
    for (const { name, kind } of this.#list(directory)) {
      const path = `${directory}/${name}`;
      if (kind === "directory" || (kind === "symlink" && this.#leadsToDirectory(path))) {
        yield* this.names(path);
      } else yield path;
    }
  }

  /** Names of everything that stands right in a directory. */
  namesIn(directory: string): Set<string> {
    return new Set(this.#list(directory).map(({ name }) => name));
  }

  /** All directories below and with `directory`, relative to the common directory. */
  *directories(directory: string): Generator<string> {
    yield directory;
    for (const { name, kind } of this.#list(directory)) {
      if (kind === "directory") yield* this.directories(`${directory}/${name}`);
    }
  }

  /**
   * The directory above the ref, if any, that is a symbolic link: what is written below it may
   * land outside the repository. The gate has looked at the first two parts.
   */
  linkAbove(ref: string): string | null {
    const parts = ref.split("/");
    for (let count = 3; count < parts.length; count++) {
      const name = parts.slice(0, count).join("/");
      if (this.#fileSystem.lstatIfAny(this.pathOf(name))?.kind === "symlink") return name;
    }
    return null;
  }

  /** Removes directories above the ref that are empty now. */
  pruneParents(ref: string): void {
    const parts = ref.split("/");
    for (let count = parts.length - 1; count >= 3; count--) {
      try {
        this.#fileSystem.removeDirectory(this.pathOf(parts.slice(0, count).join("/")));
      } catch (error) {
        // Not empty, or gone already, or not ours to remove: an empty directory harms nobody.
        if (error instanceof FileSystemError) return;
        throw error;
      }
    }
  }

  /** Removes a directory that stands where a loose file is to go, if it holds only directories. */
  clearEmptyDirectory(name: string): void {
    const path = this.pathOf(name);
    if (this.#fileSystem.lstatIfAny(path)?.kind !== "directory") return;
    for (const entry of this.#fileSystem.readDirectory(path)) {
      if (entry.kind === "directory") this.clearEmptyDirectory(`${name}/${entry.name}`);
    }
    this.#fileSystem.removeDirectory(path);
  }

  #list(directory: string) {
    try {
      return this.#fileSystem.readDirectory(this.pathOf(directory));
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  #leadsToDirectory(name: string): boolean {
    try {
      return this.#fileSystem.stat(this.pathOf(name)).kind === "directory";
    } catch (error) {
      // A symbolic ref as a link leads to a name, which need not be a file's.
      if (isMissing(error)) return false;
      throw error;
    }
  }
}

/** The content of a loose ref or of HEAD, as git reads it. */
export function parseLoose(bytes: Uint8Array, path: string): LooseRef {
  if (bytes.length === 0) return damaged(path, "is empty");
  const text = decoder.decode(bytes);
  const symbolic = /^ref:\s*(.*?)\s*$/s.exec(text);
  if (symbolic) {
    const target = validRefName(symbolic[1] ?? "");
    if (target === null) return damaged(path, "points at no valid ref name");
    return { kind: "symbolic", target };
  }
  const oid = text.slice(0, 40).toLowerCase();
  if (!isObjectId(oid) || oid === NULL_OID || !/^(\s|$)/.test(text.slice(40))) {
    return damaged(path, "holds no object id");
  }
  return { kind: "value", oid };
}

function damaged(path: string, what: string): LooseRef {
  return { kind: "damaged", reason: `${path} ${what}` };
}

function isMissing(error: unknown): boolean {
  const code = errorCode(error);
  return code === "ENOENT" || code === "ENOTDIR" || code === "EISDIR";
}
