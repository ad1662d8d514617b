/**
 * A load of client processes: starts them, tells them when to go, and keeps what they
 * reported. A process that vanished on purpose is replaced by a fresh one.
 *
 * A load is idle when every process has said so; only then is anything checked.
 */
import { fileURLToPath } from "node:url";
import { SeededRandom } from "../harness/random.ts";
import {
  cameToItsEnd,
  type Command,
  type LoadedLayer,
  type Outcome,
  type Report,
  type Touched,
  VANISHED_EXIT_CODE,
  type WorkerConfiguration,
} from "./worker_messages.ts";

const WORKER = fileURLToPath(new URL("./worker.ts", import.meta.url));

/** What a client reported of one transaction. */
export interface Reported {
  readonly outcome: Outcome;
  readonly touched: readonly Touched[];
  readonly vanished: boolean;
}

export interface LoadOptions {
  readonly socket: string;
  readonly seed: number;
  readonly clients: number;
  readonly layers: readonly LoadedLayer[];
}

export class Load {
  readonly #options: LoadOptions;
  readonly #random: SeededRandom;
  readonly #clients: Client[] = [];
  /** By transaction id. */
  readonly reported = new Map<string, Reported>();
  /** How often each code ended a transaction. */
  readonly codes = new Map<string, number>();
  processesVanished = 0;
  #vanished: string[] = [];
  #noted = 0;
  #awaited: { readonly at: number; resolve(): void } | null = null;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    for (let index = 0; index < options.clients; index++) this.#clients.push(this.#spawn());
  }

  /** Every client makes this many transactions; resolves when all are idle. */
  go(transactionsEach: number): Promise<void> {
    const slots = this.#clients.map((_, index) => this.#run(index, transactionsEach));
    return Promise.all(slots).then(() => undefined);
  }

  /** Tells running clients to finish what they are at. */
  stop(): void {
    for (const client of this.#clients) client.tell({ kind: "stop" });
  }

  /** Unanswered one-shots are sent again. */
  async settle(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.until({ kind: "settle" })));
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  /** Resolves when this many more transactions have been reported. */
  reports(count: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (count === 0) resolve();
    else this.#awaited = { at: this.#noted + count, resolve };
    return promise;
  }

  /** Transactions whose clients vanished since the last call. */
  takeVanished(): string[] {
    const ids = this.#vanished;
    this.#vanished = [];
    return ids;
  }

  /** Writes down what a check found out about an unknown outcome. */
  settleOutcome(id: string, outcome: "committed" | "rolled_back"): void {
    const reported = this.reported.get(id);
    if (reported !== undefined) this.reported.set(id, { ...reported, outcome });
  }

  /** One client slot: its process may vanish and be replaced until its count is made. */
  async #run(index: number, transactions: number): Promise<void> {
    let remaining = transactions;
    while (true) {
      const client = this.#clients[index];
      if (client === undefined) throw new Error(`No client ${index}`);
      const ended = await client.until({ kind: "go", transactions: remaining });
      if (ended.kind === "idle") return;
      this.processesVanished += 1;
      this.#clients[index] = this.#spawn();
      remaining = Math.max(0, remaining - ended.made);
    }
  }

  #spawn(): Client {
    return new Client(
      {
        socket: this.#options.socket,
        seed: this.#random.integer(1, 2 ** 31),
        layers: this.#options.layers,
        vanishes: true,
      },
      (report) => this.#note(report),
    );
  }

  #note(report: Report & { kind: "outcome" }): void {
    const { id, outcome, touched, vanished, code } = report;
    this.reported.set(id, { outcome, touched, vanished });
    if (vanished) this.#vanished.push(id);
    this.#noted += 1;
    if (this.#awaited !== null && this.#noted >= this.#awaited.at) this.#awaited.resolve();
    const label = vanished ? "vanished" : code ?? outcome;
    this.codes.set(label, (this.codes.get(label) ?? 0) + 1);
  }
}

type RunEnded = { readonly kind: "idle" } | { readonly kind: "vanished"; readonly made: number };

/** One client process. */
class Client {
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reports: AsyncGenerator<Report>;
  readonly #note: (report: Report & { kind: "outcome" }) => void;

  constructor(
    configuration: WorkerConfiguration,
    note: (report: Report & { kind: "outcome" }) => void,
  ) {
    this.#note = note;
    this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", "-A", WORKER, JSON.stringify(configuration)],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#input = this.#process.stdin.getWriter();
    this.#reports = reportsOf(this.#process.stdout);
  }

  /** Not awaited: a client that vanished reads nothing, and its end is seen by its output. */
  tell(command: Command): void {
    const line = new TextEncoder().encode(JSON.stringify(command) + "\n");
    this.#input.write(line).catch((error) => {
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    });
  }

  /** Gives a command and takes reports until the client is idle or its process has ended. */
  async until(command: Command): Promise<RunEnded> {
    this.tell(command);
    let made = 0;
    while (true) {
      const { value, done } = await this.#reports.next();
      if (done) {
        await this.#requireVanished();
        return { kind: "vanished", made };
      }
      if (value.kind === "idle") return { kind: "idle" };
      if (value.kind === "broken") throw new Error(`A client under load saw: ${value.detail}`);
      if (cameToItsEnd(value)) made += 1;
      this.#note(value);
    }
  }

  async close(): Promise<void> {
    try {
      await this.#input.close();
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof Deno.errors.BrokenPipe)) throw error;
    }
    for await (const _ of this.#reports);
    await this.#process.status;
  }

  async #requireVanished(): Promise<void> {
    const { code } = await this.#process.status;
    if (code !== VANISHED_EXIT_CODE) throw new Error(`A client process ended with ${code}`);
    await this.#input.abort().catch(() => undefined);
  }
}

async function* reportsOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Report> {
  let text = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream())) {
    text += part;
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) yield JSON.parse(line);
  }
}
