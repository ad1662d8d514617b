import { assertEquals } from "@std/assert";
import { type ServerSentEventMessage, ServerSentEventStream } from "../../src/http/std_http.ts";

async function encoded(...messages: ServerSentEventMessage[]): Promise<string> {
  const stream = ReadableStream.from(messages).pipeThrough(new ServerSentEventStream());
  return await new Response(stream).text();
}

Deno.test("ServerSentEventStream encodes every field, and data line by line", async () => {
  assertEquals(
    await encoded({ event: "e", data: "a\nb\r\nc", id: 1, retry: 5 }, { comment: "c" }),
    "event: e\ndata: a\ndata: b\ndata: c\nid: 1\nretry: 5\n\n:c\n\n",
  );
});

Deno.test("ServerSentEventStream refuses a line break in an event's type", async () => {
  const outcome = await encoded({ event: "a\nb" }).then(() => "encoded", (error) => error.name);
  assertEquals(outcome, "SyntaxError");
});
