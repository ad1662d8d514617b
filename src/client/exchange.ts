/**
 * HTTP/1.1 over a Unix socket, on `node:http`, which Deno and Node both have. Deno's own
 * `fetch` reaches a Unix socket too, but asks for a network permission on the name in the URL.
 *
 * E1. A request is sent once. Nothing is repeated here: a repeat of a commit is the
 *     caller's decision, by idempotency key.
 * E2. Every rejection is LayerdProblem, DaemonUnreachable or ConnectionLost.
 * E3. Connections are kept alive and reused until close().
 */
import { Buffer } from "node:buffer";
import { Agent, type IncomingMessage, request as httpRequest } from "node:http";
import {
  ConnectionLost,
  DaemonUnreachable,
  LayerdProblem,
  type ProblemDocument,
} from "./problem.ts";

export interface Call {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** Path with its query, already escaped. */
  readonly path: string;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is. */
  readonly bytes?: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** The header of a request that may be repeated; none without a key. */
export function keyHeader(key: string | undefined): Record<string, string> {
  return key === undefined ? {} : { "idempotency-key": key };
}

export class Exchange {
  readonly #socketPath: string;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** The answer's bytes; a refusal is LayerdProblem. */
  async bytes(call: Call): Promise<Uint8Array> {
    const reply = await this.#open(call);
    const body = await readAll(reply);
    const status = reply.statusCode ?? 0;
    if (status >= 400) throw problemOf(status, body);
    return body;
  }

  /** The answer's text, undecoded beyond UTF-8. */
  async text(call: Call): Promise<string> {
    return new TextDecoder().decode(await this.bytes(call));
  }

  /** The answer as the wire contract types it. */
  async json<T>(call: Call): Promise<T> {
    const text = await this.text(call);
    try {
      return JSON.parse(text) as T;
    } catch (error) {
      throw new ConnectionLost(`The daemon's answer is not JSON: ${text.slice(0, 200)}`, {
        cause: error,
      });
    }
  }

  /** The lines of a stream that ends when the daemon, or `signal`, ends it. */
  async *lines(call: Call): AsyncGenerator<string> {
    const reply = await this.#open(call);
    const status = reply.statusCode ?? 0;
    if (status >= 400) throw problemOf(status, await readAll(reply));
    const decoder = new TextDecoder();
    let rest = "";
    try {
      for await (const chunk of reply) {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        yield* lines;
      }
    } catch (error) {
      if (call.signal?.aborted) return;
      throw lost(error);
    } finally {
      reply.destroy();
    }
  }

  /** Ends idle connections; the object can still be used. */
  close(): void {
    this.#agent.destroy();
  }

  #open(call: Call): Promise<IncomingMessage> {
    const body = call.json === undefined ? call.bytes : Buffer.from(JSON.stringify(call.json));
    return new Promise((resolve, reject) => {
      const request = httpRequest({
        socketPath: this.#socketPath,
        path: call.path,
        method: call.method,
        agent: this.#agent,
        ...(call.signal === undefined ? {} : { signal: call.signal }),
        headers: {
          host: "layerd",
          ...(call.json === undefined ? {} : { "content-type": "application/json" }),
          ...(body === undefined ? {} : { "content-length": body.length }),
          ...call.headers,
        },
      }, resolve);
      request.on("error", (error) => reject(this.#classify(error)));
      request.end(body);
    });
  }

  #classify(error: unknown): Error {
    const code = codeOf(error);
    if (code === "EACCES" || code === "EPERM") {
      return new DaemonUnreachable(this.#socketPath, true, error);
    }
    if (code === "ENOENT" || code === "ECONNREFUSED" || code === "ENOTSOCK") {
      return new DaemonUnreachable(this.#socketPath, false, error);
    }
    return lost(error);
  }
}

async function readAll(reply: IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of reply) chunks.push(chunk);
  } catch (error) {
    throw lost(error);
  }
  if (!reply.complete) throw new ConnectionLost("The daemon closed the connection in its answer");
  return Buffer.concat(chunks);
}

function lost(error: unknown): ConnectionLost {
  const message = error instanceof Error ? error.message : String(error);
  return new ConnectionLost(`The connection to the daemon broke: ${message}`, { cause: error });
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}

function problemOf(status: number, body: Uint8Array): Error {
  const text = new TextDecoder().decode(body);
  try {
    const problem: Partial<ProblemDocument> = JSON.parse(text);
    if (problem.code !== undefined && problem.detail !== undefined) {
      return new LayerdProblem(problem as ProblemDocument);
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return new ConnectionLost(`The daemon answered ${status} without a problem document: ${text}`);
}
