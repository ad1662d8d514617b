/**
 * The directory of a socket: its mode is the identity of whoever gets through to the socket
 * (server.ts, U1), and its flock(2) keeps daemons apart that take or give back the name (U2).
 */
import { dirname } from "@std/path";
import type { Clock } from "../system/clock.ts";
import type { FileHandle, FileSystem } from "../system/file_system.ts";

const LOCK_TRIES = 250;
const LOCK_PAUSE_MS = 20;

/** Why no socket was made. */
export type SocketRefusal = "path_too_long" | "unsafe_directory" | "in_use" | "not_a_socket";

/** The socket cannot be made; the message says what to do. */
export class SocketRefused extends Error {
  override readonly name = "SocketRefused";
  constructor(readonly reason: SocketRefusal, message: string) {
    super(message);
  }
}

export interface DirectoryOptions {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  /** The user that the directory has to belong to. */
  readonly uid: number;
}

/** Makes it, mode 0700, or throws {@link SocketRefused} where others may get at it. */
export function prepareDirectory(directory: string, options: DirectoryOptions): void {
  const { fileSystem, uid } = options;
  makeDirectories(directory, fileSystem);
  const info = fileSystem.lstat(directory);
  const refuse = (text: string) => new SocketRefused("unsafe_directory", text);
  if (info.kind === "symlink") {
    throw refuse(
      `Socket directory ${directory} is a symbolic link; name its target ` +
        `${fileSystem.readLink(directory)} and, if others can enter that, chmod 700 it`,
    );
  }
  if (info.kind !== "directory") throw refuse(`Socket directory ${directory} is no directory`);
  if (info.uid !== uid) {
    throw refuse(
      `Socket directory ${directory} belongs to user ${info.uid}, not to ${uid}; choose another ` +
        `with --socket, or run: chown ${uid} ${directory} && chmod 700 ${directory}`,
    );
  }
  if ((info.mode & 0o077) !== 0) {
    const mode = (info.mode & 0o777).toString(8).padStart(4, "0");
    throw refuse(
      `Socket directory ${directory} has mode ${mode}, so others can enter it; ` +
        `run: chmod 700 ${directory}`,
    );
  }
  requireFixed(directory, options);
}

/** U1: who may write to a directory above can put another one in the place of ours. */
function requireFixed(directory: string, { fileSystem, uid }: DirectoryOptions): void {
  for (let at = fileSystem.realPath(dirname(directory));; at = dirname(at)) {
    const { mode, uid: owner } = fileSystem.lstat(at);
    const [isOpen, isSticky] = [(mode & 0o002) !== 0, (mode & 0o1000) !== 0];
    if ((isOpen && !isSticky) || (owner !== uid && owner !== 0)) {
      throw new SocketRefused(
        "unsafe_directory",
        `Socket directory ${directory} can be replaced by others, who may write to ${at}: ` +
          `choose another with --socket, or run: chmod o-w ${at}`,
      );
    }
    if (at === dirname(at)) return;
  }
}

function makeDirectories(directory: string, fileSystem: FileSystem): void {
  if (fileSystem.lstatIfAny(directory) !== null) return;
  makeDirectories(dirname(directory), fileSystem);
  fileSystem.makeDirectory(directory, 0o700);
}

/** Holds the directory until the handle is closed; null where it stays taken. */
export async function lockDirectory(
  directory: string,
  { fileSystem, clock }: DirectoryOptions,
): Promise<FileHandle | null> {
  const handle = fileSystem.open(directory, { read: true });
  for (let tries = 0; tries < LOCK_TRIES; tries++) {
    if (handle.tryLock()) return handle;
    await clock.sleep(LOCK_PAUSE_MS);
  }
  handle.close();
  return null;
}
