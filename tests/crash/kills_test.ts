/**
 * Many real kills: a daemon under load is killed at a random moment, started again, killed
 * again. After each start what was acknowledged is there in both repositories, and what was not
 * is whole or not at all; in the end `git fsck --strict` finds nothing.
 */
import { assert, assertEquals } from "@std/assert";
import { Api, create, put } from "../harness/api.ts";
import { git } from "../harness/git.ts";
import { SeededRandom } from "../harness/random.ts";
import { assertFsckClean, assertNothingLeftBehind } from "../harness/repositories.ts";
import { report, scaled, withSeed } from "../harness/scale.ts";
import { isolated, type Registered, type Scene } from "../harness/scene.ts";
import { ConnectionLost, SocketClient } from "../harness/socket_client.ts";

const KILLS = scaled({ reduced: 1, full: 500 });
const CLIENTS = 6;
/** The kill comes this long after the first answer, or during the start. */
const LOAD_MS_MAX = 150;

/** A client's layer, of the same name in each repository: it counts up in both at once. */
interface Counter {
  readonly layer: string;
  acknowledged: number;
  /** The last number that was asked for. */
  asked: number;
}

isolated("no acknowledged transaction is missing after any of many kills", async (scene) => {
  await withSeed(async (seed) => {
    const random = new SeededRandom(seed);
    await scene.start();
    const repositories = [await scene.repository(), await scene.repository()];
    const counters = Array.from({ length: CLIENTS }, (_, n): Counter => ({
      layer: `counter/${n}`,
      acknowledged: 0,
      asked: 0,
    }));
    await scene.api.apply(
      repositories.flatMap(({ name }) =>
        counters.flatMap(({ layer }) => [create(name, layer), put(name, layer, "n", "0")])
      ),
    );
    for (let kill = 1; kill <= KILLS; kill++) {
      await loadUntilKilled(scene, repositories, counters, random.integer(0, LOAD_MS_MAX));
      await scene.start();
      for (const counter of counters) await check(counter, repositories, `kill ${kill}`);
    }
    await scene.daemon.stop();
    for (const { path, commonDirectory } of repositories) {
      await assertFsckClean(path);
      await assertNothingLeftBehind(commonDirectory);
    }
    const commits = counters.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
    report(`kills: seed ${seed}, ${KILLS} kills, ${commits} acknowledged commits, none missing`);
    assert(commits > 0, "nothing was acknowledged at all");
  });
});

async function loadUntilKilled(
  scene: Scene,
  repositories: readonly Registered[],
  counters: readonly Counter[],
  loadMs: number,
): Promise<void> {
  const first = Promise.withResolvers<void>();
  const clients = counters.map((counter) => count(scene, repositories, counter, first.resolve));
  await first.promise;
  // The one wait that is meant: the moment of death is random in time.
  await new Promise((resolve) => setTimeout(resolve, loadMs));
  await scene.daemon.kill();
  await Promise.all(clients);
}

/** Counts up until the daemon is gone. */
async function count(
  scene: Scene,
  repositories: readonly Registered[],
  counter: Counter,
  answered: () => void,
): Promise<void> {
  const client = new SocketClient(scene.home.socket);
  try {
    for (;;) {
      counter.asked = counter.acknowledged + 1;
      await new Api(client).apply(
        repositories.map(({ name }) => put(name, counter.layer, "n", `${counter.asked}`)),
        { lock_timeout_ms: 30_000 },
      );
      counter.acknowledged = counter.asked;
      answered();
    }
  } catch (error) {
    const gone = error instanceof ConnectionLost || error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.ConnectionRefused;
    if (!gone) throw error;
  } finally {
    client.close();
  }
}

async function check(
  counter: Counter,
  repositories: readonly Registered[],
  context: string,
): Promise<void> {
  const found = await Promise.all(
    repositories.map(({ path }) => git(path, ["show", `refs/layers/${counter.layer}:n`])),
  );
  const [one] = found;
  assertEquals(found, found.map(() => one), `${context}: ${counter.layer} differs`);
  const now = Number(one);
  assert(
    now === counter.acknowledged || now === counter.asked,
    `${context}: ${counter.layer} holds ${now}, acknowledged was ${counter.acknowledged}`,
  );
  counter.acknowledged = now;
}
