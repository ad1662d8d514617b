/** The event stream: its request and its messages. */
import { z } from "zod";

/** `GET /v1/events` */
export const eventsQuery = z.strictObject({
  after: z.exactOptional(
    z.string().min(1).max(200).meta({
      description: "Id of the last event seen; a `Last-Event-ID` header goes before it",
    }),
  ),
});

/** One event, as a line of NDJSON and as the data of a server-sent event. */
export const event = z.object({
  id: z.string().meta({ description: "Resume behind this event with `after`" }),
  type: z.string().meta({
    description:
      "transaction.*, layer.changed, lock.*, saga.*, replica.*, health.*; `overflow` has no other " +
      "field and is last: the reader was too slow and has missed events",
    examples: ["transaction.committed", "layer.changed"],
  }),
  at: z.string().meta({ format: "date-time" }),
  data: z.record(z.string(), z.unknown()),
}).meta({ id: "Event" });

export const NDJSON_MEDIA_TYPE = "application/x-ndjson";
export const EVENT_STREAM_MEDIA_TYPE = "text/event-stream";
