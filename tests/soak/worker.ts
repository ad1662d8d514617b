/**
 * A client process under load. Takes commands on standard input, reports on standard output,
 * each a line of JSON (worker_messages.ts). It is a process of its own so that it can die as
 * clients do.
 *
 * W1. An outcome is reported before the next transaction begins, so that what a dying client
 *     knew is known.
 * W2. A lost connection makes it idle: the orchestrator says when to go on.
 */
import { Api } from "../harness/api.ts";
import { SeededRandom } from "../harness/random.ts";
import { SocketClient } from "../harness/socket_client.ts";
import { ClientTransaction, type Ended, isLost } from "./client_transaction.ts";
import { OneShot } from "./one_shot.ts";
import {
  cameToItsEnd,
  type Command,
  type Report,
  VANISHED_EXIT_CODE,
  type WorkerConfiguration,
} from "./worker_messages.ts";

const encoder = new TextEncoder();

function tell(report: Report): void {
  Deno.stdout.writeSync(encoder.encode(JSON.stringify(report) + "\n"));
}

class Worker {
  readonly #configuration: WorkerConfiguration;
  readonly #random: SeededRandom;
  #client: SocketClient;
  /** An unanswered one-shot, to be sent again. */
  #pending: OneShot | null = null;
  #stopping = false;
  #made = 0;

  constructor(configuration: WorkerConfiguration) {
    this.#configuration = configuration;
    this.#random = new SeededRandom(configuration.seed);
    this.#client = new SocketClient(configuration.socket);
  }

  stop(): void {
    this.#stopping = true;
  }

  /** Makes transactions until the count, a stop or a lost connection. */
  async go(transactions: number): Promise<void> {
    this.#stopping = false;
    this.#client.close();
    this.#client = new SocketClient(this.#configuration.socket);
    let remaining = transactions;
    try {
      await this.#sendPending();
      while (remaining > 0 && !this.#stopping) {
        if (await this.#one()) remaining -= 1;
      }
    } catch (error) {
      if (!isLost(error)) throw error;
    }
    tell({ kind: "idle", remaining });
  }

  /** One transaction; false where it did not come to an end that counts. */
  async #one(): Promise<boolean> {
    const api = new Api(this.#client);
    const { layers, seed, vanishes } = this.#configuration;
    const name = `client-${seed}-${++this.#made}`;
    if (this.#random.chance(0.15)) {
      this.#pending = await OneShot.plan(api, this.#random, layers, name);
      return await this.#sendPending();
    }
    const transaction = new ClientTransaction(api, this.#random, layers, {
      name,
      mayEndProcess: vanishes,
    });
    const ended = await transaction.run();
    if (ended === null) return false;
    this.#tellEnd(ended);
    if (ended.vanished && transaction.endsProcess) Deno.exit(VANISHED_EXIT_CODE);
    if (ended.vanished) this.#client.close();
    return cameToItsEnd(ended);
  }

  async #sendPending(): Promise<boolean> {
    if (this.#pending === null) return false;
    const ended = await this.#pending.send(new Api(this.#client));
    this.#pending = null;
    if (ended !== null) this.#tellEnd(ended);
    return ended !== null;
  }

  #tellEnd(ended: Ended): void {
    tell({ kind: "outcome", ...ended });
  }
}

async function main(): Promise<void> {
  const configuration: WorkerConfiguration = JSON.parse(Deno.args[0] ?? "");
  const worker = new Worker(configuration);
  let running: Promise<void> = Promise.resolve();
  let text = "";
  for await (const part of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    text += part;
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) {
      const command: Command = JSON.parse(line);
      if (command.kind === "stop") {
        worker.stop();
        continue;
      }
      const transactions = command.kind === "go" ? command.transactions : 0;
      running = running.then(() => worker.go(transactions)).catch((error) => {
        tell({ kind: "broken", detail: error instanceof Error ? String(error.stack) : `${error}` });
        Deno.exit(1);
      });
    }
  }
  await running;
}

await main();
