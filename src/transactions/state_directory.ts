/**
 * The state directory: log, ledger, spooled uploads. One daemon has it at a time, by an
 * exclusive lock on `lock` held for the process's life; the file names the holder's pid.
 * `format` holds the version of the directory's layout; a newer one is refused by name.
 */
import { dirname, join } from "@std/path";
import { LayerdError } from "../core/errors.ts";
import { errorCode, type FileHandle, type FileSystem } from "../system/file_system.ts";

const FORMAT_VERSION = 1;

export interface StateDirectory {
  readonly path: string;
  readonly log: string;
  readonly ledger: string;
  readonly spool: string;
  release(): void;
}

/** Makes the directory where it is missing and locks it; `io_error` names a daemon that has it. */
export async function claimStateDirectory(
  fileSystem: FileSystem,
  path: string,
  pid: number,
): Promise<StateDirectory> {
  await makeDirectories(fileSystem, path);
  const lock = lockFile(fileSystem, path, pid);
  try {
    await checkFormat(fileSystem, path);
    const [log, spool] = [join(path, "log"), join(path, "spool")];
    for (const directory of [log, spool]) await makeDirectories(fileSystem, directory);
    return { path, log, spool, ledger: join(path, "ledger.sqlite"), release: () => lock.close() };
  } catch (error) {
    lock.close();
    throw error;
  }
}

/** Durable in its parent, or a power loss would take the log with the directory that holds it. */
async function makeDirectories(fileSystem: FileSystem, path: string): Promise<void> {
  const missing: string[] = [];
  for (let at = path; fileSystem.lstatIfAny(at) === null; at = join(at, "..")) missing.push(at);
  for (const directory of missing.reverse()) {
    try {
      fileSystem.makeDirectory(directory, 0o700);
    } catch (error) {
      if (errorCode(error) !== "EEXIST") throw error;
    }
    await fileSystem.syncDirectory(dirname(directory));
  }
}

function lockFile(fileSystem: FileSystem, path: string, pid: number): FileHandle {
  const file = join(path, "lock");
  const handle = fileSystem.open(file, { read: true, write: true, create: true, mode: 0o600 });
  try {
    if (!handle.tryLock()) {
      throw new LayerdError(
        "io_error",
        `State directory ${path} belongs to the layerd with pid ${readText(handle)}; ` +
          `stop it, or give --state-dir another directory`,
      );
    }
    handle.truncate(0);
    handle.writeAt(new TextEncoder().encode(String(pid)), 0);
    return handle;
  } catch (error) {
    handle.close();
    throw error;
  }
}

function readText(handle: FileHandle): string {
  const buffer = new Uint8Array(32);
  return new TextDecoder().decode(buffer.subarray(0, handle.readAt(buffer, 0))) || "unknown";
}

async function checkFormat(fileSystem: FileSystem, path: string): Promise<void> {
  const file = join(path, "format");
  if (fileSystem.lstatIfAny(file) === null) {
    await writeFormat(fileSystem, path, file);
    return;
  }
  const text = new TextDecoder().decode(fileSystem.readFile(file)).trim();
  const version = Number(text);
  if (Number.isSafeInteger(version) && version >= 0 && version <= FORMAT_VERSION) return;
  throw new LayerdError(
    "io_error",
    `State directory ${path} has format version ${text}, this layerd knows ${FORMAT_VERSION}: ` +
      `run the layerd that wrote it`,
  );
}

/** Whole or not at all: a torn one would be the format of no version. */
async function writeFormat(fileSystem: FileSystem, path: string, file: string): Promise<void> {
  const temporary = `${file}.tmp`;
  if (fileSystem.lstatIfAny(temporary) !== null) fileSystem.unlink(temporary);
  fileSystem.writeNewFile(temporary, new TextEncoder().encode(`${FORMAT_VERSION}\n`), 0o600);
  await fileSystem.syncFile(temporary);
  fileSystem.rename(temporary, file);
  await fileSystem.syncDirectory(path);
}
