/** The launcher as a person uses it: a home of its own, a repository, commands one by one. */
import { fileURLToPath } from "node:url";
import { GIT_ENVIRONMENT } from "../harness/git.ts";
import { makeRepository } from "../harness/repositories.ts";

const LAUNCHER = fileURLToPath(new URL("../../scripts/layerd", import.meta.url));

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A person's machine: nothing of the real one's daemon or configuration is seen. */
export class Home {
  readonly environment: Record<string, string>;

  private constructor(readonly directory: string, readonly repository: string) {
    this.environment = {
      ...GIT_ENVIRONMENT,
      HOME: directory,
      XDG_RUNTIME_DIR: `${directory}/run`,
      XDG_STATE_HOME: `${directory}/state`,
      LAYERD_SOCKET: "",
      LAYERD_STATE_DIR: "",
      LAYERD_REPOSITORY: "",
      LAYERD_TRANSACTION: "",
    };
  }

  static async make(): Promise<Home> {
    const directory = await Deno.realPath(await Deno.makeTempDir({ prefix: "layerd-cli-" }));
    await Deno.mkdir(`${directory}/run`, { mode: 0o700 });
    return new Home(directory, await makeRepository(`${directory}/app`));
  }

  /** Runs `layerd ...` in the repository. */
  async layerd(args: readonly string[], options: {
    readonly stdin?: string | Uint8Array<ArrayBuffer>;
    readonly env?: Record<string, string>;
    readonly cwd?: string;
  } = {}): Promise<Ended> {
    const child = new Deno.Command(LAUNCHER, {
      args: [...args],
      cwd: options.cwd ?? this.repository,
      env: { ...this.environment, ...options.env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const output = child.output();
    await new Blob([options.stdin ?? ""]).stream().pipeTo(child.stdin);
    const { code, stdout, stderr } = await output;
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  /** Starts a command that goes on until it is told to end. */
  spawn(args: readonly string[]): Going {
    return new Going(
      new Deno.Command(LAUNCHER, {
        args: [...args],
        cwd: this.repository,
        env: this.environment,
        stdin: "null",
        stdout: "null",
        stderr: "piped",
      }).spawn(),
    );
  }

  /** Stops the daemon, if one runs, and takes everything away. */
  async remove(): Promise<void> {
    await this.layerd(["stop"]);
    await Deno.remove(this.directory, { recursive: true });
  }
}

/** A command that runs until end(). */
export class Going {
  readonly #child: Deno.ChildProcess;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #said = "";

  constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Resolves once it says this on standard error, after what was awaited before. */
  async saying(text: string): Promise<void> {
    for (;;) {
      const at = this.#said.indexOf(text);
      if (at >= 0) {
        this.#said = this.#said.slice(at + text.length);
        return;
      }
      const { value, done } = await this.#reader.read();
      if (done) throw new Error(`It ended without saying "${text}": ${this.#said}`);
      this.#said += value;
    }
  }

  async end(): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#child.status;
    await this.#reader.cancel();
  }
}

/** Runs `act` with a daemon in the background that serves the repository as `app`. */
export async function withDaemon(act: (home: Home) => Promise<void>): Promise<void> {
  const home = await Home.make();
  try {
    const { code, stderr } = await home.layerd(["start", "--repository", `app=${home.repository}`]);
    if (code !== 0) throw new Error(`layerd start ended with ${code}: ${stderr}`);
    await act(home);
  } finally {
    await home.remove();
  }
}
