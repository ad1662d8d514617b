/**
 * Power loss on a real file system. Repositories and state directory stand on an ext4 image;
 * at a random moment of the load the daemon is stopped (SIGSTOP), and the image's file is copied
 * as it stands, without a sync. The copy is mounted and recovered: what was acknowledged
 * before the stop is there, objects included.
 *
 * That the method sees a missing fsync is shown by the second test: the same, with one kind of
 * sync turned into nothing by strace, must lose something.
 *
 * Where no image can be mounted the same promise is put to the simulated disk, at calls of some
 * scenarios, and the report says so; the soak fails there, since it promises the real thing.
 */
import { assert, assertEquals } from "@std/assert";
import { Api, create, put } from "../harness/api.ts";
import { Daemon, type DaemonHome } from "../harness/daemon.ts";
import { tryGit } from "../harness/git.ts";
import { SeededRandom } from "../harness/random.ts";
import { makeRepository } from "../harness/repositories.ts";
import { isFullScale, report, scaled, withSeed } from "../harness/scale.ts";
import { ConnectionLost, SocketClient } from "../harness/socket_client.ts";
import { crashAll, type CrashPlan, emptyTally } from "../sim/crash_points.ts";
import { SCENARIOS } from "../sim/scenarios.ts";
import { Image } from "./image.ts";
import { Strace } from "./strace.ts";

const ROUNDS = scaled({ reduced: 1, full: 20 });
const CLIENTS = 4;
const IMAGE_MIB = 160;
const LOAD_MS_MAX = 400;
/** Scenarios of tests/sim that stand in where no image can be mounted. */
const SIMULATED = ["two repositories", "several clients in one group", "checkpoint"];
const SIMULATED_EVERY = 4;

interface Stage {
  readonly image: Image;
  readonly home: DaemonHome;
  readonly repositories: readonly string[];
}

/** What each client was told, newest last: layer, number and the commits of both repositories. */
interface Told {
  readonly layer: string;
  readonly n: number;
  readonly commits: readonly (string | null)[];
}

Deno.test("what was acknowledged before a power loss is there after it, objects included", async () => {
  await withSeed(async (seed) => {
    const random = new SeededRandom(seed);
    await onImage(async (stage) => {
      let told = 0;
      for (let round = 1; round <= ROUNDS; round++) {
        const { acknowledged, losses } = await lose(stage, random, null);
        told += acknowledged;
        assertEquals(losses, [], `round ${round}`);
      }
      report(`power loss: seed ${seed}, ${ROUNDS} rounds, ${told} acknowledged commits, 0 lost`);
    }, onSimulatedDisks);
  });
});

// Ten seconds that say something of the method and not of the daemon: for the soak.
if (isFullScale()) {
  Deno.test("a power loss behind a daemon whose syncs do nothing is seen", async () => {
    await withSeed(async (seed) => {
      const random = new SeededRandom(seed);
      for (const call of ["fdatasync", "fsync"] as const) {
        await onImage(async (stage) => {
          const { losses } = await lose(stage, random, call);
          report(`power loss without ${call}: ${losses.length} losses: ${losses[0] ?? "none"}`);
          assert(losses.length > 0, `nothing was lost without ${call}: the method proves nothing`);
        }, () => Promise.resolve());
      }
    });
  });
}

