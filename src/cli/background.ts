/**
 * The daemon in the background. The launcher's pid is the daemon's (it ends by exec), so
 * the child that `start` made is the one that must answer at the socket.
 */
import {
  ConnectionLost,
  DaemonUnreachable,
  type LayerdClient,
  LayerdProblem,
} from "../client/client.ts";
import { AnsweredNo, EXIT, NotPermitted } from "./exit_codes.ts";
import type { CliHost, ServeOptions } from "./host.ts";

const POLL_MS = 20;
/** Recovery of a long log takes its time; a daemon that needs longer is still left running. */
const READY_POLLS_MAX = 3_000;
/** The drain's ten seconds, and as much again for a slow disk. */
const END_POLLS_MAX = 1_000;
const LOG_LINES_SHOWN = 5;

/** Starts the launcher in a session of its own; answers its pid once it is ready. */
export async function startInBackground(
  host: CliHost,
  client: LayerdClient,
  serve: ServeOptions,
  log: string,
): Promise<number> {
  // What earlier daemons said is not why this one ended.
  const said = await lengthOf(host, log);
  const child = new Deno.Command(host.launcher, {
    args: [
      "serve",
      "--socket",
      serve.socket,
      "--state-dir",
      serve.stateDir,
      ...serve.repositories.flatMap((r) => ["--repository", `${r.name}=${r.path}`]),
      ...serve.allowParticipants.flatMap((p) => ["--allow-participant", p]),
      ...serve.sagaStore === null ? [] : ["--saga-store", serve.sagaStore],
      ...serve.allowCommands.flatMap((program) => ["--allow-command", program]),
    ],
    cwd: "/",
    env: { LAYERD_LOG_FILE: log },
    stdin: "null",
    stdout: "null",
    stderr: "null",
    detached: true,
  }).spawn();
  child.unref();
  const ended = child.status.then(({ code }) => ({ code }));
  for (let poll = 0; poll < READY_POLLS_MAX; poll++) {
    const end = await Promise.race([ended, pause()]);
    if (end !== null) {
      const why = await whyItEnded(host, log, said, end.code);
      throw end.code === EXIT.permission ? new NotPermitted(why) : new AnsweredNo(why);
    }
    if (await isReady(client)) return child.pid;
  }
  throw new AnsweredNo(`Process ${child.pid} is not ready yet; it goes on, see ${log}`);
}

/** Answers when the process is gone. */
export async function waitForEnd(host: CliHost, pid: number): Promise<void> {
  for (let poll = 0; poll < END_POLLS_MAX; poll++) {
    const { success } = await new Deno.Command(host.processAlive, { args: [String(pid)] }).output();
    if (!success) return;
    await pause();
  }
  throw new AnsweredNo(`Process ${pid} was told to end and has not yet`);
}

async function isReady(client: LayerdClient): Promise<boolean> {
  try {
    await client.ready();
    return true;
  } catch (error) {
    if (error instanceof DaemonUnreachable && !error.permissionDenied) return false;
    // Draining: it refused something that it was started with, and is about to end.
    const passing = error instanceof LayerdProblem &&
      (error.code === "recovering" || error.code === "draining");
    if (passing || error instanceof ConnectionLost) return false;
    throw error;
  }
}

async function whyItEnded(
  host: CliHost,
  log: string,
  said: number,
  code: number,
): Promise<string> {
  const bytes = await bytesIfAny(host, log);
  if (bytes === null) return `The daemon cannot write its log ${log}: choose another --state-dir`;
  const text = new TextDecoder().decode(bytes.subarray(bytes.length < said ? 0 : said)).trimEnd();
  if (text === "") return `The daemon ended with exit code ${code} and wrote nothing to ${log}`;
  const last = text.split("\n").slice(-LOG_LINES_SHOWN).join("\n  ");
  return `The daemon ended with exit code ${code}; ${log} says last:\n  ${last}`;
}

async function lengthOf(host: CliHost, log: string): Promise<number> {
  return (await bytesIfAny(host, log))?.length ?? 0;
}

/** A log that is not there, or not ours to read, says nothing. */
async function bytesIfAny(host: CliHost, log: string): Promise<Uint8Array | null> {
  try {
    return await host.readFile(log);
  } catch (error) {
    const kinds = [Deno.errors.NotFound, Deno.errors.PermissionDenied, Deno.errors.NotADirectory];
    if (kinds.some((kind) => error instanceof kind)) return null;
    throw error;
  }
}

function pause(): Promise<null> {
  return new Promise((resolve) => setTimeout(() => resolve(null), POLL_MS));
}
