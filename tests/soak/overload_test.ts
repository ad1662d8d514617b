/**
 * Ten times the load that the daemon can serve, sent without waiting for answers. It commits or
 * refuses within bounds, its memory stays bounded, and its latency is back to normal within
 * seconds of the last answer.
 */
import { assert, assertEquals } from "@std/assert";
import { Api, create, put } from "../harness/api.ts";
import { report, scaled } from "../harness/scale.ts";
import { type Registered, scenario, type Scene } from "../harness/scene.ts";
import { SocketClient } from "../harness/socket_client.ts";

const MEASURED_MS = 700;
const OVERLOAD_MS = scaled({ reduced: 600, full: 10_000 });
const CLIENTS = 8;
const LAYERS = 64;
/** What the test's own process can hold open. */
const REQUESTS_MAX = scaled({ reduced: 2_000, full: 10_000 });
const ANSWER_MS_MAX = 60_000;
const MEMORY_MIB_MAX = 700;
const RECOVERY_MS_MAX = 5_000;

scenario("ten times the load is answered within bounds, and goes by", async (scene) => {
  const repository = await scene.repository();
  await scene.api.apply(
    Array.from({ length: LAYERS }, (_, n) => create(repository.name, `load/${n}`)),
  );
  const normalMs = await latencyMs(scene, repository);
  const perSecond = await measure(scene, repository);
  const { statuses, slowestMs, memoryMiB } = await flood(scene, repository, perSecond * 10);
  const recoveredMs = await backToNormal(scene, repository, Math.max(10 * normalMs, 250));
  report(
    `overload: ${perSecond.toFixed(0)} commits/s served, then ${
      [...statuses].map(([status, count]) => `${count} × ${status}`).join(", ")
    }, slowest ${slowestMs.toFixed(0)} ms, ${memoryMiB.toFixed(0)} MiB at most, normal (${
      normalMs.toFixed(0)
    } ms) again after ${recoveredMs.toFixed(0)} ms`,
  );
  const others = [...statuses.keys()].filter((status) => ![200, 423, 429].includes(status));
  assertEquals(others, []);
  assert((statuses.get(200) ?? 0) > 0, "nothing was committed");
  assert(slowestMs < ANSWER_MS_MAX, `${slowestMs} ms`);
  assert(memoryMiB < MEMORY_MIB_MAX, `${memoryMiB} MiB`);
  assert(recoveredMs < RECOVERY_MS_MAX, `${recoveredMs} ms`);
  assertEquals(await scene.api.locks(), { locks: [], waits_for: [] });
});

function commit(api: Api, { name }: Registered, n: number) {
  return api.tryApply([put(name, `load/${n % LAYERS}`, "n", `${n}`)]);
}

async function latencyMs(scene: Scene, repository: Registered): Promise<number> {
  const started = performance.now();
  assertEquals((await commit(scene.api, repository, 0)).status, 200);
  return performance.now() - started;
}

/** Commits a second from clients that wait for their answers. */
async function measure(scene: Scene, repository: Registered): Promise<number> {
  const until = performance.now() + MEASURED_MS;
  let done = 0;
  await Promise.all(Array.from({ length: CLIENTS }, async (_, client) => {
    const connection = new SocketClient(scene.home.socket);
    while (performance.now() < until) {
      assertEquals((await commit(new Api(connection), repository, client)).status, 200);
      done += 1;
    }
    connection.close();
  }));
  return done / (MEASURED_MS / 1_000);
}

/** Sends at a rate, whatever comes back. */
async function flood(scene: Scene, repository: Registered, perSecond: number) {
  const statuses = new Map<number, number>();
  let [slowestMs, memoryMiB, sent] = [0, 0, 0];
  const answers: Promise<void>[] = [];
  const started = performance.now();
  const total = Math.min(REQUESTS_MAX, Math.ceil((perSecond * OVERLOAD_MS) / 1_000));
  while (sent < total) {
    const due = Math.min(total, ((performance.now() - started) / 1_000) * perSecond);
    for (; sent < due; sent++) answers.push(one(sent));
    memoryMiB = Math.max(memoryMiB, await scene.daemon.residentMiB());
    // The pace is the test: nothing else is awaited here.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const all = Promise.all(answers);
  while (await Promise.race([all.then(() => false), later()])) {
    memoryMiB = Math.max(memoryMiB, await scene.daemon.residentMiB());
  }
  return { statuses, slowestMs, memoryMiB };

  async function one(n: number): Promise<void> {
    const client = new SocketClient(scene.home.socket);
    const sentAt = performance.now();
    const { status } = await commit(new Api(client), repository, n);
    slowestMs = Math.max(slowestMs, performance.now() - sentAt);
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    client.close();
  }
}

function later(): Promise<boolean> {
  return new Promise((resolve) => setTimeout(() => resolve(true), 50));
}

/** How long until a commit takes no longer than this. */
async function backToNormal(
  scene: Scene,
  repository: Registered,
  normalMs: number,
): Promise<number> {
  const started = performance.now();
  while (performance.now() - started < RECOVERY_MS_MAX) {
    if (await latencyMs(scene, repository) <= normalMs) return performance.now() - started;
  }
  return Infinity;
}
