/**
 * Stands between the daemon and a service: passes each call on, and holds it or its answer
 * where a test wants it, or misbehaves in the service's stead.
 */
import { Holds } from "./held_message.ts";
import { isEnd, writeAll } from "./postgres_wire.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What becomes of one call; `done` says that the service does its work. */
export type Misbehaviour =
  | {
    readonly kind: "answers";
    readonly status: number;
    readonly body: string;
    readonly done: boolean;
  }
  | { readonly kind: "drops"; readonly done: boolean }
  /** Keeps the answer for so long; the daemon has given up by then, or not. */
  | { readonly kind: "late"; readonly ms: number };

export class ServiceWire {
  readonly holds: Holds = new Holds();
  misbehave: (verb: string) => Misbehaviour | null = () => null;
  readonly #listener: Deno.TcpListener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #port: number;
  readonly #open = new Set<Deno.Conn>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();

  /** `port` is the service's. */
  constructor(port: number) {
    this.#port = port;
    this.#accept();
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${this.#listener.addr.port}`;
  }

  close(): void {
    this.holds.clear();
    this.#listener.close();
    for (const timer of this.#timers) clearTimeout(timer);
    for (const connection of [...this.#open]) this.#drop(connection);
  }

  async #accept(): Promise<void> {
    for await (const client of this.#listener) {
      this.#open.add(client);
      this.#serve(client).catch((error) => {
        if (!isEnd(error)) throw error;
      }).finally(() => this.#drop(client));
    }
  }

  async #serve(client: Deno.Conn): Promise<void> {
    const request = await readRequest(client);
    if (request === null) return;
    const verb = /^POST \/(\w+) /.exec(request.head)?.[1] ?? "";
    const odd = this.misbehave(verb);
    if (odd !== null && odd.kind !== "late" && !odd.done) {
      if (odd.kind === "answers") await writeAll(client, answerOf(odd));
      return;
    }
    const held = this.holds.take(verb);
    if (held?.point === "before" && !await held.holds()) return;
    const answer = await this.#ask(request.bytes);
    if (held?.point === "after" && !await held.holds()) return;
    if (odd?.kind === "drops") return;
    if (odd?.kind === "late") await this.#wait(odd.ms);
    await writeAll(client, odd?.kind === "answers" ? answerOf(odd) : answer);
    this.holds.notePassed(verb);
  }

  async #ask(request: Uint8Array): Promise<Uint8Array> {
    const service = await Deno.connect({ hostname: "127.0.0.1", port: this.#port });
    this.#open.add(service);
    try {
      await writeAll(service, request);
      const parts: Uint8Array[] = [];
      const buffer = new Uint8Array(16 * 1024);
      for (let n = await service.read(buffer); n !== null; n = await service.read(buffer)) {
        parts.push(buffer.slice(0, n));
      }
      return joined(parts);
    } finally {
      this.#drop(service);
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        resolve();
      }, ms);
      this.#timers.add(timer);
    });
  }

  #drop(connection: Deno.Conn): void {
    if (!this.#open.delete(connection)) return;
    connection.close();
  }
}

/** One request, whole; null where the caller went away. */
async function readRequest(client: Deno.Conn) {
  const buffer = new Uint8Array(64 * 1024);
  const parts: Uint8Array[] = [];
  for (let n = await client.read(buffer); n !== null; n = await client.read(buffer)) {
    parts.push(buffer.slice(0, n));
    const bytes = joined(parts);
    const text = decoder.decode(bytes);
    const end = text.indexOf("\r\n\r\n");
    const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
    if (end >= 0 && bytes.length >= end + 4 + length) return { head: text.slice(0, end), bytes };
  }
  return null;
}

function answerOf(
  { status, body }: { readonly status: number; readonly body: string },
): Uint8Array {
  return encoder.encode(
    `HTTP/1.1 ${status} Odd\r\ncontent-length: ${encoder.encode(body).length}\r\n` +
      `connection: close\r\n\r\n${body}`,
  );
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
