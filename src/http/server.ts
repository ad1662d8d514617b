/**
 * The daemon's Unix socket.
 *
 * U1. The socket's directory is ours and 0700: the directory's mode is the identity of
 *     whoever gets through to the socket. Nobody else may replace it from above.
 * U2. Taking a socket's name and giving it back happen under an exclusive flock(2) of the
 *     directory, so that probing, replacing and removing never interleave between daemons.
 * U3. A socket that answers is never replaced; a dead one is replaced by rename, without a
 *     moment in which the name is missing or the socket has another mode than 0600.
 * U4. Deno's `shutdown()` unlinks the socket by the path that it was bound to, whoever owns
 *     that by then. So it is bound to a name beside (bindingPath) and renamed: nothing is at
 *     that name later, and close() removes the public name only if its inode is ours.
 * U5. Deno's server ends where it cannot accept a connection, as when open files have reached
 *     their limit. What is connected stays served meanwhile, and the socket is made again until
 *     connections are accepted.
 */
import { dirname } from "@std/path";
import { getLogger } from "@logtape/logtape";
import { messageOf } from "../core/errors.ts";
import { SOCKET_PATH_BYTES_MAX } from "../core/limits.ts";
import type { FileHandle, FileInfo, FileSystem } from "../system/file_system.ts";
import {
  type DirectoryOptions,
  lockDirectory,
  prepareDirectory,
  SocketRefused,
} from "./socket_directory.ts";

const logger = getLogger(["layerd", "http"]);

/**
 * Answers under way get this long at the end. A client that neither finishes its body nor
 * reads its answer nor goes away would hold Deno's graceful shutdown for ever.
 */
const LAST_ANSWERS_MS_MAX = 2_000;
const LISTEN_AGAIN_MS_MIN = 50;
const LISTEN_AGAIN_MS_MAX = 1_000;

export interface SocketOptions extends DirectoryOptions {
  /** Absolute. */
  readonly path: string;
  readonly handler: (request: Request) => Response | Promise<Response>;
}

export interface SocketServer {
  readonly path: string;
  /**
   * Removes the socket if it is still ours, stops listening and resolves when every answer
   * under way was sent, or two seconds later. Close the event streams before: they do not end
   * by themselves. What is still open then does not keep the process alive.
   */
  close(): Promise<void>;
}

/**
 * The name that the socket is bound to before it is renamed to `path`: as long as `path`,
 * and fixed, because `--allow-net=unix:...` has to name it too.
 */
export function bindingPath(path: string): string {
  return path.slice(0, -1) + (path.endsWith("~") ? "-" : "~");
}

/** Listens on a socket; throws {@link SocketRefused}. */
export async function serveSocket(options: SocketOptions): Promise<SocketServer> {
  const { path, fileSystem } = options;
  requireShort(path);
  prepareDirectory(dirname(path), options);
  const lock = await lockDirectory(dirname(path), options);
  if (lock === null) throw inUse(path, "another daemon is starting or stopping there");
  try {
    await requireFree(path, fileSystem);
    const server = listen(options);
    return new DenoSocketServer(server, options, fileSystem.lstat(path));
  } finally {
    lock.close();
  }
}

function requireShort(path: string): void {
  const bytes = new TextEncoder().encode(path).length;
  if (bytes > SOCKET_PATH_BYTES_MAX) {
    throw new SocketRefused(
      "path_too_long",
      `Socket path ${path} has ${bytes} bytes, and the system allows ${SOCKET_PATH_BYTES_MAX}; ` +
        "choose a shorter one with --socket",
    );
  }
}

/** Throws unless nothing, or a socket at which nobody listens, is at the path. */
async function requireFree(path: string, fileSystem: FileSystem): Promise<void> {
  for (const name of [path, bindingPath(path)]) {
    const occupant = fileSystem.lstatIfAny(name);
    if (occupant !== null && occupant.kind !== "other") {
      throw new SocketRefused("not_a_socket", `${name} is in the way and is no socket: remove it`);
    }
    if (occupant !== null && await answers(name)) throw inUse(name, "a daemon answers there");
  }
  // Under the directory's lock nobody else is between bind and rename: what is there is dead.
  if (fileSystem.lstatIfAny(bindingPath(path)) !== null) fileSystem.unlink(bindingPath(path));
}

async function answers(path: string): Promise<boolean> {
  try {
    const connection = await Deno.connect({ transport: "unix", path });
    connection.close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return false;
    if (error instanceof Deno.errors.NotFound) return false;
    // A full backlog, or no permission: somebody is there.
    throw inUse(path, messageOf(error));
  }
}

