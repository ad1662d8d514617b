/**
 * HTTP/1.1 over a Unix socket, small enough to see every byte. Tests use it instead of
 * `fetch` so that they can send what no well-behaved client sends, half-close, and let
 * connections die at a chosen moment.
 *
 * C1. A connection carries one exchange at a time; a pooled one is never shared.
 * C2. A request is sent once. A connection that dies under it is {@link ConnectionLost},
 *     and the caller alone knows whether the outcome is unknown.
 */

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const CONNECT_TRIES_MAX = 1_000;
const CONNECT_PAUSE_MS = 10;

/**
 * Connects as a blocking socket does: where the daemon's backlog is full the kernel has a
 * blocking caller wait, and tells a non-blocking one to come again.
 */
async function connect(path: string): Promise<Deno.UnixConn> {
  for (let tries = 1;; tries++) {
    try {
      return await Deno.connect({ transport: "unix", path });
    } catch (error) {
      if (!(error instanceof Deno.errors.WouldBlock) || tries === CONNECT_TRIES_MAX) throw error;
      await new Promise((resolve) => setTimeout(resolve, CONNECT_PAUSE_MS));
    }
  }
}

/** The connection ended before the reply was complete. */
export class ConnectionLost extends Error {
  override readonly name = "ConnectionLost";
}

/** A complete reply. */
export class Reply {
  constructor(
    readonly status: number,
    readonly headers: Headers,
    readonly bytes: Uint8Array,
  ) {}

  get text(): string {
    return decoder.decode(this.bytes);
  }

  /** The parsed body; throws with the body's text where it is not JSON. */
  get json(): unknown {
    try {
      return JSON.parse(this.text);
    } catch (error) {
      throw new Error(`Reply ${this.status} is not JSON: ${this.text.slice(0, 500)}`, {
        cause: error,
      });
    }
  }
}

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as it is, instead of JSON. */
  readonly raw?: Uint8Array | string;
}

/** The bytes of one request. A body that is not raw is sent as JSON. */
export function encodeRequest(
  method: string,
  path: string,
  body?: unknown,
  options: RequestOptions = {},
): Uint8Array {
  const raw = options.raw ?? (body === undefined ? undefined : JSON.stringify(body));
  const bytes = typeof raw === "string" ? encoder.encode(raw) : raw ?? new Uint8Array();
  const headers = new Map([["host", "layerd"]]);
  if (raw !== undefined) {
    headers.set("content-type", "application/json");
    headers.set("content-length", String(bytes.length));
  } else if (method === "POST" || method === "PUT") {
    headers.set("content-length", "0");
  }
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    headers.set(name.toLowerCase(), value);
  }
  const head = [`${method} ${path} HTTP/1.1`];
  for (const [name, value] of headers) head.push(`${name}: ${value}`);
  return concat(encoder.encode(head.join("\r\n") + "\r\n\r\n"), bytes);
}

/** One connection, read through a buffer. */
export class Connection {
  readonly #conn: Deno.UnixConn;
  #buffer = new Uint8Array();

  private constructor(conn: Deno.UnixConn) {
    this.#conn = conn;
  }

  static async open(path: string): Promise<Connection> {
    return new Connection(await connect(path));
  }

