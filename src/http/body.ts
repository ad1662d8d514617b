/**
 * Request bodies.
 *
 * B1. Never more than the limit is held in memory, whatever the headers say.
 * B2. A JSON body is complete within REQUEST_BODY_MS_MAX; of an upload the next piece is.
 * B3. A body whose client went away is an error, never a shorter body.
 */
import { LayerdError } from "../core/errors.ts";
import { REQUEST_BODY_BYTES_MAX, REQUEST_BODY_MS_MAX } from "../core/limits.ts";
import { parseJsonBody } from "../protocol/json_body.ts";
import type { Clock } from "../system/clock.ts";

const JSON_TYPE = /^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?$/i;

/** The JSON value of the body; `{}` where there is none. */
export async function readJsonBody(request: Request, clock: Clock): Promise<unknown> {
  const declared = Number(request.headers.get("content-length") ?? 0);
  if (declared > REQUEST_BODY_BYTES_MAX) throw tooLarge();
  if (declared > 0) {
    requireJsonType(request.headers);
    return parseJsonBody(await receiveDeclared(request, clock));
  }
  if (request.body === null) return {};
  const bytes = await receive(request.body, clock);
  if (bytes.length > 0) requireJsonType(request.headers);
  return parseJsonBody(bytes);
}

/**
 * A body of known length, which HTTP then holds it to. Read in one piece: that costs a third
 * of reading it piece by piece.
 */
async function receiveDeclared(request: Request, clock: Clock): Promise<Uint8Array> {
  const late = Promise.withResolvers<never>();
  const timer = clock.after(REQUEST_BODY_MS_MAX, () => late.reject(tooSlow()));
  try {
    return new Uint8Array(await Promise.race([request.arrayBuffer(), late.promise]));
  } catch (error) {
    throw error instanceof LayerdError ? error : endedEarly(error);
  } finally {
    timer.cancel();
  }
}

function requireJsonType(headers: Headers): void {
  const type = headers.get("content-type");
  if (type === null || !JSON_TYPE.test(type.trim())) {
    const given = type === null ? "none" : JSON.stringify(type);
    const detail = `Content type must be application/json, not ${given}`;
    throw new LayerdError("unsupported_media_type", detail);
  }
  const encoding = headers.get("content-encoding") ?? "identity";
  if (encoding.toLowerCase() !== "identity") {
    const detail = `Content encoding ${JSON.stringify(encoding)} is not supported`;
    throw new LayerdError("unsupported_media_type", detail);
  }
}

async function receive(body: ReadableStream<Uint8Array>, clock: Clock): Promise<Uint8Array> {
  const reader = new TimedReader(body, clock);
  const chunks: Uint8Array[] = [];
  let size = 0;
  reader.start();
  try {
    for (;;) {
      const chunk = await reader.read();
      if (chunk === null) return joined(chunks, size);
      size += chunk.length;
      if (size > REQUEST_BODY_BYTES_MAX) {
        await reader.cancel();
        throw tooLarge();
      }
      chunks.push(chunk);
    }
  } finally {
    reader.stop();
  }
}

function joined(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const [first] = chunks;
  if (first !== undefined && chunks.length === 1) return first;
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

function tooLarge(): LayerdError {
  return new LayerdError(
    "payload_too_large",
    `A JSON body is at most ${REQUEST_BODY_BYTES_MAX} bytes; larger content goes through blobs`,
    { limit: REQUEST_BODY_BYTES_MAX },
  );
}

/** The client's fault, so a 4xx: 504 is for what the daemon waited for in vain. */
function tooSlow(): LayerdError {
  const detail = `The request body was not complete within ${REQUEST_BODY_MS_MAX} ms`;
  return new LayerdError("invalid_request", detail, { reason: "body_timeout" });
}

function endedEarly(cause: unknown): LayerdError {
  return new LayerdError("invalid_request", "The request body ended early", {}, cause);
}

/** The raw body of an upload, which errors when the client stops sending or goes away. */
export function uploadStream(request: Request, clock: Clock): ReadableStream<Uint8Array> {
  const body = request.body;
  if (body === null) return new Blob([]).stream();
  const reader = new TimedReader(body, clock);
  return new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      reader.start();
      try {
        const chunk = await reader.read();
        if (chunk === null) controller.close();
        else controller.enqueue(chunk);
      } finally {
        reader.stop();
      }
    },
    cancel: () => reader.cancel(),
  }, { highWaterMark: 0 });
}

/** Reads a body under a time limit that runs between start() and stop(). */
class TimedReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #clock: Clock;
  #timer: { cancel(): void } | null = null;
  /** Set once the time is over: the end of the cancellation. */
  #cancelled: Promise<void> | null = null;

  constructor(body: ReadableStream<Uint8Array>, clock: Clock) {
    this.#reader = body.getReader();
    this.#clock = clock;
  }

  start(): void {
    this.#timer = this.#clock.after(REQUEST_BODY_MS_MAX, () => {
      // A read that is waiting then ends as if the body did.
      this.#cancelled = this.cancel();
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** The next piece, or null at the end. */
  async read(): Promise<Uint8Array | null> {
    const { done, value } = await this.#next();
    if (this.#cancelled !== null) {
      await this.#cancelled;
      throw tooSlow();
    }
    return done ? null : value;
  }

  async cancel(): Promise<void> {
    await this.#reader.cancel();
  }

  async #next(): Promise<ReadableStreamReadResult<Uint8Array>> {
    try {
      return await this.#reader.read();
    } catch (error) {
      throw endedEarly(error);
    }
  }
}
