/**
 * {@link FileSystem} over the simulated disk, as one process sees it. Passes the suite that
 * the machine's own file system passes.
 *
 * Every call is reported to `calls.enter()` before it does anything: there a scenario takes a
 * snapshot of the disk (a crash at this call), or makes the call fail.
 */
import {
  type DirectoryEntry,
  type FileHandle,
  type FileInfo,
  type FileSystem,
  FileSystemError,
  type OpenOptions,
} from "../../src/system/file_system.ts";
import type { Inode, SimulatedDisk } from "./simulated_disk.ts";
import { findPlace, type LastLink, type Place } from "./simulated_paths.ts";

const DEVICE = 1;
const FILE_MODE = 0o644;
const DIRECTORY_MODE = 0o755;
const PERMISSION_BITS = 0o7777;
const SET_GROUP_ID = 0o2000;

export interface SystemCall {
  readonly name: string;
  readonly path: string;
}

/** Who watches the calls of a file system. */
export interface CallWatcher {
  /** Throws {@link FileSystemError} to make the call fail before it does anything. */
  enter(call: SystemCall): void;
  /** How many of the bytes a write puts before it fails with the code; null for all. */
  shortWrite(
    call: SystemCall,
    length: number,
  ): { readonly count: number; readonly code: string } | null;
  /** Whether a sync that has begun fails; it takes its time either way. */
  syncFailure(call: SystemCall): string | null;
  /** The time that a sync takes. */
  disk(): Promise<void>;
  now(): number;
}

/** Nothing fails, and the disk takes no time. */
export const CALM: CallWatcher = {
  enter: () => {},
  shortWrite: () => null,
  syncFailure: () => null,
  disk: () => Promise.resolve(),
  now: () => 1_700_000_000_000,
};

/** The locks of flock(2), by inode; a process that ends lets go of its own. */
export type FileLocks = Map<number, object>;

export class SimulatedFileSystem implements FileSystem {
  readonly #disk: SimulatedDisk;
  readonly #calls: CallWatcher;
  readonly #locks: FileLocks;

  constructor(disk: SimulatedDisk, calls: CallWatcher, locks: FileLocks = new Map()) {
    this.#disk = disk;
    this.#calls = calls;
    this.#locks = locks;
  }

  open(path: string, options: OpenOptions): FileHandle {
    const creates = options.createNew || options.create;
    const call = this.#enter(creates ? "create" : "open", path);
    const place = this.#place(call, options.createNew ? "kept" : "followed");
    if (place.inode !== null && options.createNew) throw errorOf(call, "EEXIST");
    let inode = place.inode;
    if (inode === null) {
      if (!options.createNew && !options.create) throw errorOf(call, "ENOENT");
      inode = this.#create(place, "file", options.mode ?? FILE_MODE);
    } else if (inode.kind === "directory" && options.write) throw errorOf(call, "EISDIR");
    return this.#handle(inode.id, path, options);
  }

  readFile(path: string): Uint8Array {
    const call = this.#enter("read", path);
    const inode = this.#existing(call, "followed");
    if (inode.kind === "directory") throw errorOf(call, "EISDIR");
    return inode.content.cached.slice();
  }

  writeNewFile(path: string, bytes: Uint8Array, mode = FILE_MODE): void {
    const handle = this.open(path, { write: true, createNew: true, mode });
    try {
      try {
        handle.writeAt(bytes, 0);
      } finally {
        handle.close();
      }
    } catch (error) {
      this.unlink(path);
      throw error;
    }
  }

