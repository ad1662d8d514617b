/**
 * The part of `@std/http` that the daemon uses, with the standard library's names and
 * signatures: `deno.json` maps `@std/http` here because the registry that serves the
 * standard library is not reachable where this project is built (see README, dependencies).
 */

/** HTTP status codes by name (RFC 9110). */
export const STATUS_CODE = {
  OK: 200,
  Created: 201,
  Accepted: 202,
  NoContent: 204,
  NotModified: 304,
} as const;

/** One message of a {@link ServerSentEventStream}. */
export interface ServerSentEventMessage {
  /** Ignored by the client. */
  comment?: string;
  /** Type of the event. */
  event?: string;
  /** Content; may have several lines. */
  data?: string;
  /** What a client sends back as `Last-Event-ID`. */
  id?: string | number;
  /** Reconnection time in milliseconds. */
  retry?: number;
}

const encoder = new TextEncoder();

function requireOneLine(value: string, name: string): void {
  if (/[\r\n]/.test(value)) {
    throw new SyntaxError(`Cannot encode a server-sent event: ${name} has a line break`);
  }
}

/** Encodes one message. */
function stringify(message: ServerSentEventMessage): Uint8Array {
  const lines: string[] = [];
  if (message.comment !== undefined) {
    requireOneLine(message.comment, "comment");
    lines.push(`:${message.comment}`);
  }
  if (message.event !== undefined) {
    requireOneLine(message.event, "event");
    lines.push(`event: ${message.event}`);
  }
  if (message.data !== undefined) {
    for (const line of message.data.split(/\r\n|\r|\n/)) lines.push(`data: ${line}`);
  }
  if (message.id !== undefined) {
    requireOneLine(String(message.id), "id");
    lines.push(`id: ${message.id}`);
  }
  if (message.retry !== undefined) lines.push(`retry: ${message.retry}`);
  return encoder.encode(lines.join("\n") + "\n\n");
}

/** Transforms messages into the bytes of a `text/event-stream` body. */
export class ServerSentEventStream extends TransformStream<ServerSentEventMessage, Uint8Array> {
  constructor() {
    super({
      transform: (message, controller) => controller.enqueue(stringify(message)),
    });
  }
}
