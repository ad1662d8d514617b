/**
 * Faults in a real process by strace(1): the n-th call of a kind fails with an error, or the
 * process is killed at it. Counts are kept for each thread, so that where pool threads share
 * the work (fsync) more than one call can be met.
 */

/**
 * `NOTHING`: this call and all later ones do nothing and say that they succeeded. `FULL`: they
 * fail with ENOSPC. `HOLD_BEFORE`, `HOLD_AFTER`: the thread waits there, until it is let go of.
 */
export type Fault =
  | "ENOSPC"
  | "EIO"
  | "EDQUOT"
  | "KILL"
  | "NOTHING"
  | "FULL"
  | "HOLD_BEFORE"
  | "HOLD_AFTER";

export interface Injection {
  readonly call: "rename" | "linkat" | "unlink" | "mkdir" | "write" | "fsync" | "fdatasync";
  /** 1 is the next call. */
  readonly at: number;
  readonly fault: Fault;
  /** Only calls on these files; on all where there is none. */
  readonly paths: readonly string[];
}

const ATTACH_MS_MAX = 10_000;
const ENTER_MS_MAX = 10_000;
const DETACH_MS_MAX = 1_000;
const HOLD_MS_MAX = 30_000;

export class Strace {
  readonly #process: Deno.ChildProcess;
  readonly #output: string;

  private constructor(process: Deno.ChildProcess, output: string) {
    this.#process = process;
    this.#output = output;
  }

  /** Attaches to all threads of a process; resolves once they are watched. */
  static async attach(pid: number, { call, at, fault, paths }: Injection): Promise<Strace> {
    const effect = effectOf(fault, at);
    const only = paths.flatMap((path) => ["-P", path]);
    // Each thread by name and not `-f`: a child that the process forks while strace lets go of it
    // is stopped for ever, and its parent with it.
    const threads: string[] = [];
    for await (const { name } of Deno.readDir(`/proc/${pid}/task`)) threads.push("-p", name);
    const output = await Deno.makeTempFile({ prefix: "layerd-strace-" });
    const process = new Deno.Command("strace", {
      args: ["-o", output, ...threads, ...only, "-e", `trace=${call}`]
        .concat(["-e", `inject=${call}:${effect}`]),
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const until = performance.now() + ATTACH_MS_MAX;
    // The kernel tells nobody; only /proc says who is watched.
    while (!await isWatched(threads)) {
      if (performance.now() > until) {
        process.kill("SIGKILL");
        throw new Error(`strace did not attach to ${pid}: may it ptrace here?`);
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return new Strace(process, output);
  }

  /** Resolves when the n-th call, of all threads, has been begun. */
  async begun(call: Injection["call"], n: number): Promise<void> {
    const until = performance.now() + ENTER_MS_MAX;
    while ((await this.#text()).split(` ${call}(`).length <= n) {
      if (performance.now() > until) throw new Error(`There was no ${call} number ${n}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  #text(): Promise<string> {
    return Deno.readTextFile(this.#output);
  }

  /** Lets the process go; how many calls were met. */
  async detach(): Promise<number> {
    try {
      this.#process.kill("SIGTERM");
    } catch (error) {
      // It ended with the process that it watched.
      if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
    }
    // Threads of a killed process that nobody waits for can hold strace; without it they end.
    const late = setTimeout(() => this.#process.kill("SIGKILL"), DETACH_MS_MAX);
    await this.#process.status;
    clearTimeout(late);
    const text = await this.#text();
    await Deno.remove(this.#output);
    return text.match(/\(INJECTED\)|\+\+\+ killed by SIGKILL \+\+\+/g)?.length ?? 0;
  }
}

function effectOf(fault: Fault, at: number): string {
  if (fault === "KILL") return `signal=KILL:when=${at}`;
  if (fault === "FULL") return `error=ENOSPC:when=${at}+`;
  if (fault === "HOLD_BEFORE") return `delay_enter=${HOLD_MS_MAX * 1_000}:when=${at}`;
  if (fault === "HOLD_AFTER") return `delay_exit=${HOLD_MS_MAX * 1_000}:when=${at}`;
  return fault === "NOTHING" ? `retval=0:when=${at}+` : `error=${fault}:when=${at}`;
}

async function isWatched(threads: readonly string[]): Promise<boolean> {
  for (const thread of threads.filter((word) => word !== "-p")) {
    try {
      const status = await Deno.readTextFile(`/proc/${thread}/status`);
      if (/^TracerPid:\s+0$/m.test(status)) return false;
    } catch (error) {
      // An idle pool thread that ended meanwhile has nothing to be watched.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return true;
}
