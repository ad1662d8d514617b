/**
 * Where the socket and the state directory are (API section 1). `scripts/layerd` works out
 * the same socket for the network permission; a test holds the two together.
 */
import { resolve } from "@std/path";
import { SOCKET_PATH_BYTES_MAX } from "../core/limits.ts";
import { UsageError } from "./exit_codes.ts";

/** The part of the machine that decides. */
export interface Surroundings {
  env(name: string): string | undefined;
  readonly cwd: string;
  readonly uid: number | null;
}

/** `--socket`, else `$LAYERD_SOCKET`, else the user's runtime directory, else `/tmp`. */
export function socketPath(option: string | undefined, around: Surroundings): string {
  const path = resolve(
    around.cwd,
    option ?? given(around, "LAYERD_SOCKET") ?? defaultSocket(around),
  );
  const bytes = new TextEncoder().encode(path).length;
  if (bytes > SOCKET_PATH_BYTES_MAX) {
    throw new UsageError(
      `The socket path ${path} has ${bytes} bytes; the system allows ${SOCKET_PATH_BYTES_MAX}. ` +
        `Give a shorter one with --socket or LAYERD_SOCKET`,
    );
  }
  return path;
}

/** `--state-dir`, else `$LAYERD_STATE_DIR`, else the user's state directory. */
export function stateDirectory(option: string | undefined, around: Surroundings): string {
  return resolve(around.cwd, option ?? given(around, "LAYERD_STATE_DIR") ?? defaultState(around));
}

/** Where a daemon that `start` put in the background writes its messages. */
export function logFile(stateDir: string): string {
  return `${stateDir}/daemon.log`;
}

function defaultSocket(around: Surroundings): string {
  const runtime = given(around, "XDG_RUNTIME_DIR");
  if (runtime !== undefined) return `${runtime}/layerd/layerd.sock`;
  if (around.uid === null) throw new UsageError("Give the socket with --socket or LAYERD_SOCKET");
  return `/tmp/layerd-${around.uid}/layerd.sock`;
}

function defaultState(around: Surroundings): string {
  const state = given(around, "XDG_STATE_HOME");
  if (state !== undefined) return `${state}/layerd`;
  const home = given(around, "HOME");
  if (home === undefined) {
    throw new UsageError("HOME is not set; give the state directory with --state-dir");
  }
  return `${home}/.local/state/layerd`;
}

/** An empty variable counts as none, as the XDG specification says. */
function given(around: Surroundings, name: string): string | undefined {
  const value = around.env(name);
  return value === undefined || value === "" ? undefined : value;
}
