/** A file system that counts and fails calls, for tests of what the log makes of it. */
import {
  type DirectoryEntry,
  type FileHandle,
  type FileInfo,
  type FileSystem,
  FileSystemError,
  type OpenOptions,
} from "../../src/system/file_system.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";

/** Called before a call; a code makes the call fail with it. */
export interface Faults {
  write?: (path: string, bytes: Uint8Array, position: number) => string | null;
  /** fsync and fdatasync of a file. */
  sync?: (path: string) => string | null;
}

export class FaultyFileSystem implements FileSystem {
  readonly #real = new DenoFileSystem();
  faults: Faults = {};
  /** Paths, as opened, of every file that was synced. */
  readonly synced: string[] = [];

  open(path: string, options: OpenOptions): FileHandle {
    return new FaultyHandle(this, path, this.#real.open(path, options));
  }
  fail(call: string, path: string, code: string | null | undefined): void {
    if (code) throw new FileSystemError(code, call, path);
  }
  readFile(path: string): Uint8Array {
    return this.#real.readFile(path);
  }
  writeNewFile(path: string, bytes: Uint8Array, mode?: number): void {
    this.#real.writeNewFile(path, bytes, mode);
  }
  stat(path: string): FileInfo {
    return this.#real.stat(path);
  }
  lstat(path: string): FileInfo {
    return this.#real.lstat(path);
  }
  lstatIfAny(path: string): FileInfo | null {
    return this.#real.lstatIfAny(path);
  }
  readDirectory(path: string): DirectoryEntry[] {
    return this.#real.readDirectory(path);
  }
  makeDirectory(path: string, mode?: number): void {
    this.#real.makeDirectory(path, mode);
  }
  removeDirectory(path: string): void {
    this.#real.removeDirectory(path);
  }
  link(existing: string, path: string): void {
    this.#real.link(existing, path);
  }
  symlink(target: string, path: string): void {
    this.#real.symlink(target, path);
  }
  readLink(path: string): string {
    return this.#real.readLink(path);
  }
  realPath(path: string): string {
    return this.#real.realPath(path);
  }
  rename(from: string, to: string): void {
    this.#real.rename(from, to);
  }
  unlink(path: string): void {
    this.#real.unlink(path);
  }
  chmod(path: string, mode: number): void {
    this.#real.chmod(path, mode);
  }
  chown(path: string, uid: number | null, gid: number | null): void {
    this.#real.chown(path, uid, gid);
  }
  syncDirectory(path: string): Promise<void> {
    return this.#real.syncDirectory(path);
  }
  syncFile(path: string): Promise<void> {
    return this.#real.syncFile(path);
  }
  syncFileSystem(path: string): Promise<void> {
    return this.#real.syncFileSystem(path);
  }
}

class FaultyHandle implements FileHandle {
  readonly #system: FaultyFileSystem;
  readonly #path: string;
  readonly #real: FileHandle;

  constructor(system: FaultyFileSystem, path: string, real: FileHandle) {
    this.#system = system;
    this.#path = path;
    this.#real = real;
  }
  readAt(buffer: Uint8Array, position: number): number {
    return this.#real.readAt(buffer, position);
  }
  writeAt(bytes: Uint8Array, position: number): void {
    const code = this.#system.faults.write?.(this.#path, bytes, position);
    // A device that fills up takes part of the bytes first.
    if (code) this.#real.writeAt(bytes.subarray(0, bytes.length >> 1), position);
    this.#system.fail("write", this.#path, code);
    this.#real.writeAt(bytes, position);
  }
  truncate(size: number): void {
    this.#real.truncate(size);
  }
  info(): FileInfo {
    return this.#real.info();
  }
  async sync(): Promise<void> {
    this.#system.fail("fsync", this.#path, this.#system.faults.sync?.(this.#path));
    await this.#real.sync();
    this.#system.synced.push(this.#path);
  }
  async syncData(): Promise<void> {
    this.#system.fail("fdatasync", this.#path, this.#system.faults.sync?.(this.#path));
    await this.#real.syncData();
    this.#system.synced.push(this.#path);
  }
  tryLock(): boolean {
    return this.#real.tryLock();
  }
  close(): void {
    this.#real.close();
  }
}
