/**
 * `git update-ref --stdin` that has read the repository before a commit begins and is told to
 * go on in the middle of it, from synchronous code: through a named pipe, its answer a file.
 */
import { GIT_ENVIRONMENT } from "../harness/git.ts";

const ANSWER_MS_MAX = 10_000;

export class LongLivedWriter {
  readonly #answers: string;
  readonly #pipe: Deno.FsFile;

  private constructor(answers: string, pipe: Deno.FsFile) {
    this.#answers = answers;
    this.#pipe = pipe;
  }

  /** Starts the process with one command, and waits until it has taken it in. */
  static async start(
    repository: string,
    settings: readonly string[],
    command: string,
  ): Promise<LongLivedWriter> {
    const base = await Deno.makeTempDir({ dir: `${repository}/..`, prefix: "writer-" });
    const [commands, answers] = [`${base}/commands`, `${base}/answers`];
    await Deno.writeTextFile(answers, "");
    await new Deno.Command("mkfifo", { args: [commands] }).output();
    const child = new Deno.Command("sh", {
      args: ["-c", `exec git "$@" <'${commands}' >'${answers}' 2>&1`, "sh", "-C", repository]
        .concat(settings, ["update-ref", "--stdin"]),
      env: { ...GIT_ENVIRONMENT },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const pipe = await Deno.open(commands, { write: true });
    const writer = new LongLivedWriter(answers, pipe);
    child.unref();
    writer.#say(`start\n${command}\n`);
    writer.#await("start: ok");
    return writer;
  }

  /** Prepares and commits; whether it did. Blocks. */
  commit(): boolean {
    this.#say("prepare\ncommit\n");
    this.#pipe.close();
    const text = this.#await("commit: ok", "fatal:");
    return text.includes("commit: ok");
  }

  #say(text: string): void {
    this.#pipe.writeSync(new TextEncoder().encode(text));
  }

  #await(...endings: string[]): string {
    const pause = new Int32Array(new SharedArrayBuffer(4));
    const until = performance.now() + ANSWER_MS_MAX;
    while (performance.now() < until) {
      const text = Deno.readTextFileSync(this.#answers);
      if (endings.some((ending) => text.includes(ending))) return text;
      Atomics.wait(pause, 0, 0, 1);
    }
    throw new Error(`git update-ref --stdin said neither of ${endings}`);
  }
}
