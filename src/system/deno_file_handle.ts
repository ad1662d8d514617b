/** {@link FileHandle} over Deno's own calls, and how their failures are told. */
import { type FileHandle, type FileInfo, type FileKind, FileSystemError } from "./file_system.ts";
import { SyncPace } from "./sync_pace.ts";

export const PERMISSION_BITS = 0o7777;

/** Deno's errors that carry no code of the system. */
const CODE_OF_NAME: Readonly<Record<string, string>> = {
  AlreadyExists: "EEXIST",
  BadResource: "EBADF",
  FilesystemLoop: "ELOOP",
  NotADirectory: "ENOTDIR",
  NotCapable: "EACCES",
  NotFound: "ENOENT",
  PermissionDenied: "EACCES",
};

/** Where the runtime says only the number, in the message: Linux and macOS have the same. */
const CODE_OF_NUMBER: Readonly<Record<string, string>> = { "31": "EMLINK" };

/** A failure with a code of errno(3). */
export function translate(error: unknown, call: string, path: string): FileSystemError {
  if (error instanceof FileSystemError) return error;
  if (!(error instanceof Error)) return new FileSystemError("EIO", call, path, error);
  const given = "code" in error ? error.code : undefined;
  if (typeof given === "string") return new FileSystemError(given, call, path, error);
  const number = /\(os error (\d+)\)/.exec(error.message)?.[1] ?? "";
  const code = CODE_OF_NAME[error.name] ?? CODE_OF_NUMBER[number] ?? "EIO";
  return new FileSystemError(code, call, path, error);
}

/** Runs a call and translates its failure. */
export function perform<T>(call: string, path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw translate(error, call, path);
  }
}

/** The same for a call that waits. */
export async function performLater<T>(
  call: string,
  path: string,
  action: () => Promise<T>,
): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw translate(error, call, path);
  }
}

export function kindOf(
  entry: Pick<Deno.FileInfo, "isFile" | "isDirectory" | "isSymlink">,
): FileKind {
  if (entry.isFile) return "file";
  if (entry.isDirectory) return "directory";
  return entry.isSymlink ? "symlink" : "other";
}

export function infoOf(info: Deno.FileInfo): FileInfo {
  return {
    kind: kindOf(info),
    size: info.size,
    mode: (info.mode ?? 0) & PERMISSION_BITS,
    uid: info.uid ?? 0,
    gid: info.gid ?? 0,
    device: info.dev,
    inode: info.ino ?? 0,
    links: info.nlink ?? 1,
    modifiedMs: info.mtime?.getTime() ?? 0,
  };
}

/** Of all files: which disk they are on is not known. */
const pace = new SyncPace(() => performance.now());

/** An open file. */
export class DenoFileHandle implements FileHandle {
  readonly #file: Deno.FsFile;
  readonly #path: string;
  /** Written through this handle since its last sync. */
  #unsynced = 0;
  #isLocked = false;

  constructor(file: Deno.FsFile, path: string) {
    this.#file = file;
    this.#path = path;
  }

  readAt(buffer: Uint8Array, position: number): number {
    return perform("read", this.#path, () => {
      this.#file.seekSync(position, Deno.SeekMode.Start);
      return this.#file.readSync(buffer) ?? 0;
    });
  }

  writeAt(bytes: Uint8Array, position: number): void {
    this.#unsynced += bytes.length;
    perform("write", this.#path, () => {
      this.#file.seekSync(position, Deno.SeekMode.Start);
      writeAll(this.#file, bytes, this.#path);
    });
  }

  truncate(size: number): void {
    perform("ftruncate", this.#path, () => this.#file.truncateSync(size));
  }

  info(): FileInfo {
    return perform("fstat", this.#path, () => infoOf(this.#file.statSync()));
  }

  sync(): Promise<void> {
    return performLater(
      "fsync",
      this.#path,
      () => pace.run(this.#written(), () => this.#file.syncSync(), () => this.#file.sync()),
    );
  }

  syncData(): Promise<void> {
    return performLater(
      "fdatasync",
      this.#path,
      () => pace.run(this.#written(), () => this.#file.syncDataSync(), () => this.#file.syncData()),
    );
  }

  /** The same in another thread: for what others wrote, which may be much. */
  syncAside(): Promise<void> {
    return performLater("fsync", this.#path, () => this.#file.sync());
  }

  #written(): number {
    const bytes = this.#unsynced;
    this.#unsynced = 0;
    return bytes;
  }

  tryLock(): boolean {
    const taken = perform("flock", this.#path, () => this.#file.tryLockSync(true));
    this.#isLocked ||= taken;
    return taken;
  }

  close(): void {
    // A child of this process that has not come to its exec shares the open file, and would
    // keep the lock beyond the close.
    if (this.#isLocked) perform("flock", this.#path, () => this.#file.unlockSync());
    perform("close", this.#path, () => this.#file.close());
  }
}

/** Writes everything, repeating short writes. */
function writeAll(file: Deno.FsFile, bytes: Uint8Array, path: string): void {
  let written = 0;
  while (written < bytes.length) {
    const count = file.writeSync(written === 0 ? bytes : bytes.subarray(written));
    // write(2) never returns 0 for a regular file with bytes left; a loop would never end.
    if (count === 0) throw new FileSystemError("EIO", "write", path);
    written += count;
  }
}
