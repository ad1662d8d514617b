/**
 * The seam to the file system. Everything that layerd does to files goes through it, so
 * that a simulated machine can stand beneath the daemon in tests.
 *
 * Calls that are one cheap system call are synchronous: here a synchronous call costs
 * about 10 microseconds, an asynchronous one 180. What may wait for the disk (sync) or
 * for another program is asynchronous, also where the wait is short enough to be made in place
 * (sync_pace.ts). Nothing here is durable until it was synced, and a
 * directory entry (create, link, rename, unlink) not until its directory was.
 *
 * Errors are {@link FileSystemError} with the system's code (`ENOENT`, `EEXIST`, ...).
 */
export class FileSystemError extends Error {
  override readonly name = "FileSystemError";
  constructor(
    /** `ENOENT`, `EEXIST`, `ENOSPC`, `EIO`, ... as in errno(3). */
    readonly code: string,
    /** The call that failed: `open`, `rename`, ... */
    readonly call: string,
    readonly path: string,
    cause?: unknown,
  ) {
    super(`${call} ${path}: ${code}`, cause === undefined ? undefined : { cause });
  }
}

/** The code of a FileSystemError, or null for anything else. */
export function errorCode(error: unknown): string | null {
  return error instanceof FileSystemError ? error.code : null;
}

export type FileKind = "file" | "directory" | "symlink" | "other";

export interface FileInfo {
  readonly kind: FileKind;
  readonly size: number;
  /** Permission bits, with setuid, setgid and sticky (octal 7777). */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly device: number;
  readonly inode: number;
  /** Count of hard links. */
  readonly links: number;
  /** Modification time, milliseconds since the epoch. */
  readonly modifiedMs: number;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly kind: FileKind;
}

export interface OpenOptions {
  readonly read?: boolean;
  readonly write?: boolean;
  /** Create the file; fails with EEXIST when it is there (O_EXCL). */
  readonly createNew?: boolean;
  /** Create the file when it is not there. */
  readonly create?: boolean;
  /** Exact permission bits for a created file, whatever the umask. */
  readonly mode?: number;
}

export interface FileHandle {
  /** Reads up to `buffer.length` bytes at `position`; the number read, 0 at the end. */
  readAt(buffer: Uint8Array, position: number): number;
  /** Writes all bytes at `position`, repeating short writes; ENOSPC and EIO are thrown. */
  writeAt(bytes: Uint8Array, position: number): void;
  truncate(size: number): void;
  info(): FileInfo;
  /** fsync(2). After a failure the file's unsynced contents are unknown: never repeat it. */
  sync(): Promise<void>;
  /** fdatasync(2). The same rule. */
  syncData(): Promise<void>;
  /** Takes an exclusive flock(2) without waiting; false when another process holds one. */
  tryLock(): boolean;
  close(): void;
}

export interface FileSystem {
  open(path: string, options: OpenOptions): FileHandle;
  readFile(path: string): Uint8Array;
  /** Creates the file (O_EXCL) with all the bytes; on failure nothing is left behind. */
  writeNewFile(path: string, bytes: Uint8Array, mode?: number): void;
  /** Follows symbolic links. */
  stat(path: string): FileInfo;
  lstat(path: string): FileInfo;
  /** Like lstat, null where nothing is there (ENOENT, ENOTDIR). */
  lstatIfAny(path: string): FileInfo | null;
  readDirectory(path: string): DirectoryEntry[];
  makeDirectory(path: string, mode?: number): void;
  removeDirectory(path: string): void;
  link(existing: string, path: string): void;
  symlink(target: string, path: string): void;
  readLink(path: string): string;
  realPath(path: string): string;
  rename(from: string, to: string): void;
  unlink(path: string): void;
  chmod(path: string, mode: number): void;
  chown(path: string, uid: number | null, gid: number | null): void;
  /** fsync(2) of a directory: makes its entries durable. */
  syncDirectory(path: string): Promise<void>;
  /** fsync(2) of an existing file by path. */
  syncFile(path: string): Promise<void>;
  /** syncfs(2) of the file system that holds `path`. */
  syncFileSystem(path: string): Promise<void>;
}
