/**
 * Files and directories that this room makes in a repository.
 *
 * F1. A file is written whole in `layerd/tmp/` and fsynced before anybody renames it into
 *     place. Never git's own temporary names (a stray `packed-refs.new` stops `pack-refs`
 *     and `branch -d`) and never below `refs/` (git lists a stray file there as a ref).
 * F2. It carries mode and group of the file that it replaces; a new one what git would give
 *     it: umask, core.sharedRepository, the group of a setgid directory. A `packed-refs`
 *     made under umask 077 would lock other users' git out.
 * F3. sweep() removes what was there before this process began: one daemon a repository, so
 *     nobody else's files are among them.
 * F4. An aside file that cannot be removed is remembered and changes no outcome: nobody but us
 *     looks at it, its name is never used again, and discardStuck() tries again.
 */
import { getLogger } from "@logtape/logtape";
import type { Clock } from "../system/clock.ts";
import {
  errorCode,
  type FileInfo,
  type FileSystem,
  FileSystemError,
} from "../system/file_system.ts";
import { sharedMode, type SharedRepository } from "./shared_permissions.ts";

const logger = getLogger(["layerd", "git"]);

const SET_GROUP_ID = 0o2000;

/** A durable file in `layerd/tmp/`, ready to be renamed. */
export interface AsideFile {
  readonly path: string;
  /** As it will be after the rename: inode, size and mtime stay. */
  readonly info: FileInfo;
}

export class RefFiles {
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  readonly #shared: SharedRepository;
  readonly #openedMs: number;
  #count = 0;
  /** F4. */
  readonly #stuck = new Set<string>();

  constructor(
    fileSystem: FileSystem,
    clock: Clock,
    layout: { readonly commonDir: string; readonly shared: SharedRepository },
  ) {
    this.#fileSystem = fileSystem;
    this.#directory = `${layout.commonDir}/layerd/tmp`;
    this.#shared = layout.shared;
    this.#openedMs = clock.now();
  }

  /** Writes and fsyncs; `target` is where it will go, `replaced` what stands there. */
  async writeAside(
    bytes: Uint8Array,
    target: string,
    replaced: FileInfo | null,
  ): Promise<AsideFile> {
    const path = `${this.#directory}/ref.${++this.#count}`;
    const handle = this.#create(path);
    try {
      try {
        handle.writeAt(bytes, 0);
        this.#adjust(path, handle.info(), target, replaced);
        await handle.sync();
        return { path, info: handle.info() };
      } finally {
        handle.close();
      }
    } catch (error) {
      this.discard(path);
      throw error;
    }
  }

  /** Removes an aside file if it is there; where that fails it waits for discardStuck() (F4). */
  discard(path: string): void {
    try {
      if (this.#fileSystem.lstatIfAny(path) !== null) this.#fileSystem.unlink(path);
      this.#stuck.delete(path);
    } catch (error) {
      if (!(error instanceof FileSystemError)) throw error;
      logger.error("File {path} could not be removed: {error}", { path, error: error.message });
      this.#stuck.add(path);
    }
  }

  /** Aside files that nobody needs and that could not be removed. */
  get stuck(): readonly string[] {
    return [...this.#stuck];
  }

  /** Tries again to remove what is stuck. */
  discardStuck(): void {
    for (const path of this.stuck) this.discard(path);
  }

  /** Makes a directory as git would; false where the name is taken. */
  makeDirectory(path: string): boolean {
    try {
      this.#fileSystem.makeDirectory(path);
    } catch (error) {
      if (errorCode(error) === "EEXIST") return false;
      throw error;
    }
    const { mode } = this.#fileSystem.lstat(path);
    this.#setMode(path, mode, sharedMode(this.#shared, "directory", mode));
    return true;
  }

  /** Appends to a file, creating it and the directories above it (up to `root`). */
  append(path: string, root: string, bytes: Uint8Array): void {
    const isNew = this.#fileSystem.lstatIfAny(path) === null;
    if (isNew) this.#makeDirectories(path.slice(0, path.lastIndexOf("/")), root);
    const handle = this.#fileSystem.open(path, { read: true, write: true, create: true });
    try {
      const { mode, size } = handle.info();
      if (isNew) this.#setMode(path, mode, sharedMode(this.#shared, "file", mode));
      handle.writeAt(bytes, size);
    } finally {
      handle.close();
    }
  }

  sweep(): void {
    let entries;
    try {
      entries = this.#fileSystem.readDirectory(this.#directory);
    } catch (error) {
      if (errorCode(error) === "ENOENT") return;
      throw error;
    }
    for (const { name, kind } of entries) {
      const path = `${this.#directory}/${name}`;
      if (kind === "directory") continue;
      const info = this.#fileSystem.lstatIfAny(path);
      if (info === null) continue;
      // Our own names are numbered, so their age need not be guessed.
      const number = /^ref\.(\d+)$/.exec(name)?.[1];
      const dead = number === undefined
        ? info.modifiedMs < this.#openedMs
        : Number(number) > this.#count;
      if (dead) this.#fileSystem.unlink(path);
    }
  }

  #create(path: string) {
    for (let attempt = 0;; attempt++) {
      try {
        return this.#fileSystem.open(path, { write: true, createNew: true });
      } catch (error) {
        if (attempt === 2) throw error;
        // The leftover of a crash that sweep() has not met.
        if (errorCode(error) === "EEXIST") this.#fileSystem.unlink(path);
        else if (errorCode(error) === "ENOENT") this.makeDirectory(this.#directory);
        else throw error;
      }
    }
  }

  #adjust(path: string, made: FileInfo, target: string, replaced: FileInfo | null): void {
    if (replaced !== null) {
      this.#setGroup(path, made.gid, replaced.gid);
      this.#setMode(path, made.mode, replaced.mode);
      return;
    }
    const parent = this.#fileSystem.stat(target.slice(0, target.lastIndexOf("/")));
    if ((parent.mode & SET_GROUP_ID) !== 0) this.#setGroup(path, made.gid, parent.gid);
    this.#setMode(path, made.mode, sharedMode(this.#shared, "file", made.mode));
  }

  #setMode(path: string, mode: number, wanted: number): void {
    if (mode !== wanted) this.#fileSystem.chmod(path, wanted);
  }

  #setGroup(path: string, gid: number, wanted: number): void {
    if (gid === wanted) return;
    try {
      this.#fileSystem.chown(path, null, wanted);
    } catch (error) {
      // A group that this user is not in: git's own file would not carry it either.
      if (errorCode(error) !== "EPERM") throw error;
    }
  }

  #makeDirectories(path: string, root: string): void {
    if (path.length <= root.length || this.#fileSystem.lstatIfAny(path) !== null) return;
    this.#makeDirectories(path.slice(0, path.lastIndexOf("/")), root);
    this.makeDirectory(path);
  }
}
