/**
 * A daemon for the SDK's test, by what Deno and Node both have, and a proxy before its socket
 * that breaks connections where a test wants them broken. Run from the project's folder.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Layerd, type Pace } from "../../src/client/layerd.ts";

/** No test waits for the backoff. */
const PACE: Pace = {
  sleep: () => new Promise((resolve) => setTimeout(resolve)),
  random: () => 0.5,
};

export class SdkStage {
  readonly #directory = mkdtempSync(join(tmpdir(), "layerd-sdk-"));
  readonly #layerd: Layerd[] = [];
  #daemon: ReturnType<typeof spawn> | null = null;

  get socket(): string {
    return join(this.#directory, "s.sock");
  }

  /** Starts the daemon and answers when it is ready; it serves the repository `app`. */
  async start(): Promise<void> {
    const repository = join(this.#directory, "app");
    execFileSync("git", ["init", "-q", repository]);
    const daemon = spawn("scripts/layerd", [
      "serve",
      "--socket",
      this.socket,
      "--state-dir",
      join(this.#directory, "state"),
      "--repository",
      `app=${repository}`,
    ], { stdio: ["ignore", "pipe", "inherit"] });
    this.#daemon = daemon;
    const ready = await Promise.race([
      once(daemon.stdout, "data").then(() => true),
      once(daemon, "exit").then(() => false),
    ]);
    if (!ready) throw new Error("The daemon ended before it was ready");
  }

  async kill(): Promise<void> {
    const daemon = this.#daemon;
    if (daemon === null) return;
    this.#daemon = null;
    const ended = once(daemon, "exit");
    daemon.kill("SIGKILL");
    await ended;
  }

  /** A client; at the proxy's socket where one is given. */
  layerd(socketPath = this.socket): Layerd {
    const layerd = new Layerd({ socketPath, pace: PACE });
    this.#layerd.push(layerd);
    return layerd;
  }

  path(name: string): string {
    return join(this.#directory, name);
  }

  async close(): Promise<void> {
    for (const layerd of this.#layerd) layerd.close();
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Passes bytes on to the daemon until it is told to cut. */
export class Proxy {
  readonly #sockets = new Set<Socket>();
  readonly #server;
  /** Cuts a connection when the daemon has answered a request whose text holds this. */
  swallowAnswerTo: string | null = null;

  constructor(readonly socketPath: string, target: string) {
    this.#server = createServer((client) => {
      const daemon = connect(target);
      let asked = "";
      this.#keep(client);
      this.#keep(daemon);
      client.on("data", (bytes) => {
        asked = bytes.toString("latin1");
        daemon.write(bytes);
      });
      daemon.on("data", (bytes) => {
        if (this.swallowAnswerTo !== null && asked.includes(this.swallowAnswerTo)) {
          this.swallowAnswerTo = null;
          client.destroy();
        } else client.write(bytes);
      });
      client.on("close", () => daemon.destroy());
      daemon.on("close", () => client.destroy());
    });
  }

  async listen(): Promise<void> {
    this.#server.listen(this.socketPath);
    await once(this.#server, "listening");
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#sockets.delete(socket));
  }
}
