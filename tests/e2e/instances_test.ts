/** One daemon a state directory, one a repository, one a socket; and how a daemon ends. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { Api, create, problemOf, put, transactionIn } from "../harness/api.ts";
import { Daemon, DaemonRefused, homeIn } from "../harness/daemon.ts";
import { assertNothingLeftBehind, makeRepository } from "../harness/repositories.ts";
import { isolated, scenario } from "../harness/scene.ts";

scenario("the ready line names socket, pid and version", (scene) => {
  const { daemon } = scene;
  const version = (daemon.ready as { version?: unknown }).version;
  assertEquals(typeof version, "string");
  assertEquals(daemon.ready, {
    event: "ready",
    socket: scene.home.socket,
    pid: daemon.pid,
    version,
  });
  assertEquals((Deno.lstatSync(scene.home.socket).mode ?? 0) & 0o777, 0o600);
  return Promise.resolve();
});

scenario(
  "a second daemon on the same state directory is refused, naming the first",
  async (scene) => {
    const other = await homeIn(scene.home.directory, "b");
    const home = { ...other, stateDirectory: scene.home.stateDirectory };
    const refused = await assertRejects(() => Daemon.start(home), DaemonRefused);
    assert(refused.code !== 0);
    assertStringIncludes(refused.stderr, String(scene.daemon.pid));
    await scene.api.begin();
  },
);

scenario("a second daemon on a served repository is refused, naming the first", async (scene) => {
  const { path, name } = await scene.repository();
  const home = await homeIn(scene.home.directory, "b");
  const options = { repositories: { again: path } };
  const refused = await assertRejects(() => Daemon.start(home, options), DaemonRefused);
  assertStringIncludes(refused.stderr, String(scene.daemon.pid));
  const second = await Daemon.start(home);
  try {
    const { detail } = problemOf(
      await new Api(second.client).tryRegister("again", path),
      409,
      "repository_owned",
    );
    assertStringIncludes(detail, String(scene.daemon.pid));
    assertStringIncludes(detail, scene.home.stateDirectory);
  } finally {
    await second.kill();
  }
  await scene.api.apply([create(name, "still-works")]);
});

scenario("a live socket survives a second daemon's attempt", async (scene) => {
  const other = await homeIn(scene.home.directory, "b");
  const home = { ...other, socket: scene.home.socket };
  const refused = await assertRejects(() => Daemon.start(home), DaemonRefused);
  assertStringIncludes(refused.stderr, scene.home.socket);
  scene.daemon.client.close();
  await scene.api.begin();
});

scenario("a dead daemon's socket is replaced", async (scene) => {
  const before = Deno.lstatSync(scene.home.socket).ino;
  await scene.daemon.kill();
  assertEquals(Deno.lstatSync(scene.home.socket).isSocket, true);
  await scene.start();
  await scene.api.begin();
  assert(before !== Deno.lstatSync(scene.home.socket).ino || scene.daemon.pid > 0);
});

isolated("a file that is no socket is not replaced", async (scene) => {
  await Deno.writeTextFile(scene.home.socket, "precious");
  await assertRejects(() => scene.start(), DaemonRefused);
  assertEquals(await Deno.readTextFile(scene.home.socket), "precious");
});

isolated("a socket directory that others can enter is refused with the chmod", async (scene) => {
  const directory = scene.path("run-a");
  await Deno.chmod(directory, 0o755);
  const refused = await assertRejects(() => scene.start(), DaemonRefused);
  assertStringIncludes(refused.stderr, "chmod");
  assertStringIncludes(refused.stderr, directory);
});

isolated("a socket path over 107 bytes is refused by name", async (scene) => {
  const socket = `${scene.home.directory}/${"s".repeat(120)}/layerd.sock`;
  const refused = await assertRejects(
    () => Daemon.start({ ...scene.home, socket }),
    DaemonRefused,
  );
  assertStringIncludes(refused.stderr, socket);
});

isolated("--repository may name again what is registered", async (scene) => {
  const path = await makeRepository(scene.path("app"));
  const repositories = { app: path };
  await scene.start({ repositories });
  await scene.api.apply([create("app", "a")]);
  await scene.restart({ repositories });
  await scene.killAndRestart({ repositories });
  await scene.api.apply([put("app", "a", "x", "1")]);
  problemOf(await scene.api.tryRegister("app", path), 409, "repository_exists");
  problemOf(await scene.api.tryRegister("other", path), 409, "repository_exists");
});

scenario("SIGTERM with nothing open ends at once, exit 0, socket gone", async (scene) => {
  const startedAt = performance.now();
  assertEquals(await scene.daemon.stop(), 0);
  const tookMs = performance.now() - startedAt;
  assert(tookMs < 3_000, `Took ${tookMs} ms`);
  assertEquals(await exists(scene.home.socket), false);
});

scenario("drain refuses new begins and lets an open transaction finish", async (scene) => {
  const { name, path } = await scene.repository();
  await scene.api.apply([create(name, "a")]);
  const { id } = await scene.api.begin({ lease_ms: 60_000 });
  await scene.api.stage(id, put(name, "a", "x", "1"));
  scene.daemon.signal("SIGTERM");
  let refused = await scene.api.tryBegin();
  while (refused.status === 201) {
    await scene.api.rollback(transactionIn(refused, 201).id);
    refused = await scene.api.tryBegin();
  }
  problemOf(refused, 503, "draining");
  const ready = await scene.daemon.client.request("GET", "/v1/health/ready");
  assertEquals(ready.status, 503);
  assertEquals((await scene.api.commit(id)).state, "committed");
  assertEquals(await scene.daemon.ended(), 0);
  assertEquals(await exists(scene.home.socket), false);
  await assertNothingLeftBehind(`${path}/.git`);
  await scene.start();
  assertEquals(await scene.api.read(name, "a", "x"), "1");
});

scenario("drain rolls back what stays open, frees its locks, closes streams", async (scene) => {
  const { name, path } = await scene.repository();
  await scene.api.apply([create(name, "a")]);
  const { id } = await scene.api.begin({ lease_ms: 800 });
  await scene.api.stage(id, put(name, "a", "x", "1"));
  const stream = scene.daemon.client.request("GET", "/v1/events").then(
    () => "closed",
    () => "lost",
  );
  scene.daemon.signal("SIGTERM");
  assertEquals(await scene.daemon.ended(), 0);
  assert(["closed", "lost"].includes(await stream));
  await assertNothingLeftBehind(`${path}/.git`);
  await scene.start();
  assertEquals(await scene.api.read(name, "a", "x"), null);
  assertEquals(await scene.api.locks(), { locks: [], waits_for: [] });
});

scenario("POST /v1/shutdown drains like SIGTERM", async (scene) => {
  const reply = await scene.daemon.client.request("POST", "/v1/shutdown");
  assert(reply.status >= 200 && reply.status < 300, reply.text);
  assertEquals(await scene.daemon.ended(), 0);
  assertEquals(await exists(scene.home.socket), false);
});

scenario("an old daemon does not remove a newer one's socket", async (scene) => {
  // A user removed the socket by hand; another daemon with its own state took the path.
  await Deno.remove(scene.home.socket);
  const other = await homeIn(scene.home.directory, "b");
  const newer = await Daemon.start({ ...other, socket: scene.home.socket });
  try {
    assertEquals(await scene.daemon.stop(), 0);
    await new Api(newer.client).begin();
    assertEquals(Deno.lstatSync(scene.home.socket).isSocket, true);
  } finally {
    await newer.kill();
  }
});

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

isolated(
  "a registered --repository that is away does not keep the daemon from starting",
  async (scene) => {
    const path = await makeRepository(scene.path("app"));
    const options = { repositories: { app: path } };
    await scene.start(options);
    await Deno.rename(path, `${path}.away`);
    await scene.restart(options);
    const { json } = await scene.daemon.client.request("GET", "/v1/health");
    const health = json as { status: string; repositories: { findings: { detail: string }[] }[] };
    assertEquals(health.status, "degraded");
    assertStringIncludes(health.repositories[0]?.findings[0]?.detail ?? "", path);
  },
);

isolated("a --repository that was never there keeps the daemon from starting", async (scene) => {
  const options = { repositories: { app: scene.path("nowhere") } };
  const refused = await assertRejects(() => scene.start(options), DaemonRefused);
  assertStringIncludes(refused.stderr, scene.path("nowhere"));
});
