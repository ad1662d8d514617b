/**
 * Stands between the daemon and PostgreSQL: passes bytes on, and holds a statement, or the
 * answer to it, where a test wants it. Knows of the protocol only where messages end
 * (frontend/backend protocol 3: a type byte but for the first, then a length).
 */
import { Holds } from "./held_message.ts";

const decoder = new TextDecoder();

export class PostgresWire {
  readonly holds: Holds = new Holds();
  readonly #listener: Deno.Listener<Deno.UnixConn>;
  readonly #server: string;
  readonly #open = new Set<Deno.Conn>();

  private constructor(listener: Deno.Listener<Deno.UnixConn>, server: string) {
    this.#listener = listener;
    this.#server = server;
    this.#accept();
  }

  /** Listens in `directory` as PostgreSQL does in its own. */
  static listen(directory: string, serverSocket: string): PostgresWire {
    Deno.mkdirSync(directory, { recursive: true });
    const path = `${directory}/.s.PGSQL.5432`;
    return new PostgresWire(Deno.listen({ transport: "unix", path }), serverSocket);
  }

  close(): void {
    this.holds.clear();
    this.#listener.close();
    for (const connection of [...this.#open]) this.#drop(connection);
  }

  async #accept(): Promise<void> {
    for await (const client of this.#listener) {
      this.#open.add(client);
      this.#carry(client).catch((error) => {
        if (!isEnd(error)) throw error;
        this.#drop(client);
      });
    }
  }

  async #carry(client: Deno.Conn): Promise<void> {
    const server = await Deno.connect({ transport: "unix", path: this.#server });
    this.#open.add(server);
    const talk = new Conversation(client, server, this.holds);
    // Whichever side ends, the other learns it.
    await Promise.race([talk.requests(), talk.answers()]).catch((error) => {
      if (!isEnd(error)) throw error;
    });
    this.#drop(client);
    this.#drop(server);
  }

  #drop(connection: Deno.Conn): void {
    if (!this.#open.delete(connection)) return;
    connection.close();
  }
}

class Conversation {
  readonly #client: Deno.Conn;
  readonly #server: Deno.Conn;
  readonly #holds: Holds;
  /** The statement that is being answered. */
  #text = "";
  #answerHeld: (() => Promise<boolean>) | null = null;

  constructor(client: Deno.Conn, server: Deno.Conn, holds: Holds) {
    this.#client = client;
    this.#server = server;
    this.#holds = holds;
  }

  async requests(): Promise<void> {
    for await (const message of messagesOf(this.#client)) {
      const text = message[0] === 0x51 ? decoder.decode(message.subarray(5, -1)) : "";
      const held = text === "" ? null : this.#holds.take(text);
      if (held?.point === "before" && !await held.holds()) return;
      if (text !== "") this.#text = text;
      if (held?.point === "after") this.#answerHeld = () => held.holds();
      await writeAll(this.#server, message);
    }
  }

  async answers(): Promise<void> {
    const buffer = new Uint8Array(64 * 1024);
    for (let n = await this.#server.read(buffer); n !== null; n = await this.#server.read(buffer)) {
      const held = this.#answerHeld;
      this.#answerHeld = null;
      if (held !== null && !await held()) return;
      await writeAll(this.#client, buffer.subarray(0, n));
      this.#holds.notePassed(this.#text);
    }
  }
}

/** Whole messages of a client. */
async function* messagesOf(client: Deno.Conn): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(64 * 1024);
  let rest = new Uint8Array();
  let header = 0;
  for (let n = await client.read(buffer); n !== null; n = await client.read(buffer)) {
    const bytes = new Uint8Array(rest.length + n);
    bytes.set(rest);
    bytes.set(buffer.subarray(0, n), rest.length);
    rest = bytes;
    while (rest.length >= header + 4) {
      const length = header + new DataView(rest.buffer, rest.byteOffset).getUint32(header);
      if (rest.length < length) break;
      yield rest.subarray(0, length);
      rest = rest.subarray(length);
      header = 1;
    }
  }
}

export async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

/** Whether it only says that the other side is gone. */
export function isEnd(error: unknown): boolean {
  return error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted ||
    error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.ConnectionRefused || error instanceof Deno.errors.NotFound;
}
