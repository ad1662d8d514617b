/** Health, events with resume, metrics, the OpenAPI document, the log. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { bodyOf, create, problemOf, put } from "../harness/api.ts";
import { git } from "../harness/git.ts";
import { makeCommit } from "../harness/repositories.ts";
import { scenario, type Scene, sharedScenarios } from "../harness/scene.ts";
import { Connection, encodeRequest } from "../harness/socket_client.ts";

const test = sharedScenarios();

interface Event {
  readonly id: string;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** A subscriber that reads events one by one. */
class Subscriber {
  readonly #connection: Connection;
  readonly #events: AsyncGenerator<Event>;

  private constructor(connection: Connection, events: AsyncGenerator<Event>) {
    this.#connection = connection;
    this.#events = events;
  }

  static async open(scene: Scene, after?: string): Promise<Subscriber> {
    const connection = await Connection.open(scene.home.socket);
    const query = after === undefined ? "" : `?after=${encodeURIComponent(after)}`;
    const headers = { accept: "application/x-ndjson" };
    await connection.send(encodeRequest("GET", `/v1/events${query}`, undefined, { headers }));
    const { status } = await connection.readHead();
    assertEquals(status, 200);
    return new Subscriber(connection, ndjson(connection));
  }

  /** The next event of which the test is true; others are passed over. */
  async next(matches: (event: Event) => boolean): Promise<Event> {
    while (true) {
      const { value, done } = await this.#events.next();
      if (done) throw new Error("The stream ended");
      if (matches(value)) return value;
    }
  }

  close(): void {
    this.#connection.close();
  }
}

async function* ndjson(connection: Connection): AsyncGenerator<Event> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const part of connection.chunks()) {
    text += decoder.decode(part, { stream: true });
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) if (line !== "") yield JSON.parse(line);
  }
}

test("health says what runs and how the repositories are", async (scene) => {
  const { name } = await scene.repository();
  const { id } = await scene.api.begin();
  const health = await scene.api.get<{
    status: string;
    pid: number;
    api_version: number;
    uptime_ms: number;
    transactions: { active: number; in_doubt: number; failed: number };
    wal: { bytes: number; segments: number; last_lsn: number; checkpoint_lsn: number };
    repositories: { name: string; status: string; findings: unknown[] }[];
  }>("/v1/health");
  assertEquals(health.status, "ok");
  assertEquals(health.pid, scene.daemon.pid);
  assertEquals(health.api_version, 1);
  assertEquals(health.transactions.active >= 1, true);
  assert(health.wal.last_lsn > 0 && health.wal.segments >= 1);
  const found = health.repositories.find((repository) => repository.name === name);
  assertEquals(found, { name, status: "healthy", findings: [] });
  await scene.api.rollback(id);
  for (const path of ["/v1/health/live", "/v1/health/ready", "/v1/version"]) {
    assertEquals((await scene.daemon.client.request("GET", path)).status, 200);
  }
});

test("events tell of transactions and layers, and resume after a cursor", async (scene) => {
  const { name, path } = await scene.repository();
  const live = await Subscriber.open(scene);
  const { id } = await scene.api.apply([create(name, "a"), put(name, "a", "x", "1")]);
  const committed = await live.next(({ type, data }) =>
    type === "transaction.committed" && JSON.stringify(data).includes(id)
  );
  const second = await scene.api.apply([put(name, "a", "x", "2")]);
  live.close();

  const resumed = await Subscriber.open(scene, committed.id);
  const next = await resumed.next(({ type }) => type === "transaction.committed");
  assertStringIncludes(JSON.stringify(next.data), second.id);
  const tip = await git(path, ["rev-parse", "refs/layers/a"]);
  const native = await makeCommit(path, tip, "native");
  await git(path, ["update-ref", "refs/layers/a", native]);
  await resumed.next(({ type, data }) =>
    type === "layer.changed" && JSON.stringify(data).includes(native)
  );
  resumed.close();
});

test("events come as server-sent events by default", async (scene) => {
  const connection = await Connection.open(scene.home.socket);
  try {
    await connection.send(encodeRequest("GET", "/v1/events"));
    const { headers } = await connection.readHead();
    assertEquals(headers.get("content-type")?.split(";")[0], "text/event-stream");
    const { id } = await scene.api.begin();
    await scene.api.rollback(id);
    let text = "";
    for await (const part of connection.chunks()) {
      text += new TextDecoder().decode(part);
      if (text.includes("transaction.rolled_back") && text.endsWith("\n\n")) break;
    }
    assertMatch(text, /^id: \S+$/m);
    assertMatch(text, /^event: transaction\.rolled_back$/m);
    assertMatch(text, /^data: \{.*\}$/m);
  } finally {
    connection.close();
  }
});

