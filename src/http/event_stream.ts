/**
 * The event stream: server-sent events, or NDJSON.
 *
 * S1. Events are pulled from the subscription only as the client reads, so a slow client's
 *     events wait in the bus's bounded queue, nowhere else.
 * S2. A stream ends when the subscription does (overflow, shutdown) and the subscription
 *     ends when the client goes: neither outlives the other.
 */
import type { Clock, Timer } from "../system/clock.ts";
import type { LayerdEvent, Subscription } from "../transactions/events.ts";
import { EVENT_STREAM_MEDIA_TYPE, NDJSON_MEDIA_TYPE } from "../protocol/events.ts";
import { type ServerSentEventMessage, ServerSentEventStream } from "@std/http";

/** Silence after which a line goes out that only shows that the connection lives. */
export const KEEPALIVE_MS = 15_000;

type Message = LayerdEvent | { readonly type: "overflow" };
/** What goes to the client; null only keeps the connection alive. */
type Line = Message | null;

/** The format that an `Accept` header asks for. */
export function eventFormatOf(accept: string | undefined): string {
  return accept?.includes(NDJSON_MEDIA_TYPE) ? NDJSON_MEDIA_TYPE : EVENT_STREAM_MEDIA_TYPE;
}

/** The body of an event stream. */
export function eventStream(
  subscription: Subscription,
  format: string,
  clock: Clock,
): ReadableStream<Uint8Array> {
  const lines = new ReadableStream<Line>(new EventSource(subscription, clock), {
    highWaterMark: 0,
  });
  if (format === NDJSON_MEDIA_TYPE) return lines.pipeThrough(ndjsonStream());
  return lines.pipeThrough(messages()).pipeThrough(new ServerSentEventStream());
}

function ndjsonStream(): TransformStream<Line, Uint8Array> {
  const encoder = new TextEncoder();
  return new TransformStream({
    transform: (line, controller) => {
      controller.enqueue(encoder.encode(line === null ? "\n" : JSON.stringify(line) + "\n"));
    },
  });
}

function messages(): TransformStream<Line, ServerSentEventMessage> {
  return new TransformStream(
    {
      // Sent at once, so that a client knows that it is subscribed before anything happens.
      start: (controller) => controller.enqueue({ comment: " layerd" }),
      transform: (line, controller) => controller.enqueue(messageOf(line)),
    },
    undefined,
    { highWaterMark: 1 },
  );
}

function messageOf(line: Line): ServerSentEventMessage {
  if (line === null) return { comment: "" };
  const data = JSON.stringify(line);
  return "id" in line ? { id: line.id, event: line.type, data } : { event: line.type, data };
}

/** Pulls a subscription; puts a keepalive where it is silent. */
class EventSource implements UnderlyingDefaultSource<Line> {
  readonly #subscription: Subscription;
  readonly #iterator: AsyncIterator<Message>;
  readonly #clock: Clock;
  /** Kept over a keepalive: an iterator's next() must not be called twice for one event. */
  #next: Promise<IteratorResult<Message>> | null = null;

  constructor(subscription: Subscription, clock: Clock) {
    this.#subscription = subscription;
    this.#iterator = subscription[Symbol.asyncIterator]();
    this.#clock = clock;
  }

  async pull(controller: ReadableStreamDefaultController<Line>): Promise<void> {
    this.#next ??= this.#iterator.next();
    const result = await this.#within(this.#next);
    if (result === "silence") {
      controller.enqueue(null);
      return;
    }
    this.#next = null;
    if (result.done) controller.close();
    else controller.enqueue(result.value);
  }

  cancel(): void {
    this.#subscription.close();
  }

  async #within<T>(next: Promise<T>): Promise<T | "silence"> {
    let timer: Timer | null = null;
    const silence = new Promise<"silence">((resolve) => {
      timer = this.#clock.after(KEEPALIVE_MS, () => resolve("silence"));
    });
    try {
      return await Promise.race([next, silence]);
    } finally {
      (timer as Timer | null)?.cancel();
    }
  }
}
