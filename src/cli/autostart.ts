/**
 * Starts the daemon for a client command that finds none.
 *
 * Not for `status`, `stop`, `health`, `doctor` and `get-socket`, whose answer it would change,
 * nor where the socket was named by --socket or LAYERD_SOCKET: whoever names a socket looks
 * after the daemon on it. LAYERD_AUTOSTART=0 switches it off, =1 on for a named socket too.
 * `scripts/layerd` grants the right to run the launcher by the same rule.
 */
import { DaemonUnreachable, LayerdClient } from "../client/client.ts";
import { startInBackground } from "./background.ts";
import type { CliHost } from "./host.ts";
import { logFile, stateDirectory } from "./locations.ts";
import type { Output } from "./output.ts";
import { AnsweredNo, NotPermitted } from "./exit_codes.ts";

/** Whether a missing daemon is started for this command. */
export function startsDaemon(host: CliHost, socketOption: string | undefined): boolean {
  const wish = host.env("LAYERD_AUTOSTART") ?? "";
  if (wish === "0") return false;
  if (wish === "1") return true;
  return socketOption === undefined && (host.env("LAYERD_SOCKET") ?? "") === "";
}

/** Starts one where nobody answers; why it could not is {@link DaemonUnreachable}. */
export async function ensureDaemon(host: CliHost, socket: string, output: Output): Promise<void> {
  const client = new LayerdClient({ socketPath: socket });
  try {
    await client.ready();
  } catch (error) {
    // Anything else is the command's own to meet.
    if (!(error instanceof DaemonUnreachable) || error.permissionDenied) return;
    const stateDir = stateDirectory(undefined, host);
    const log = logFile(stateDir);
    output.note(`No daemon runs: starting one at ${socket}, logs to ${log}`);
    const serve = {
      socket,
      stateDir,
      repositories: [],
      allowParticipants: [],
      allowCommands: [],
      sagaStore: null,
    };
    try {
      await startInBackground(host, client, serve, log);
    } catch (failure) {
      // The command could not run because no daemon answers: 69, whatever kept it from starting.
      const said = failure instanceof AnsweredNo || failure instanceof NotPermitted;
      if (said) output.note(`layerd: ${failure.message}`);
      throw new DaemonUnreachable(socket, false, failure);
    }
  } finally {
    client.close();
  }
}
