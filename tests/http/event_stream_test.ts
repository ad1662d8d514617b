import { assert, assertEquals } from "@std/assert";
import { EVENT_QUEUE_MAX } from "../../src/core/limits.ts";
import { eventStream, KEEPALIVE_MS } from "../../src/http/event_stream.ts";
import { NDJSON_MEDIA_TYPE } from "../../src/protocol/events.ts";
import { RingEventBus } from "../../src/transactions/event_bus.ts";
import { problemOf } from "../harness/api.ts";
import { Connection, encodeRequest } from "../harness/socket_client.ts";
import { AppStage } from "./app_stage.ts";
import { HandClock } from "./hand_clock.ts";

/** An open event stream, read line by line. */
class Stream {
  private constructor(
    readonly connection: Connection,
    readonly contentType: string | null,
    readonly lines: AsyncGenerator<string>,
  ) {}

  static async open(
    stage: AppStage,
    query: string,
    headers: Record<string, string> = {},
  ): Promise<Stream> {
    const connection = await Connection.open(stage.path);
    const request = encodeRequest("GET", `/v1/events${query}`, undefined, { headers });
    await connection.send(request);
    const head = await connection.readHead();
    assertEquals(head.status, 200);
    return new Stream(connection, head.headers.get("content-type"), linesOf(connection.chunks()));
  }

  /** The next lines that say something. */
  async take(count: number): Promise<string[]> {
    const taken: string[] = [];
    while (taken.length < count) {
      const { value, done } = await this.lines.next();
      if (done) throw new Error(`The stream ended after ${taken.length} lines`);
      if (value !== "" && !value.startsWith(":")) taken.push(value);
    }
    return taken;
  }
}

async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

/** Waits for what follows a cancellation: it goes up the stages of a pipe task by task. */
async function until(condition: () => boolean): Promise<void> {
  for (let tasks = 0; tasks < 2_000; tasks++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  throw new Error("The condition did not come true");
}

const ndjson = { accept: NDJSON_MEDIA_TYPE };

Deno.test("streamEvents sends server-sent events with type, id and data", async () => {
  await using stage = await AppStage.open();
  const stream = await Stream.open(stage, "");
  assertEquals(stream.contentType, "text/event-stream");
  stage.events.publish("layer.changed", { layer: "a\nb" });
  const [type, data, id] = await stream.take(3);
  assertEquals([type, id], ["event: layer.changed", "id: 7-1"]);
  const event = JSON.parse(data?.slice("data: ".length) ?? "");
  assertEquals([event.id, event.type, event.data], ["7-1", "layer.changed", { layer: "a\nb" }]);
  stream.connection.close();
});

Deno.test("streamEvents resumes after a cursor, Last-Event-ID first", async () => {
  await using stage = await AppStage.open();
  for (let n = 1; n <= 4; n++) stage.events.publish("test", { n });
  const numbers = async (query: string, headers: Record<string, string>, count: number) => {
    const stream = await Stream.open(stage, query, { ...ndjson, ...headers });
    assertEquals(stream.contentType, NDJSON_MEDIA_TYPE);
    const lines = await stream.take(count);
    stream.connection.close();
    return lines.map((line) => JSON.parse(line).data.n);
  };
  assertEquals(await numbers("?after=7-1", {}, 3), [2, 3, 4]);
  assertEquals(await numbers("?after=7-1", { "last-event-id": "7-3" }, 1), [4]);
});

Deno.test("streamEvents refuses a cursor of another incarnation before it streams", async () => {
  await using stage = await AppStage.open();
  problemOf(await stage.client.request("GET", "/v1/events?after=6-1"), 410, "cursor_expired");
  problemOf(await stage.client.request("GET", "/v1/events?after=x"), 400, "invalid_request");
});

Deno.test("streamEvents lets go of its subscription when the client leaves", async () => {
  await using stage = await AppStage.open();
  const stream = await Stream.open(stage, "", ndjson);
  assertEquals(stage.events.subscribers, 1);
  stream.connection.close();
  // Whoever publishes learns nothing of it; the transport tells the stream.
  await until(() => stage.events.subscribers === 0);
  assertEquals((await stage.client.request("HEAD", "/v1/events")).status, 200);
  assertEquals(stage.events.subscribers, 0);
});

Deno.test("streamEvents ends when the bus is closed", async () => {
  await using stage = await AppStage.open();
  const stream = await Stream.open(stage, "", ndjson);
  stage.events.publish("test", {});
  await stream.take(1);
  stage.events.close();
  assertEquals((await stream.lines.next()).done, true);
  stream.connection.close();
});

Deno.test("streamEvents tells a reader that is too slow that it overflowed, and closes", async () => {
  await using stage = await AppStage.open();
  const stream = await Stream.open(stage, "", ndjson);
  const data = { text: "x".repeat(10_000) };
  stage.events.publish("test", data);
  await stream.take(1);
  // Far more than socket buffers and queue hold, while the client does not read.
  while (stage.events.subscribers > 0) stage.events.publish("test", data);
  let last = "";
  let count = 0;
  for await (const line of stream.lines) {
    last = line;
    count += 1;
  }
  assertEquals(JSON.parse(last), { type: "overflow" });
  assert(count > EVENT_QUEUE_MAX, `${count} lines`);
  stream.connection.close();
});

Deno.test("eventStream() breaks a silence by a line that says nothing", async () => {
  const clock = new HandClock();
  const bus = new RingEventBus({ clock, incarnation: 1 });
  for (const [format, line] of [[NDJSON_MEDIA_TYPE, "\n"], ["text/event-stream", ":\n\n"]]) {
    const reader = eventStream(bus.subscribe(null), format ?? "", clock)
      .pipeThrough(new TextDecoderStream()).getReader();
    if (line !== "\n") assertEquals((await reader.read()).value, ": layerd\n\n");
    const silent = reader.read();
    await clock.fire(KEEPALIVE_MS);
    assertEquals((await silent).value, line);
    const next = reader.read();
    bus.publish("test", {});
    assert((await next).value?.includes('"type":"test"'));
    await reader.cancel();
    await until(() => bus.subscribers === 0);
  }
});
