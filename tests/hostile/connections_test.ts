/**
 * Hostile connections: what is not HTTP, half of it, too much of it, or none. The HTTP parser
 * may answer with a bare 400 or close; nobody else may notice.
 */
import { assert, assertEquals } from "@std/assert";
import { scaled } from "../harness/scale.ts";
import { sharedScenarios } from "../harness/scene.ts";
import type { Scene } from "../harness/scene.ts";
import { Connection, ConnectionLost, encodeRequest, type Reply } from "../harness/socket_client.ts";

const test = sharedScenarios();
const IDLE_CONNECTIONS = 2_000;
const SLOW_HEADERS = 50;
const SLOW_BODIES = 50;
const HEALTH = "GET /v1/health HTTP/1.1\r\nhost: layerd\r\n\r\n";
const MIB = 1_048_576;

const GARBAGE: Readonly<Record<string, string | Uint8Array>> = {
  "no request line": "GARBAGE\r\n\r\n",
  "an unknown version": "GET /v1/health HTTP/9.9\r\n\r\n",
  "a header without a colon": "GET /v1/health HTTP/1.1\r\nhost layerd\r\n\r\n",
  "a space before the colon": "GET /v1/health HTTP/1.1\r\nhost : layerd\r\n\r\n",
  "NUL in a header": "GET /v1/health HTTP/1.1\r\nhost: a\0b\r\n\r\n",
  "a negative length": "POST /v1/transactions HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
  "a length that is no number":
    "POST /v1/transactions HTTP/1.1\r\nhost: a\r\ncontent-length: ten\r\n\r\n",
  "two lengths":
    "POST /v1/transactions HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x",
  "a malformed chunk":
    "POST /v1/transactions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n" +
    "transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
  "a TLS greeting": new Uint8Array([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, ...Array(64).fill(7)]),
  "a megabyte of one header": `GET /v1/health HTTP/1.1\r\nx: ${"x".repeat(MIB)}\r\n\r\n`,
  "ten thousand headers": `GET /v1/health HTTP/1.1\r\n${"a: b\r\n".repeat(10_000)}\r\n`,
  "a megabyte of path": `GET /${"p".repeat(MIB)} HTTP/1.1\r\nhost: a\r\n\r\n`,
};

for (const [name, bytes] of Object.entries(GARBAGE)) {
  test(`daemon refuses or drops ${name}`, async (scene) => {
    const reply = await exchange(scene, bytes);
    if (reply !== null) {
      assert(reply.status >= 400 && reply.status < 500, `${reply.status}: ${reply.text}`);
    }
    await assertWell(scene);
  });
}

