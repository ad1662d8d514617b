/**
 * A real daemon process: started on a socket and a state directory of its own, awaited by
 * its ready line, killed, stopped and started again.
 *
 * D1. Nobody sleeps: readiness is the line on standard output, the end is the exit status.
 * D2. Only processes started here are signalled, by pid.
 * D3. What a daemon wrote to standard error is kept, for the message of a failing test.
 */
import { dirname } from "@std/path";
import { fileURLToPath } from "node:url";
import { GIT_ENVIRONMENT } from "./git.ts";
import { SocketClient } from "./socket_client.ts";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const STDERR_CHARACTERS_KEPT = 200_000;

/** Where a daemon lives. Outlives the process: restarting uses it again. */
export interface DaemonHome {
  /** Temporary directory with everything; mode 0700. */
  readonly directory: string;
  readonly socket: string;
  readonly stateDirectory: string;
}

/** A `serve` that ended instead of becoming ready. */
export class DaemonRefused extends Error {
  override readonly name = "DaemonRefused";
  constructor(readonly code: number, readonly stderr: string) {
    super(`layerd serve ended with ${code}: ${stderr}`);
  }
}

/** A fresh home; {@link removeHome} takes it away. */
export async function makeHome(): Promise<DaemonHome> {
  const directory = await Deno.makeTempDir({ prefix: "layerd-test-" });
  return homeIn(directory, "a");
}

/** A home within a directory, told from others there by its label. */
export async function homeIn(directory: string, label: string): Promise<DaemonHome> {
  await Deno.mkdir(`${directory}/run-${label}`, { mode: 0o700, recursive: true });
  return {
    directory,
    socket: `${directory}/run-${label}/layerd.sock`,
    stateDirectory: `${directory}/state-${label}`,
  };
}

export async function removeHome(home: DaemonHome): Promise<void> {
  await Deno.remove(home.directory, { recursive: true });
}

export interface ServeOptions {
  /** Given as `--repository NAME=PATH` each. */
  readonly repositories?: Readonly<Record<string, string>>;
  readonly environment?: Readonly<Record<string, string>>;
  /** Further arguments of `serve`: what it may reach. */
  readonly allow?: readonly string[];
}

/** The launcher ends by exec'ing Deno, so the pid of what is spawned is the daemon's. */
const LAUNCHER = `${ROOT}/scripts/layerd`;

/** Arguments of the launcher for a daemon that lives in this home. */
export function serveArguments(home: DaemonHome, options: ServeOptions): string[] {
  const serve = ["serve", "--socket", home.socket, "--state-dir", home.stateDirectory];
  for (const [name, path] of Object.entries(options.repositories ?? {})) {
    serve.push("--repository", `${name}=${path}`);
  }
  return [...serve, ...options.allow ?? []];
}

/** A daemon that said that it is ready. */
export class Daemon {
  readonly client: SocketClient;
  readonly pid: number;
  readonly #process: Deno.ChildProcess;
  readonly #stderr: { text: string; readonly done: Promise<void> };
  readonly #stdout: Promise<void>;
  #ended = false;

  private constructor(
    readonly home: DaemonHome,
    /** From spawning the process to its ready line. */
    readonly readyMs: number,
    /** The ready line, parsed. */
    readonly ready: unknown,
    parts: {
      readonly process: Deno.ChildProcess;
      readonly stderr: { text: string; readonly done: Promise<void> };
      readonly stdout: Promise<void>;
    },
  ) {
    this.client = new SocketClient(home.socket);
    this.pid = parts.process.pid;
    this.#process = parts.process;
    this.#stderr = parts.stderr;
    this.#stdout = parts.stdout;
  }

  /** Starts a daemon and waits for its ready line; {@link DaemonRefused} where it ends first. */
  static async start(home: DaemonHome, options: ServeOptions = {}): Promise<Daemon> {
    const startedAt = performance.now();
    const process = new Deno.Command(LAUNCHER, {
      args: serveArguments(home, options),
      env: { ...GIT_ENVIRONMENT, HOME: home.directory, ...options.environment },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const stderr = collect(process.stderr);
    const lines = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes("\n")) {
      const { value, done } = await lines.read();
      if (done) break;
      text += value;
    }
    if (!text.includes("\n")) {
      const { code } = await process.status;
      await stderr.done;
      throw new DaemonRefused(code, stderr.text);
    }
    const readyMs = performance.now() - startedAt;
    const ready: unknown = JSON.parse(text.slice(0, text.indexOf("\n")));
    return new Daemon(home, readyMs, ready, { process, stderr, stdout: drain(lines) });
  }

  get stderr(): string {
    return this.#stderr.text;
  }

  /** SIGKILL, awaited. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** SIGTERM, awaited; the exit code. */
  async stop(): Promise<number> {
    return await this.#end("SIGTERM");
  }

  signal(signal: Deno.Signal): void {
    this.#process.kill(signal);
  }

  /** Whether the process has not ended yet; a moment after a fatal answer it may still be ending. */
  async isAlive(): Promise<boolean> {
    const ended = this.#process.status.then(() => false);
    const answers = this.client.request("GET", "/v1/health/live").then(() => true, () => ended);
    return await Promise.race([ended, answers]);
  }

  /** Waits for an end that somebody else brings about; the exit code. */
  async ended(): Promise<number> {
    const { code } = await this.#process.status;
    await this.#collected();
    return code;
  }

  /** Resident memory in MiB. */
  async residentMiB(): Promise<number> {
    const status = await Deno.readTextFile(`/proc/${this.pid}/status`);
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
    if (kib === undefined) throw new Error(`No VmRSS for process ${this.pid}`);
    return Number(kib) / 1024;
  }

  async #end(signal: Deno.Signal): Promise<number> {
    if (!this.#ended) {
      this.#ended = true;
      try {
        this.#process.kill(signal);
      } catch (error) {
        // It ended by itself before; its status says how.
        if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    return await this.ended();
  }

  async #collected(): Promise<void> {
    this.client.close();
    await this.#stderr.done;
    await this.#stdout;
  }
}

function collect(stream: ReadableStream<Uint8Array>): { text: string; done: Promise<void> } {
  const kept = { text: "", done: Promise.resolve() };
  kept.done = (async () => {
    for await (const part of stream.pipeThrough(new TextDecoderStream())) {
      kept.text = (kept.text + part).slice(-STDERR_CHARACTERS_KEPT);
    }
  })();
  return kept;
}

async function drain(reader: ReadableStreamDefaultReader<string>): Promise<void> {
  while (!(await reader.read()).done);
}
