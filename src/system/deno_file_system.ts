/**
 * {@link FileSystem} over Deno's own calls.
 *
 * F1. Every failure leaves as a FileSystemError with a code of errno(3).
 * F2. A `mode` that is given is exact whatever the umask: it is set again after the file or
 *     directory was made (chmod costs 3 microseconds here, looking first costs 6). An
 *     existing file's mode is never touched by `open`.
 * F3. `unlink` never removes a directory and `removeDirectory` never a file, as in the
 *     system calls of these names (`Deno.removeSync` takes either).
 */
import {
  DenoFileHandle,
  infoOf,
  kindOf,
  perform,
  performLater,
  PERMISSION_BITS,
  translate,
} from "./deno_file_handle.ts";
import {
  type DirectoryEntry,
  type FileHandle,
  type FileInfo,
  type FileSystem,
  FileSystemError,
  type OpenOptions,
} from "./file_system.ts";

const SET_GROUP_ID = 0o2000;

/** The file system of this machine. */
export class DenoFileSystem implements FileSystem {
  open(path: string, options: OpenOptions): FileHandle {
    const access = { read: options.read ?? false, write: options.write ?? false };
    if (options.createNew) return create(path, access, options.mode);
    if (!options.create) return openExisting(path, access);
    return this.#openOrCreate(path, access, options.mode);
  }

  // Creating exclusively first tells whether the file is ours, so that only a file which
  // this call made gets the mode.
  #openOrCreate(path: string, access: Access, mode: number | undefined): FileHandle {
    for (;;) {
      try {
        return create(path, access, mode);
      } catch (error) {
        if (!(error instanceof FileSystemError && error.code === "EEXIST")) throw error;
      }
      try {
        return openExisting(path, access);
      } catch (error) {
        // Somebody removed it between the two calls; a dangling link would go round for ever.
        const removed = error instanceof FileSystemError && error.code === "ENOENT";
        if (!removed || this.lstatIfAny(path) !== null) throw error;
      }
    }
  }

  readFile(path: string): Uint8Array {
    return perform("read", path, () => Deno.readFileSync(path));
  }

  writeNewFile(path: string, bytes: Uint8Array, mode?: number): void {
    const handle = create(path, { read: false, write: true }, mode);
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
    return perform("stat", path, () => infoOf(Deno.statSync(path)));
  }

  lstat(path: string): FileInfo {
    return perform("lstat", path, () => infoOf(Deno.lstatSync(path)));
  }

  lstatIfAny(path: string): FileInfo | null {
    try {
      return infoOf(Deno.lstatSync(path));
    } catch (error) {
      // The common answer: translating it would cost as much as the call.
      if (error instanceof Deno.errors.NotFound) return null;
      const failure = translate(error, "lstat", path);
      if (failure.code === "ENOENT" || failure.code === "ENOTDIR") return null;
      throw failure;
    }
  }

  readDirectory(path: string): DirectoryEntry[] {
    return perform(
      "readdir",
      path,
      () => Array.from(Deno.readDirSync(path), (e) => ({ name: e.name, kind: kindOf(e) })),
    );
  }

  makeDirectory(path: string, mode?: number): void {
    perform("mkdir", path, () => {
      Deno.mkdirSync(path, mode === undefined ? {} : { mode });
      if (mode === undefined) return;
      // chmod(2) would take away the setgid bit that a shared repository's directories hand
      // down to each other.
      const inherited = (Deno.lstatSync(path).mode ?? 0) & SET_GROUP_ID;
      Deno.chmodSync(path, (mode & PERMISSION_BITS) | inherited);
    });
  }

  removeDirectory(path: string): void {
    // The slash makes the system refuse anything but a directory (ENOTDIR).
    perform("rmdir", path, () => Deno.removeSync(path.endsWith("/") ? path : `${path}/`));
  }

  link(existing: string, path: string): void {
    perform("link", path, () => Deno.linkSync(existing, path));
  }

  symlink(target: string, path: string): void {
    perform("symlink", path, () => Deno.symlinkSync(target, path));
  }

  readLink(path: string): string {
    return perform("readlink", path, () => Deno.readLinkSync(path));
  }

  realPath(path: string): string {
    return perform("realpath", path, () => Deno.realPathSync(path));
  }

  rename(from: string, to: string): void {
    perform("rename", to, () => Deno.renameSync(from, to));
  }

  unlink(path: string): void {
    perform("unlink", path, () => {
      if (Deno.lstatSync(path).isDirectory) throw new FileSystemError("EISDIR", "unlink", path);
      Deno.removeSync(path);
    });
  }

  chmod(path: string, mode: number): void {
    perform("chmod", path, () => Deno.chmodSync(path, mode & PERMISSION_BITS));
  }

  chown(path: string, uid: number | null, gid: number | null): void {
    perform("chown", path, () => Deno.chownSync(path, uid, gid));
  }

  async syncDirectory(path: string): Promise<void> {
    const directory = openExisting(path, { read: true, write: false });
    try {
      await directory.sync();
    } finally {
      directory.close();
    }
  }

  async syncFile(path: string): Promise<void> {
    const file = openExisting(path, { read: true, write: false });
    try {
      await file.syncAside();
    } finally {
      file.close();
    }
  }

  // Deno has no syncfs(2); coreutils' sync(1) has.
  syncFileSystem(path: string): Promise<void> {
    return performLater("syncfs", path, async () => {
      const command = new Deno.Command("sync", {
        args: ["-f", "--", path],
        stdin: "null",
        stdout: "null",
        stderr: "piped",
      });
      const { success, stderr } = await command.output();
      if (success) return;
      const text = new TextDecoder().decode(stderr).trim();
      const missing = text.endsWith("No such file or directory");
      throw new FileSystemError(missing ? "ENOENT" : "EIO", "syncfs", path, new Error(text));
    });
  }
}

interface Access {
  readonly read: boolean;
  readonly write: boolean;
}

function openExisting(path: string, access: Access): DenoFileHandle {
  return perform("open", path, () => new DenoFileHandle(Deno.openSync(path, access), path));
}

function create(path: string, access: Access, mode: number | undefined): DenoFileHandle {
  return perform("open", path, () => {
    // Deno creates only with write access asked for, as does every caller that means it.
    const options = { ...access, createNew: true };
    if (mode === undefined) return new DenoFileHandle(Deno.openSync(path, options), path);
    const file = Deno.openSync(path, { ...options, mode: mode & 0o777 });
    try {
      Deno.chmodSync(path, mode & PERMISSION_BITS);
    } catch (error) {
      file.close();
      Deno.removeSync(path);
      throw error;
    }
    return new DenoFileHandle(file, path);
  });
}
