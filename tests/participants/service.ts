/** A reference participant of `examples/` as a process: started, killed, started again. */
import { dirname } from "@std/path";
import { fileURLToPath } from "node:url";

const EXAMPLES = `${dirname(dirname(dirname(fileURLToPath(import.meta.url))))}/examples`;

export type ServiceKind = "ts" | "py";

export class ServiceProcess {
  #process: Deno.ChildProcess | null = null;
  #port = 0;

  private constructor(readonly kind: ServiceKind, readonly journal: string) {}

  static async start(kind: ServiceKind, journal: string): Promise<ServiceProcess> {
    const service = new ServiceProcess(kind, journal);
    await service.start();
    return service;
  }

  get port(): number {
    return this.#port;
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get running(): boolean {
    return this.#process !== null;
  }

  /** On the port that it had before. */
  async start(): Promise<void> {
    const args = [this.journal, String(this.#port)];
    const [command, ...before] = this.kind === "py"
      ? ["python3", `${EXAMPLES}/participant.py`]
      : [Deno.execPath(), "run", "-q", "-A", "--no-config", `${EXAMPLES}/participant.ts`];
    const process = new Deno.Command(command ?? "", {
      args: [...before, ...args],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes("\n")) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`The reference participant ended: ${text}`);
      text += value;
    }
    await reader.cancel();
    this.#port = Number(text);
    this.#process = process;
  }

  /** SIGKILL, awaited. */
  async kill(): Promise<void> {
    const process = this.#process;
    if (process === null) return;
    this.#process = null;
    process.kill("SIGKILL");
    await process.status;
  }

  signal(signal: Deno.Signal): void {
    this.#process?.kill(signal);
  }

  async flags(): Promise<Record<string, unknown>> {
    return await this.#get("flags");
  }

  /** Keys of branches that stand prepared. */
  async prepared(): Promise<string[]> {
    return (await this.#get<{ prepared: string[] }>("branches")).prepared;
  }

  async #get<T>(path: string): Promise<T> {
    const response = await fetch(`${this.baseUrl}/${path}`);
    return await response.json();
  }
}
