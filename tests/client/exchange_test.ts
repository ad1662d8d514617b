import { assertEquals, assertRejects } from "@std/assert";
import { Exchange } from "../../src/client/exchange.ts";
import { ConnectionLost, DaemonUnreachable, LayerdProblem } from "../../src/client/problem.ts";

/** Runs `act` against a server on a socket of its own; both are gone afterwards. */
async function withServer(
  handler: (request: Request) => Response | Promise<Response>,
  act: (exchange: Exchange) => Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir();
  const path = `${directory}/s.sock`;
  const server = Deno.serve({ path, onListen() {} }, handler);
  const exchange = new Exchange(path);
  try {
    await act(exchange);
  } finally {
    exchange.close();
    await server.shutdown();
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("exchange.json() sends JSON with its type and length, and no type without a body", async () => {
  await withServer(async (request) =>
    Response.json({
      method: request.method,
      path: new URL(request.url).pathname,
      type: request.headers.get("content-type"),
      key: request.headers.get("idempotency-key"),
      body: await request.text(),
    }), async (exchange) => {
    assertEquals(
      await exchange.json({
        method: "POST",
        path: "/v1/a",
        json: { é: 1 },
        headers: { "idempotency-key": "k" },
      }),
      { method: "POST", path: "/v1/a", type: "application/json", key: "k", body: '{"é":1}' },
    );
    assertEquals(
      await exchange.json({ method: "POST", path: "/v1/b" }),
      { method: "POST", path: "/v1/b", type: null, key: null, body: "" },
    );
  });
});

Deno.test("exchange.bytes() answers bytes unchanged", async () => {
  const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => i % 256);
  await withServer(() => new Response(bytes), async (exchange) => {
    const answer = await exchange.bytes({ method: "GET", path: "/" });
    assertEquals(new Uint8Array(answer), bytes);
  });
});

Deno.test("exchange.json() rejects with the whole problem document", async () => {
  const problem = {
    type: "urn:layerd:error:write_conflict",
    title: "Write conflict",
    status: 409,
    detail: "somebody was faster",
    code: "write_conflict" as const,
    retryable: true,
    request_id: "r",
    conflicts: [],
  };
  await withServer(() => Response.json(problem, { status: 409 }), async (exchange) => {
    const error = await assertRejects(
      () => exchange.json({ method: "POST", path: "/" }),
      LayerdProblem,
      "somebody was faster",
    );
    assertEquals(error.problem, problem);
  });
});

Deno.test("exchange.json() does not take a bare error for a problem document", async () => {
  await withServer(() => new Response("no", { status: 400 }), async (exchange) => {
    await assertRejects(
      () => exchange.json({ method: "GET", path: "/" }),
      ConnectionLost,
      "400",
    );
  });
});

Deno.test("exchange.json() says that nobody answers at a socket that is not there", async () => {
  const exchange = new Exchange("/nowhere/s.sock");
  const error = await assertRejects(
    () => exchange.json({ method: "GET", path: "/" }),
    DaemonUnreachable,
    "/nowhere/s.sock",
  );
  assertEquals(error.permissionDenied, false);
  exchange.close();
});

Deno.test("exchange.json() says that nobody answers at the socket of a dead daemon", async () => {
  const directory = await Deno.makeTempDir();
  const path = `${directory}/s.sock`;
  Deno.listen({ transport: "unix", path }).close();
  const exchange = new Exchange(path);
  await assertRejects(() => exchange.json({ method: "GET", path: "/" }), DaemonUnreachable);
  exchange.close();
  await Deno.remove(directory, { recursive: true });
});

Deno.test("exchange.bytes() rejects when the connection ends in the middle of an answer", async () => {
  const directory = await Deno.makeTempDir();
  const path = `${directory}/s.sock`;
  const listener = Deno.listen({ transport: "unix", path });
  const served = (async () => {
    const conn = await listener.accept();
    await conn.read(new Uint8Array(1_000));
    await conn.write(new TextEncoder().encode("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"));
    conn.close();
  })();
  const exchange = new Exchange(path);
  await assertRejects(() => exchange.bytes({ method: "GET", path: "/" }), ConnectionLost);
  await served;
  exchange.close();
  listener.close();
  await Deno.remove(directory, { recursive: true });
});

Deno.test("exchange.lines() answers lines as they come, split anywhere", async () => {
  const parts = ['{"a":', '"é"}\n{"b"', ":2}\n"].map((text) => new TextEncoder().encode(text));
  await withServer(
    () => new Response(ReadableStream.from(parts)),
    async (exchange) => {
      const lines: string[] = [];
      for await (const line of exchange.lines({ method: "GET", path: "/" })) lines.push(line);
      assertEquals(lines, ['{"a":"é"}', '{"b":2}']);
    },
  );
});
