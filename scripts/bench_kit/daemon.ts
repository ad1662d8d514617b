/** A daemon of its own process for a case, and load on it from another process. */
import { join } from "@std/path";
import { LayerdClient } from "../../src/client/client.ts";
import { type Context, ROOT, run, scriptPath } from "./context.ts";
import type { Figures } from "./figures.ts";

/** What the load generator is told. */
export interface Load {
  readonly mode: "one_shot" | "staged" | "read" | "contention_locking" | "contention_optimistic";
  readonly clients: number;
  readonly seconds: number;
  /** Where it works; `one_shot` and `staged` use a layer of each client's own unless told. */
  readonly repository?: string;
  readonly layer?: string;
  readonly path?: string;
}

export class BenchDaemon {
  readonly client: LayerdClient;
  readonly #home: string;
  #process: Deno.ChildProcess | null = null;
  /** From spawning the launcher to the ready line. */
  readyMs = 0;

  readonly #allowed: readonly string[];

  /** `allowed`: the participants that it may reach. */
  constructor(context: Context, allowed: readonly string[] = []) {
    this.#allowed = allowed;
    this.#home = Deno.makeTempDirSync({ dir: context.directory, prefix: "daemon-" });
    Deno.chmodSync(this.#home, 0o700);
    this.client = new LayerdClient({ socketPath: this.socket });
  }

  static async start(
    context: Context,
    repositories: Readonly<Record<string, string>>,
    allowed: readonly string[] = [],
  ): Promise<BenchDaemon> {
    const daemon = new BenchDaemon(context, allowed);
    await daemon.start();
    for (const [name, path] of Object.entries(repositories)) {
      await daemon.client.addRepository({ name, path });
    }
    return daemon;
  }

  get socket(): string {
    return join(this.#home, "s.sock");
  }

  get stateDirectory(): string {
    return join(this.#home, "state");
  }

  async start(): Promise<void> {
    const before = performance.now();
    this.#process = new Deno.Command(join(ROOT, "scripts/layerd"), {
      args: ["serve", "--socket", this.socket, "--state-dir", this.stateDirectory]
        .concat(this.#allowed.flatMap((place) => ["--allow-participant", place])),
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const reader = this.#process.stdout.getReader();
    const { done } = await reader.read();
    if (done) throw new Error("The daemon did not start");
    this.readyMs = performance.now() - before;
    reader.releaseLock();
  }

  /** Resident memory in MiB. */
  async residentMiB(): Promise<number> {
    const status = await Deno.readTextFile(`/proc/${this.#running.pid}/status`);
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1_024;
  }

  async load(load: Load): Promise<Figures> {
    const args = ["run", "--quiet", "-A", "--config", join(ROOT, "deno.json")];
    const text = await run(Deno.execPath(), [
      ...args,
      scriptPath("bench_kit", "load.ts"),
      JSON.stringify({ repository: "bench", ...load, socket: this.socket }),
    ]);
    return JSON.parse(text);
  }

  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  async stop(): Promise<void> {
    this.client.close();
    await this.#end("SIGTERM");
  }

  get #running(): Deno.ChildProcess {
    if (this.#process === null) throw new Error("The daemon is not running");
    return this.#process;
  }

  async #end(signal: Deno.Signal): Promise<void> {
    const process = this.#running;
    this.#process = null;
    process.kill(signal);
    await process.status;
    await process.stdout.cancel();
  }
}
