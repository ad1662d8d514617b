/** The example's services as processes, each with a directory for its books. */
import { DatabaseSync } from "node:sqlite";
import type { BookEntry } from "./books.ts";
import type { ServiceUrls } from "./definition.ts";

const NAMES = ["model", "resource", "training", "audit"] as const;
export type ServiceName = keyof ServiceUrls;

export class ServiceProcesses {
  private constructor(
    readonly urls: ServiceUrls,
    readonly pids: readonly number[],
    private readonly directory: string,
    private readonly processes: readonly Deno.ChildProcess[],
  ) {}

  static async start(directory: string): Promise<ServiceProcesses> {
    const started = await Promise.all(NAMES.map((name) => startOne(directory, name)));
    const url = (name: ServiceName) => `http://127.0.0.1:${started[NAMES.indexOf(name)]?.port}`;
    const urls = {
      model: url("model"),
      resource: url("resource"),
      training: url("training"),
      audit: url("audit"),
    };
    const processes = started.map(({ process }) => process);
    return new ServiceProcesses(urls, processes.map(({ pid }) => pid), directory, processes);
  }

  /** What `serve` has to be allowed. */
  get allow(): string[] {
    return Object.values(this.urls).flatMap((
      url,
    ) => ["--allow-participant", url.replace("http://", "")]);
  }

  /** The action of a service that is refused from now on; null: none. */
  async break(service: ServiceName, action: string | null): Promise<void> {
    const path = `${this.directory}/${service}/fail`;
    if (action === null) await Deno.remove(path);
    else await Deno.writeTextFile(path, action);
  }

  /** All entries of a service's own books about a saga, in the order they were made. */
  books(service: ServiceName, sagaId: string): BookEntry[] {
    return this.#read(
      service,
      `SELECT key, saga_id, action, state, output, effects, entered FROM books
       WHERE saga_id = ? ORDER BY entered, rowid`,
      sagaId,
    ) as unknown as BookEntry[];
  }

  /** The compensations that found something to undo, over all services, in order. */
  undone(sagaId: string): string[] {
    return NAMES.flatMap((service) =>
      this.#read(
        service,
        "SELECT action, entered, rowid FROM undone WHERE key LIKE ?",
        `${sagaId}-%`,
      )
    ).sort((a, b) =>
      Number(a["entered"]) - Number(b["entered"]) || Number(a["rowid"]) - Number(b["rowid"])
    )
      .map((row) => String(row["action"]));
  }

  #read(service: ServiceName, sql: string, value: string): Record<string, unknown>[] {
    const database = new DatabaseSync(`${this.directory}/${service}/books.sqlite`, {
      readOnly: true,
    });
    try {
      return database.prepare(sql).all(value);
    } finally {
      database.close();
    }
  }

  async stop(): Promise<void> {
    for (const process of this.processes) {
      process.kill("SIGTERM");
      await process.status;
    }
  }
}

async function startOne(directory: string, name: ServiceName) {
  const own = `${directory}/${name}`;
  await Deno.mkdir(own, { recursive: true });
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      "--cached-only",
      "--no-check",
      `--config=${import.meta.dirname}/../../deno.json`,
      "--allow-net=127.0.0.1",
      "--allow-read",
      `--allow-write=${own}`,
      `${import.meta.dirname}/${name}_service.ts`,
      own,
    ],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  return { process, port: await portOf(process.stdout) };
}

async function portOf(stdout: ReadableStream<Uint8Array>): Promise<number> {
  let text = "";
  for await (const part of stdout.pipeThrough(new TextDecoderStream())) {
    text += part;
    if (text.includes("\n")) break;
  }
  return JSON.parse(text).port;
}