/** Makes the stage; `instead` is played where mounting is not allowed, and only in the suite. */
async function onImage(
  play: (stage: Stage) => Promise<void>,
  instead: () => Promise<void>,
): Promise<void> {
  const directory = await Deno.realPath(await Deno.makeTempDir({ prefix: "layerd-power-" }));
  try {
    const image = await Image.make(directory, IMAGE_MIB);
    if (!(image instanceof Image)) {
      const why = `no ext4 image can be mounted here (${image.why})`;
      assert(!isFullScale(), `${why}: run the soak as a user who may mount loop devices`);
      report(`power loss: ${why}; on the simulated disk instead:`);
      return await instead();
    }
    try {
      const on = (name: string) => `${image.mountPoint}/${name}`;
      await Deno.mkdir(`${directory}/run`, { mode: 0o700 });
      const home = {
        directory,
        socket: `${directory}/run/layerd.sock`,
        stateDirectory: on("state"),
      };
      const repositories = [await makeRepository(on("r1")), await makeRepository(on("r2"))];
      await play({ image, home, repositories });
    } finally {
      await image.unmount();
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Power lost at calls of some scenarios, on a disk that keeps as little as it may. */
async function onSimulatedDisks(): Promise<void> {
  const tally = emptyTally();
  const plan: CrashPlan = {
    tries: (point, crash) => crash === "all_lost" && point % SIMULATED_EVERY === 0,
    recoveryEvery: () => 0,
  };
  for (const scenario of SCENARIOS.filter(({ name }) => SIMULATED.includes(name))) {
    for (const kind of ["journaled", "adversarial"] as const) {
      await crashAll(scenario, kind, plan, tally);
    }
  }
  report(`power loss, simulated: ${tally.points} calls, ${tally.failures.length} violations`);
  assertEquals(tally.failures.map(({ where, error }) => `${where}: ${error}`), []);
  assert(tally.points > 0, "no power was lost at all");
}

/** One life under load, the loss, and what is missing afterwards. */
async function lose(
  { image, home, repositories }: Stage,
  random: SeededRandom,
  broken: "fsync" | "fdatasync" | null,
): Promise<{ readonly acknowledged: number; readonly losses: readonly string[] }> {
  const [r1 = "", r2 = ""] = repositories;
  const daemon = await Daemon.start(home, { repositories: { r1, r2 } });
  const strace = broken === null
    ? null
    : await Strace.attach(daemon.pid, { call: broken, fault: "NOTHING", at: 1, paths: [] });
  const told: Told[] = [];
  const first = Promise.withResolvers<void>();
  const clients = Array.from(
    { length: CLIENTS },
    (_, n) => keepCommitting(home.socket, `l${random.integer(1, 1e9)}/${n}`, told, first.resolve),
  );
  await first.promise;
  await new Promise((resolve) => setTimeout(resolve, random.integer(50, LOAD_MS_MAX)));
  daemon.signal("SIGSTOP");
  const acknowledged = [...told];
  await image.capture();
  await strace?.detach();
  await daemon.kill();
  await Promise.all(clients);
  await image.restore();
  return {
    acknowledged: acknowledged.length,
    losses: await recover(home, repositories, acknowledged),
  };
}

async function recover(
  home: DaemonHome,
  repositories: readonly string[],
  acknowledged: readonly Told[],
): Promise<string[]> {
  let daemon: Daemon;
  try {
    daemon = await Daemon.start(home);
  } catch (error) {
    return [`The daemon does not start: ${String(error).slice(0, 300)}`];
  }
  const losses: string[] = [];
  for (const [index, path] of repositories.entries()) {
    for (const { layer, n, commits } of acknowledged) {
      const commit = commits[index] ?? "";
      const ref = `refs/layers/${layer}`;
      const is = await tryGit(path, ["merge-base", "--is-ancestor", commit, ref]);
      const text = await tryGit(path, ["show", `${commit}:n`]);
      if (is.code !== 0 || text.stdout !== String(n)) {
        losses.push(`${path} ${ref} ${n}: ${is.stderr}`);
      }
    }
    // Reads everything that any ref reaches.
    const whole = await tryGit(path, ["pack-objects", "--all", "--quiet", `${path}/.git/whole`]);
    if (whole.code !== 0) losses.push(`${path}: ${whole.stderr}`);
  }
  await daemon.stop();
  return losses;
}

/** Commits to its layer in both repositories, and notes what was answered, until it is cut off. */
async function keepCommitting(
  socket: string,
  layer: string,
  told: Told[],
  answered: () => void,
): Promise<void> {
  const client = new SocketClient(socket);
  const names = ["r1", "r2"];
  try {
    const api = new Api(client);
    await api.apply(names.map((name) => create(name, layer)));
    for (let n = 1;; n++) {
      const { results } = await api.apply(names.map((name) => put(name, layer, "n", String(n))));
      const commits = names.map((name) =>
        results.find((one) => one.repository === name)?.new ?? null
      );
      told.push({ layer, n, commits });
      answered();
    }
  } catch (error) {
    if (!(error instanceof ConnectionLost)) throw error;
  } finally {
    client.close();
  }
}