function inUse(path: string, why: string): SocketRefused {
  return new SocketRefused("in_use", `Socket ${path} is in use: ${why}`);
}

function listen({ path, handler, fileSystem }: SocketOptions): Deno.HttpServer<Deno.UnixAddr> {
  const binding = bindingPath(path);
  const server = Deno.serve({
    path: binding,
    onListen: () => {},
    onError: (error) => {
      logger.error("A request ended outside the application: {error}", { error });
      return new Response(null, { status: 500 });
    },
  }, (request) => handler(request));
  fileSystem.chmod(binding, 0o600);
  fileSystem.rename(binding, path);
  return server;
}

class DenoSocketServer implements SocketServer {
  readonly path: string;
  readonly #options: SocketOptions;
  /** Null while one that ended by itself is not replaced yet. */
  #server: Deno.HttpServer<Deno.UnixAddr> | null = null;
  #own: FileInfo;
  #closing = false;
  /** Until it is replaced. */
  #listening: Promise<void> = Promise.resolve();

  constructor(server: Deno.HttpServer<Deno.UnixAddr>, options: SocketOptions, own: FileInfo) {
    this.path = options.path;
    this.#options = options;
    this.#own = own;
    this.#serve(server, LISTEN_AGAIN_MS_MIN);
  }

  /** U5; `pauseMs` before the next try if this one ends. */
  #serve(server: Deno.HttpServer<Deno.UnixAddr>, pauseMs: number): void {
    this.#server = server;
    const listenedMs = this.#options.clock.monotonic();
    server.finished.catch((error) => {
      this.#server = null;
      if (this.#closing) return;
      logger.error(
        "No connection can be accepted ({error}): too many are open for `ulimit -n`, or files. " +
          "Trying again; who is connected stays served",
        { error: messageOf(error) },
      );
      const hasLasted = this.#options.clock.monotonic() - listenedMs > LISTEN_AGAIN_MS_MAX;
      this.#listening = this.#listenAgain(hasLasted ? LISTEN_AGAIN_MS_MIN : pauseMs);
    });
  }

  async #listenAgain(firstPauseMs: number): Promise<void> {
    for (let pauseMs = firstPauseMs; !this.#closing;) {
      await this.#options.clock.sleep(pauseMs);
      pauseMs = Math.min(pauseMs * 2, LISTEN_AGAIN_MS_MAX);
      try {
        if (await this.#replaceServer(pauseMs)) return;
      } catch (error) {
        logger.warn("The socket cannot be made again yet: {error}", { error: messageOf(error) });
      }
    }
  }

  /** False where somebody else is at the directory; throws where nothing can be opened. */
  async #replaceServer(pauseMs: number): Promise<boolean> {
    const { path, fileSystem } = this.#options;
    const lock = await lockDirectory(dirname(path), this.#options);
    if (lock === null) return false;
    try {
      await requireFree(path, fileSystem);
      if (this.#closing) return true;
      this.#serve(listen(this.#options), pauseMs);
      this.#own = fileSystem.lstat(path);
      return true;
    } finally {
      lock.close();
    }
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#listening;
    const lock = await this.#lock();
    try {
      if (lock !== null && this.#isOurs()) this.#options.fileSystem.unlink(this.path);
      // Also under the lock: shutdown() unlinks the binding name, which another daemon that
      // starts may be using. Without the lock it waits in vain, and says so.
      await this.#shutDown();
    } finally {
      lock?.close();
    }
  }

  async #shutDown(): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    const late = Promise.withResolvers<"late">();
    const timer = this.#options.clock.after(LAST_ANSWERS_MS_MAX, () => late.resolve("late"));
    const ended = await Promise.race([server.shutdown(), late.promise]);
    timer.cancel();
    if (ended !== "late") return;
    logger.warn("Left a client that neither finished its request nor read its answer");
    server.unref();
  }

  async #lock(): Promise<FileHandle | null> {
    const directory = dirname(this.path);
    // Somebody removed the directory: there is nothing left to give back.
    if (this.#options.fileSystem.lstatIfAny(directory) === null) return null;
    const lock = await lockDirectory(directory, this.#options);
    if (lock === null) {
      logger.warn("Left the socket {path}: its directory stayed locked", { path: this.path });
    }
    return lock;
  }

  #isOurs(): boolean {
    const info = this.#options.fileSystem.lstatIfAny(this.path);
    return info !== null && info.inode === this.#own.inode && info.device === this.#own.device;
  }
}