  stat(path: string): FileInfo {
    return infoOf(this.#existing(this.#enter("stat", path), "followed"));
  }

  lstat(path: string): FileInfo {
    return infoOf(this.#existing(this.#enter("lstat", path), "kept"));
  }

  lstatIfAny(path: string): FileInfo | null {
    try {
      return this.lstat(path);
    } catch (error) {
      if (error instanceof FileSystemError && ["ENOENT", "ENOTDIR"].includes(error.code)) {
        return null;
      }
      throw error;
    }
  }

  readDirectory(path: string): DirectoryEntry[] {
    const call = this.#enter("readdir", path);
    const { entries } = this.#directory(call);
    return [...entries].map(([name, id]) => ({ name, kind: this.#disk.inode(id).kind }));
  }

  makeDirectory(path: string, mode = DIRECTORY_MODE): void {
    const call = this.#enter("mkdir", path);
    const place = this.#place(call, "kept");
    if (place.inode !== null) throw errorOf(call, "EEXIST");
    const inherited = this.#disk.inode(place.directory).mode & SET_GROUP_ID;
    this.#create(place, "directory", mode | inherited);
  }

  removeDirectory(path: string): void {
    const call = this.#enter("rmdir", path);
    const place = this.#place(call, "kept");
    const { kind, entries } = this.#required(call, place);
    if (kind !== "directory") throw errorOf(call, "ENOTDIR");
    if (entries.size > 0) throw errorOf(call, "ENOTEMPTY");
    this.#change({ ...place, inode: null });
  }

  link(existing: string, path: string): void {
    const call = this.#enter("link", path);
    const inode = this.#existing({ name: "link", path: existing }, "kept");
    const place = this.#place(call, "kept");
    if (place.inode !== null) throw errorOf(call, "EEXIST");
    if (inode.kind === "directory") throw errorOf(call, "EPERM");
    this.#change({ ...place, inode });
  }

  symlink(target: string, path: string): void {
    const call = this.#enter("symlink", path);
    const place = this.#place(call, "kept");
    if (place.inode !== null) throw errorOf(call, "EEXIST");
    this.#create(place, "symlink", 0o777, target);
  }

  readLink(path: string): string {
    const call = this.#enter("readlink", path);
    const inode = this.#existing(call, "kept");
    if (inode.kind !== "symlink") throw errorOf(call, "EINVAL");
    return inode.target;
  }

  realPath(path: string): string {
    const call = this.#enter("realpath", path);
    const place = this.#place(call, "followed");
    this.#required(call, place);
    return place.path;
  }

  rename(from: string, to: string): void {
    const call = this.#enter("rename", to);
    const source = this.#place({ name: "rename", path: from }, "kept");
    const inode = this.#required({ name: "rename", path: from }, source);
    const target = this.#place(call, "kept");
    if (target.inode !== null) {
      if (target.inode.id === inode.id) return;
      const [one, other] = [inode.kind === "directory", target.inode.kind === "directory"];
      if (!one && other) throw errorOf(call, "EISDIR");
      if (one && !other) throw errorOf(call, "ENOTDIR");
      if (other && target.inode.entries.size > 0) throw errorOf(call, "ENOTEMPTY");
    }
    this.#change({ ...source, inode: null }, { ...target, inode });
  }

  unlink(path: string): void {
    const call = this.#enter("unlink", path);
    const place = this.#place(call, "kept");
    if (this.#required(call, place).kind === "directory") throw errorOf(call, "EISDIR");
    this.#change({ ...place, inode: null });
  }

  chmod(path: string, mode: number): void {
    const { id } = this.#existing(this.#enter("chmod", path), "followed");
    this.#disk.own(id).mode = mode & PERMISSION_BITS;
  }

  chown(path: string, uid: number | null, gid: number | null): void {
    const { id } = this.#existing(this.#enter("chown", path), "followed");
    const inode = this.#disk.own(id);
    inode.uid = uid ?? inode.uid;
    inode.gid = gid ?? inode.gid;
  }

  // deno-lint-ignore require-await -- a failure must be a rejection
  async syncDirectory(path: string): Promise<void> {
    const call = this.#enter("fsync", path);
    return this.#sync(call, this.#directory(call).id);
  }

  // deno-lint-ignore require-await -- a failure must be a rejection
  async syncFile(path: string): Promise<void> {
    const call = this.#enter("fsync", path);
    return this.#sync(call, this.#existing(call, "followed").id);
  }

  async syncFileSystem(path: string): Promise<void> {
    const call = this.#enter("syncfs", path);
    this.#existing(call, "followed");
    const sync = this.#disk.beginSyncAll();
    await this.#calls.disk();
    const code = this.#calls.syncFailure(call);
    if (code !== null) throw errorOf(call, code);
    sync.commit();
  }

  async #sync(call: SystemCall, id: number): Promise<void> {
    const sync = this.#disk.beginSync(id);
    await this.#calls.disk();
    const code = this.#calls.syncFailure(call);
    if (code === null) return sync.commit();
    sync.fail();
    throw errorOf(call, code);
  }

  #handle(id: number, path: string, access: OpenOptions): FileHandle {
    const [disk, calls, locks] = [this.#disk, this.#calls, this.#locks];
    const self = {};
    let isOpen = true;
    disk.opened(id);
    const enter = (name: string): SystemCall => {
      const call = this.#enter(name, path);
      if (!isOpen) throw errorOf(call, "EBADF");
      return call;
    };
    return {
      readAt: (buffer, position) => {
        const call = enter("pread");
        if (disk.inode(id).kind === "directory") throw errorOf(call, "EISDIR");
        const bytes = disk.inode(id).content.cached.subarray(position, position + buffer.length);
        buffer.set(bytes);
        return bytes.length;
      },
      writeAt: (bytes, position) => {
        const call = enter("write");
        if (!access.write) throw errorOf(call, "EBADF");
        const short = calls.shortWrite(call, bytes.length) ?? this.#full(id, bytes, position);
        const inode = disk.own(id);
        inode.content.write(short === null ? bytes : bytes.subarray(0, short.count), position);
        inode.modifiedMs = calls.now();
        if (short !== null) throw errorOf(call, short.code);
      },
      truncate: (size) => {
        enter("ftruncate");
        disk.own(id).content.truncate(size);
        disk.own(id).modifiedMs = calls.now();
      },
      info: () => {
        enter("fstat");
        return infoOf(disk.inode(id));
      },
      // deno-lint-ignore require-await -- a failure must be a rejection
      sync: async () => this.#sync(enter("fsync"), id),
      // deno-lint-ignore require-await -- a failure must be a rejection
      syncData: async () => this.#sync(enter("fdatasync"), id),
      tryLock: () => {
        enter("flock");
        const holder = locks.get(id);
        if (holder !== undefined && holder !== self) return false;
        locks.set(id, self);
        return true;
      },
      close: () => {
        if (!isOpen) return;
        isOpen = false;
        if (locks.get(id) === self) locks.delete(id);
        disk.closed(id);
      },
    };
  }

  #full(id: number, bytes: Uint8Array, position: number) {
    const { capacityBytes } = this.#disk;
    if (capacityBytes === null) return null;
    const growth = position + bytes.length - this.#disk.inode(id).content.size;
    const free = capacityBytes - this.#disk.usedBytes();
    if (growth <= 0 || growth <= free) return null;
    return { count: Math.max(0, bytes.length - growth + Math.max(0, free)), code: "ENOSPC" };
  }

  #enter(name: string, path: string): SystemCall {
    const call = { name, path };
    this.#calls.enter(call);
    return call;
  }

  #place(call: SystemCall, lastLink: LastLink): Place {
    return findPlace(this.#disk, call.name, call.path, lastLink);
  }

  #required(call: SystemCall, place: Place): Inode {
    if (place.inode === null) throw errorOf(call, "ENOENT");
    return place.inode;
  }

  #existing(call: SystemCall, lastLink: LastLink): Inode {
    return this.#required(call, this.#place(call, lastLink));
  }

  #directory(call: SystemCall): Inode {
    const inode = this.#existing(call, "followed");
    if (inode.kind !== "directory") throw errorOf(call, "ENOTDIR");
    return inode;
  }

  #create(place: Place, kind: "file" | "directory" | "symlink", mode: number, target = ""): Inode {
    const nowMs = this.#calls.now();
    const id = this.#disk.create({ kind, mode: mode & PERMISSION_BITS, nowMs, target });
    const inode = this.#disk.inode(id);
    this.#change({ ...place, inode });
    return this.#disk.inode(id);
  }

  #change(...places: readonly Place[]): void {
    const changes = places.map(({ directory, name, inode }) => ({
      directory,
      name,
      inode: inode === null ? null : inode.id,
    }));
    this.#disk.change(changes, this.#calls.now());
  }
}

function errorOf(call: SystemCall, code: string): FileSystemError {
  return new FileSystemError(code, call.name, call.path);
}

function infoOf(inode: Inode): FileInfo {
  return {
    kind: inode.kind,
    size: inode.content.size,
    mode: inode.mode,
    uid: inode.uid,
    gid: inode.gid,
    device: DEVICE,
    inode: inode.number,
    links: inode.links,
    modifiedMs: inode.modifiedMs,
  };
}