scenario("a cursor from before a restart is cursor_expired", async (scene) => {
  const { name } = await scene.repository();
  const live = await Subscriber.open(scene);
  await scene.api.apply([create(name, "a")]);
  const { id } = await live.next(({ type }) => type === "transaction.committed");
  live.close();
  await scene.killAndRestart();
  const query = `/v1/events?after=${encodeURIComponent(id)}`;
  problemOf(await scene.daemon.client.request("GET", query), 410, "cursor_expired");
});

test("metrics count transactions by outcome", async (scene) => {
  const { name } = await scene.repository();
  await scene.api.apply([create(name, "a")]);
  const reply = await scene.daemon.client.request("GET", "/v1/metrics");
  assertEquals(reply.status, 200);
  assertStringIncludes(reply.headers.get("content-type") ?? "", "text/plain");
  assertMatch(reply.text, /^# TYPE layerd_\S*transactions\S* counter$/m);
  assertMatch(reply.text, /^layerd_\S*transactions\S*\{[^}]*committed[^}]*\} [1-9]/m);
  assertMatch(reply.text, /^# TYPE layerd_commit\S* histogram$/m);
  for (const line of reply.text.split("\n")) {
    assertMatch(line, /^$|^#|^[a-z_:]+(\{[^}]*\})? [-+0-9.eInfNa]+$/);
  }
});

test("the OpenAPI document names the routes of the contract", async (scene) => {
  const document = await scene.api.get<{
    openapi: string;
    paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  }>("/v1/openapi.json");
  assertMatch(document.openapi, /^3\.1\./);
  const routes = Object.entries(document.paths).flatMap(([path, verbs]) =>
    Object.keys(verbs).map((verb) => `${verb} ${path.replace(/\{\w+\}/g, "{}")}`)
  );
  for (
    const route of [
      "post /v1/repositories",
      "get /v1/repositories/{}/tree",
      "get /v1/repositories/{}/file",
      "post /v1/transactions",
      "get /v1/transactions",
      "post /v1/transactions/{}/operations",
      "put /v1/transactions/{}/blobs",
      "post /v1/transactions/{}/commit",
      "post /v1/transactions/{}/savepoints/{}/rollback",
      "get /v1/transactions/{}/diff",
      "get /v1/locks",
      "get /v1/events",
      "get /v1/health",
      "post /v1/shutdown",
    ]
  ) {
    assert(routes.includes(route), `No ${route} among ${routes.join(", ")}`);
  }
});

scenario(
  "a checkpoint moves the log forward and a restart still knows everything",
  async (scene) => {
    const { name, path } = await scene.repository();
    const { id } = await scene.api.apply([create(name, "a"), put(name, "a", "x", "1")]);
    const prepared = await scene.api.begin();
    await scene.api.stage(prepared.id, put(name, "a", "x", "2"));
    await scene.api.prepare(prepared.id);
    const before = await scene.api.get<{ checkpoint_lsn?: number }>("/v1/wal");
    const reply = await scene.daemon.client.request("POST", "/v1/wal/checkpoint");
    bodyOf(reply, reply.status < 300 ? reply.status : 200);
    const after = await scene.api.get<{ checkpoint_lsn?: number }>("/v1/wal");
    assert((after.checkpoint_lsn ?? 0) > (before.checkpoint_lsn ?? 0));
    await scene.killAndRestart();
    assertEquals((await scene.api.transaction(id)).state, "committed");
    assertEquals((await scene.api.transaction(prepared.id)).state, "prepared");
    await scene.api.commit(prepared.id);
    assertEquals(await git(path, ["show", "refs/layers/a:x"]), "2");
  },
);

scenario(
  "a start makes a checkpoint of what it recovered, so that crashes do not add up",
  async (scene) => {
    const { name } = await scene.repository();
    await scene.api.apply([create(name, "a"), put(name, "a", "x", "1")]);
    type Wal = { last_lsn: number; checkpoint_lsn: number };
    const before = await scene.api.get<Wal>("/v1/wal");
    assert(before.checkpoint_lsn < before.last_lsn);
    await scene.killAndRestart();
    let after = await scene.api.get<Wal>("/v1/wal");
    const deadline = performance.now() + 20_000;
    while (after.checkpoint_lsn <= before.last_lsn) {
      assert(performance.now() < deadline, `No checkpoint: ${JSON.stringify(after)}`);
      after = await scene.api.get<Wal>("/v1/wal");
    }
  },
);