  /** Writes all bytes; a peer that went away is {@link ConnectionLost}. */
  async send(data: Uint8Array | string): Promise<void> {
    let bytes = typeof data === "string" ? encoder.encode(data) : data;
    try {
      while (bytes.length > 0) bytes = bytes.subarray(await this.#conn.write(bytes));
    } catch (error) {
      throw new ConnectionLost("The peer closed while the request was sent", { cause: error });
    }
  }

  /** Sends the end of the stream and keeps reading. */
  async halfClose(): Promise<void> {
    await this.#conn.closeWrite();
  }

  close(): void {
    try {
      this.#conn.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  /** Reads one reply with its whole body. */
  async readReply(method = "GET"): Promise<Reply> {
    const { status, headers } = await this.readHead();
    if (status === 100) return await this.readReply(method);
    if (method === "HEAD" || status === 204 || status === 304) {
      return new Reply(status, headers, new Uint8Array());
    }
    if (headers.get("transfer-encoding")?.includes("chunked")) {
      const parts: Uint8Array[] = [];
      for await (const part of this.chunks()) parts.push(part);
      return new Reply(status, headers, concat(...parts));
    }
    const length = headers.get("content-length");
    const bytes = length === null ? await this.readToEnd() : await this.#take(Number(length));
    return new Reply(status, headers, bytes);
  }

  /** Reads the status line and headers only; the body follows by {@link chunks}. */
  async readHead(): Promise<{ status: number; headers: Headers }> {
    const statusLine = await this.#line();
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1]);
    if (Number.isNaN(status)) throw new Error(`Not an HTTP status line: ${statusLine}`);
    const headers = new Headers();
    for (let line = await this.#line(); line !== ""; line = await this.#line()) {
      const colon = line.indexOf(":");
      headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
    }
    return { status, headers };
  }

  /** The chunks of a chunked body, as they arrive. */
  async *chunks(): AsyncGenerator<Uint8Array> {
    while (true) {
      const size = parseInt(await this.#line(), 16);
      if (Number.isNaN(size)) throw new Error("Malformed chunk size");
      const bytes = await this.#take(size);
      await this.#line();
      if (size === 0) return;
      yield bytes;
    }
  }

  /** Everything until the peer closes. */
  async readToEnd(): Promise<Uint8Array> {
    try {
      while (true) await this.#fill();
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
    }
    const bytes = this.#buffer;
    this.#buffer = new Uint8Array();
    return bytes;
  }

  async #line(): Promise<string> {
    while (true) {
      const end = this.#buffer.indexOf(10);
      if (end >= 0) {
        const line = decoder.decode(this.#buffer.subarray(0, end));
        this.#buffer = this.#buffer.subarray(end + 1);
        return line.endsWith("\r") ? line.slice(0, -1) : line;
      }
      await this.#fill();
    }
  }

  async #take(count: number): Promise<Uint8Array> {
    if (this.#buffer.length < count) {
      const parts = [this.#buffer];
      let have = this.#buffer.length;
      while (have < count) {
        const part = await this.#read();
        parts.push(part);
        have += part.length;
      }
      this.#buffer = concat(...parts);
    }
    const bytes = this.#buffer.slice(0, count);
    this.#buffer = this.#buffer.subarray(count);
    return bytes;
  }

  async #fill(): Promise<void> {
    const part = await this.#read();
    this.#buffer = concat(this.#buffer, part);
  }

  async #read(): Promise<Uint8Array<ArrayBuffer>> {
    const part = new Uint8Array(65_536);
    let count: number | null;
    try {
      count = await this.#conn.read(part);
    } catch (error) {
      throw new ConnectionLost("The connection broke", { cause: error });
    }
    if (count === null) throw new ConnectionLost("The peer closed the connection");
    return part.subarray(0, count);
  }
}

/** A client with a pool of kept-alive connections. */
export class SocketClient {
  readonly #path: string;
  #idle: Connection[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  /** One exchange. Rejects with {@link ConnectionLost} where the outcome is unknown. */
  async request(
    method: string,
    path: string,
    body?: unknown,
    options: RequestOptions = {},
  ): Promise<Reply> {
    const connection = this.#idle.pop() ?? await Connection.open(this.#path);
    try {
      await connection.send(encodeRequest(method, path, body, options));
      const reply = await connection.readReply(method);
      if (reply.headers.get("connection")?.toLowerCase() === "close") connection.close();
      else this.#idle.push(connection);
      return reply;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** Sends a request on a connection of its own and closes that without reading the reply. */
  async sendAndLeave(method: string, path: string, body?: unknown): Promise<void> {
    const connection = await Connection.open(this.#path);
    await connection.send(encodeRequest(method, path, body));
    connection.close();
  }

  /** Closes idle connections; for after a restart of the daemon, and at the end. */
  close(): void {
    for (const connection of this.#idle) connection.close();
    this.#idle = [];
  }
}

function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
