/**
 * SIGKILL at a random moment under load, restart, look: rounds of it. After each restart every
 * acknowledged transaction is whole on all its layers, no other one is partly there, native
 * git can move every ref at once, and no lock is left. Prepared transactions survive and are
 * then ended either way.
 */
import { assert, assertEquals } from "@std/assert";
import { git } from "../harness/git.ts";
import { SeededRandom } from "../harness/random.ts";
import { assertNothingLeftBehind } from "../harness/repositories.ts";
import { report, scaled, withSeed } from "../harness/scale.ts";
import { isolated, type Scene } from "../harness/scene.ts";
import { checkQuiet, checkStage, setStage, type Stage } from "../soak/stage.ts";

const ROUNDS = scaled({ reduced: 7, full: 100 });
const CLIENTS = scaled({ reduced: 5, full: 16 });
/** The kill comes this long after the load has got going, or after the start. */
const LOAD_MS_MAX = 600;
/** Reports after which a load has got going: the first publication waits for a fresh second. */
const REPORTS_AT_WORK = 2 * CLIENTS;
const KILL_AT_START_CHANCE = 0.2;
/** More than any round can make: only the kill ends a round. */
const UNBOUNDED = 1_000_000;

isolated("SIGKILL under load leaves every acknowledged transaction whole", async (scene) => {
  await withSeed(async (seed) => {
    await scene.start();
    const random = new SeededRandom(seed);
    const stage = await setStage(scene, { seed, clients: CLIENTS });
    let readyMsMax = 0;
    let prepared = 0;
    try {
      for (let round = 1; round <= ROUNDS; round++) {
        await loadUntilKilled(scene, stage, random);
        const { readyMs } = await scene.start();
        readyMsMax = Math.max(readyMsMax, readyMs);
        prepared += await endPrepared(scene, stage, random);
        await stage.load.settle();
        await checkStage(scene, stage);
        assertEquals(await scene.api.locks(), { locks: [], waits_for: [] });
        for (const { path } of stage.repositories) {
          await assertNothingLeftBehind(`${path}/.git`);
          await moveEveryRefAndBack(path);
        }
      }
    } finally {
      await stage.load.close();
    }
    await checkQuiet(scene, stage);
    assert(stage.checker.commits > 0, "No transaction was committed at all");
    report(
      `crash: seed ${seed}, ${ROUNDS} rounds, ${CLIENTS} clients, ` +
        `${stage.load.reported.size} transactions, ${stage.checker.commits} layer commits, ` +
        `${prepared} prepared ones ended after a restart, ready in at most ` +
        `${readyMsMax.toFixed(0)} ms, ends: ${
          JSON.stringify(Object.fromEntries(stage.load.codes))
        }`,
    );
  });
});

async function loadUntilKilled(scene: Scene, stage: Stage, random: SeededRandom): Promise<void> {
  const reports = random.chance(KILL_AT_START_CHANCE) ? 0 : REPORTS_AT_WORK;
  const loadMs = random.integer(0, LOAD_MS_MAX);
  for (const native of stage.natives) native.start();
  try {
    const atWork = stage.load.reports(reports);
    const idle = stage.load.go(UNBOUNDED);
    await Promise.race([idle, atWork]);
    // The one wait that is meant: the moment of death is random in time, not in events.
    await Promise.race([idle, new Promise((resolve) => setTimeout(resolve, loadMs))]);
    await scene.daemon.kill();
    await idle;
  } finally {
    await Promise.all(stage.natives.map((native) => native.stop()));
  }
}

/** Prepared transactions are promises that outlive the crash; ends each, one way or the other. */
async function endPrepared(scene: Scene, stage: Stage, random: SeededRandom): Promise<number> {
  const { transactions } = await scene.api.get<{ transactions: { id: string }[] }>(
    "/v1/transactions?state=prepared&limit=1000",
  );
  for (const { id } of transactions) {
    if (random.chance(0.5)) {
      assertEquals((await scene.api.commit(id)).state, "committed");
      stage.load.settleOutcome(id, "committed");
    } else {
      assertEquals((await scene.api.rollback(id)).state, "rolled_back");
      stage.load.settleOutcome(id, "rolled_back");
    }
  }
  return transactions.length;
}

/** One native transaction over every ref of the repository, and one back. */
async function moveEveryRefAndBack(repository: string): Promise<void> {
  const elsewhere = await git(repository, ["rev-parse", "main"]);
  const refs = (await git(repository, ["for-each-ref", "--format=%(refname) %(objectname)"]))
    .split("\n")
    .map((line) => line.split(" "));
  const there = refs.map(([ref, oid]) => `update ${ref} ${elsewhere} ${oid}\n`).join("");
  const back = refs.map(([ref, oid]) => `update ${ref} ${oid} ${elsewhere}\n`).join("");
  await git(repository, ["update-ref", "--stdin"], { input: there });
  await git(repository, ["update-ref", "--stdin"], { input: back });
}
