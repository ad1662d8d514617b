/** What the demo stands on: a repository, a daemon process that can be killed, git, and print. */
// deno-lint-ignore-file no-console -- a script: its output is for a person
import { fileURLToPath } from "node:url";
import { LayerdClient } from "../src/client/client.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

export function heading(text: string): void {
  console.log(`\n━━ ${text}`);
}

export function say(text: string): void {
  console.log(`   ${text}`);
}

/** Something that the demo promises: it ends the demo where it does not hold. */
export function check(holds: boolean, claim: string): void {
  if (!holds) throw new Error(`Does not hold: ${claim}`);
  console.log(`   ✓ ${claim}`);
}

async function run(directory: string, args: readonly string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("git", {
    args: ["-C", directory, ...args],
    stdin: "null",
  }).output();
  if (!success) {
    throw new Error(`git ${args.join(" ")}: ${new TextDecoder().decode(stderr).trim()}`);
  }
  return new TextDecoder().decode(stdout).trimEnd();
}

/** A repository that ordinary git looks at. */
export class DemoRepository {
  constructor(readonly path: string) {}

  /** What git prints, without showing it. */
  async git(...args: string[]): Promise<string> {
    return await run(this.path, args);
  }

  /** How many lock files stand in the repository, of whomever. */
  async lockFiles(): Promise<number> {
    const directory = await this.git("rev-parse", "--path-format=absolute", "--git-common-dir");
    return await countFiles(directory, ".lock");
  }

  /** Runs git and shows the command and what it prints. */
  async show(...args: string[]): Promise<string> {
    console.log(`   $ git ${args.map((a) => /[ %(]/.test(a) ? `'${a}'` : a).join(" ")}`);
    const output = await this.git(...args);
    for (const line of output === "" ? ["(nothing)"] : output.split("\n")) {
      console.log(`     ${line}`);
    }
    return output;
  }
}

/** Files below a directory whose name ends so. */
async function countFiles(directory: string, ending: string): Promise<number> {
  let count = 0;
  for await (const entry of Deno.readDir(directory)) {
    if (entry.isDirectory) count += await countFiles(`${directory}/${entry.name}`, ending);
    else if (entry.name.endsWith(ending)) count++;
  }
  return count;
}

/** Clones this project, so that the demo has a real history to work beside. */
export async function cloneThisProject(path: string): Promise<DemoRepository> {
  await run(ROOT, ["clone", "-q", "--no-hardlinks", ROOT, path]);
  return new DemoRepository(path);
}

/** The repository that holds a path: its work tree, or where it is bare its git directory. */
export async function openRepository(path: string): Promise<DemoRepository> {
  const bare = await run(path, ["rev-parse", "--is-bare-repository"]) === "true";
  const what = bare ? "--absolute-git-dir" : "--show-toplevel";
  return new DemoRepository(await run(path, ["rev-parse", what]));
}

/** A daemon in a directory of its own; survives kills by starting again. */
export class DemoDaemon {
  readonly socket: string;
  readonly client: LayerdClient;
  #process: Deno.ChildProcess | null = null;

  constructor(readonly directory: string) {
    this.socket = `${directory}/run/layerd.sock`;
    this.client = new LayerdClient({ socketPath: this.socket });
  }

  /** Starts `scripts/layerd serve` and waits for its ready line. */
  async start(...repositories: string[]): Promise<void> {
    await Deno.mkdir(`${this.directory}/run`, { recursive: true, mode: 0o700 });
    const from = performance.now();
    const log = await Deno.open(`${this.directory}/daemon.log`, { create: true, append: true });
    const process = new Deno.Command(`${ROOT}scripts/layerd`, {
      args: [
        "serve",
        "--socket",
        this.socket,
        "--state-dir",
        `${this.directory}/state`,
        ...repositories.flatMap((r) => ["--repository", r]),
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const logged = process.stderr.pipeTo(log.writable);
    const ready = await firstLine(process.stdout);
    if (ready === null) {
      await logged;
      const text = await Deno.readTextFile(`${this.directory}/daemon.log`);
      throw new Error(`The daemon ended instead of becoming ready:\n${text}`);
    }
    this.#process = process;
    say(
      `$ layerd serve    (pid ${process.pid}, ready after ${
        Math.round(performance.now() - from)
      } ms)`,
    );
  }

  /** SIGKILL, without any warning. */
  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.status;
    this.#process = null;
    this.client.close();
  }

  get running(): boolean {
    return this.#process !== null;
  }

  /** Asks it to end, and waits. */
  async stop(): Promise<void> {
    if (this.#process === null) return;
    this.#process.kill("SIGTERM");
    await this.#process.status;
    this.#process = null;
    this.client.close();
  }
}

/** The first line of a stream, or null where it ends before; the rest is thrown away. */
async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string | null> {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) return null;
    text += value;
  }
  // A pipe that nobody reads would fill up and stop the daemon.
  void drain(reader);
  return text.slice(0, text.indexOf("\n"));
}

async function drain(reader: ReadableStreamDefaultReader<string>): Promise<void> {
  while (!(await reader.read()).done);
}