test("an odd Host header or none is no error of the daemon's", async (scene) => {
  const hosts = ["[", "a b", "%zz", "a:99999", "", "ü", "a/b?c#d", "@", "..", "x".repeat(5_000)];
  const requests = hosts.map((host) => `GET /v1/health HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
  for (const request of [...requests, "GET /v1/health HTTP/1.0\r\n\r\n"]) {
    const reply = await exchange(scene, request);
    if (reply !== null) assert(reply.status < 500, `${request}: ${reply.status} ${reply.text}`);
  }
});

test("odd request targets are not found, not errors of the daemon's", async (scene) => {
  const targets = [
    "//",
    "//v1/health",
    "/v1//health",
    "/%",
    "/%zz",
    "/v1/%ff",
    "/ü",
    "/?",
    "/v1/../v1",
  ];
  for (const target of [...targets, "http://evil/v1/nope", "/v1/transactions/%zz"]) {
    const reply = await exchange(scene, `GET ${target} HTTP/1.1\r\nhost: layerd\r\n\r\n`);
    if (reply !== null) {
      assert(reply.status >= 400 && reply.status < 500, `${target}: ${reply.status} ${reply.text}`);
    }
  }
});

test("daemon answers a request before pipelined garbage", async (scene) => {
  const connection = await Connection.open(scene.home.socket);
  try {
    await connection.send(`${HEALTH}GARBAGE\r\n\r\n`);
    assertEquals((await connection.readReply()).status, 200);
    await connection.readToEnd();
  } finally {
    connection.close();
  }
  await assertWell(scene);
});

test("daemon answers pipelined requests in order", async (scene) => {
  const connection = await Connection.open(scene.home.socket);
  try {
    const version = "GET /v1/version HTTP/1.1\r\nhost: layerd\r\n\r\n";
    await connection.send(version + HEALTH + version);
    const replies = [];
    for (let n = 0; n < 3; n++) replies.push((await connection.readReply()).text);
    assertEquals(replies[0], replies[2]);
    assertEquals(replies[1]?.includes('"uptime_ms"'), true);
  } finally {
    connection.close();
  }
});

test("a body that ends early is no request", async (scene) => {
  const before = await openCount(scene);
  const connection = await Connection.open(scene.home.socket);
  try {
    await connection.send(
      "POST /v1/transactions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n" +
        "content-length: 100\r\n\r\n{}",
    );
    await connection.halfClose();
    const reply = await answer(connection);
    if (reply !== null) assert(reply.status >= 400 && reply.status < 500, reply.text);
  } finally {
    connection.close();
  }
  await assertWell(scene);
  assertEquals(await openCount(scene), before);
});

test("a chunked body over the limit is payload_too_large or cut off", async (scene) => {
  const chunk = `100000\r\n${" ".repeat(MIB)}\r\n`;
  const connection = await Connection.open(scene.home.socket);
  try {
    await connection.send(
      "POST /v1/transactions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n" +
        "transfer-encoding: chunked\r\n\r\n",
    );
    const reply = await Promise.all([sendChunks(connection, chunk, 24), answer(connection)]);
    if (reply[1] !== null) assertEquals(reply[1].status, 413);
  } finally {
    connection.close();
  }
  await assertWell(scene);
});

test("slow bodies hold nobody up and go with their clients", async (scene) => {
  const slow = await Promise.all(
    Array.from({ length: SLOW_BODIES }, () => Connection.open(scene.home.socket)),
  );
  try {
    const head = "POST /v1/transactions HTTP/1.1\r\nhost: a\r\n" +
      'content-type: application/json\r\ncontent-length: 1000\r\n\r\n{"message":"';
    for (const connection of slow) await connection.send(head);
    const { id } = await scene.api.begin();
    await scene.api.rollback(id);
    // The daemon's own patience, REQUEST_BODY_MS_MAX, takes half a minute: for the soak.
    if (scaled({ reduced: 0, full: 1 }) === 1) {
      for (const connection of slow) {
        const reply = await answer(connection);
        if (reply !== null) assert(reply.status >= 400 && reply.status < 500, reply.text);
      }
    }
  } finally {
    for (const connection of slow) connection.close();
  }
  await assertWell(scene);
});

test("two thousand idle connections and slow headers hold nobody up", async (scene) => {
  const idle: Connection[] = [];
  try {
    for (let n = 0; n < IDLE_CONNECTIONS; n++) {
      idle.push(await Connection.open(scene.home.socket));
    }
    for (const connection of idle.slice(-SLOW_HEADERS)) {
      await connection.send("POST /v1/transactions HTTP/1.1\r\nhost: a\r\nx-slow: ");
    }
    await assertWell(scene);
    const { id } = await scene.api.begin();
    await scene.api.rollback(id);
    // Half of them speak in the end: they were accepted, not only queued.
    for (const connection of idle.slice(0, 20)) {
      await connection.send(HEALTH);
      assertEquals((await connection.readReply()).status, 200);
    }
  } finally {
    for (const connection of idle) connection.close();
  }
  await assertWell(scene);
});

test("HEAD and OPTIONS get an answer", async (scene) => {
  for (const method of ["HEAD", "OPTIONS"]) {
    const reply = await scene.daemon.client.request(method, "/v1/health");
    assert(reply.status < 500, `${method}: ${reply.status}`);
  }
});

/** Sends bytes on a connection of their own; the reply, or null where the daemon closed. */
async function exchange(scene: Scene, bytes: string | Uint8Array): Promise<Reply | null> {
  const connection = await Connection.open(scene.home.socket);
  try {
    const [, reply] = await Promise.all([
      connection.send(bytes).then(() => connection.halfClose()).catch(ignoreLost),
      answer(connection),
    ]);
    return reply;
  } finally {
    connection.close();
  }
}

async function sendChunks(connection: Connection, chunk: string, count: number): Promise<void> {
  try {
    for (let n = 0; n < count; n++) await connection.send(chunk);
    await connection.send("0\r\n\r\n");
  } catch (error) {
    ignoreLost(error);
  }
}

async function answer(connection: Connection): Promise<Reply | null> {
  try {
    return await connection.readReply();
  } catch (error) {
    ignoreLost(error);
    return null;
  }
}

/** A daemon may close on such a client at any moment. */
function ignoreLost(error: unknown): void {
  const lost = error instanceof ConnectionLost || error instanceof Deno.errors.NotConnected ||
    error instanceof Deno.errors.BrokenPipe;
  if (!lost) throw error;
}

async function assertWell(scene: Scene): Promise<void> {
  const connection = await Connection.open(scene.home.socket);
  try {
    await connection.send(encodeRequest("GET", "/v1/health"));
    assertEquals((await connection.readReply()).status, 200);
  } finally {
    connection.close();
  }
}

async function openCount(scene: Scene): Promise<number> {
  const health = await scene.api.get<{ transactions: { active: number } }>("/v1/health");
  return health.transactions.active;
}
