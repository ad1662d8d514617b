/** Many clients in processes of their own, beside native git: isolation and no lost update. */
import { assert } from "@std/assert";
import { report, scaled, withSeed } from "../harness/scale.ts";
import { scenario } from "../harness/scene.ts";
import { checkQuiet, checkStage, setStage } from "./stage.ts";

const CLIENTS = scaled({ reduced: 6, full: 16 });
const TRANSACTIONS_EACH = scaled({ reduced: 25, full: 250 });

scenario("clients in many processes lose no update beside native git", async (scene) => {
  await withSeed(async (seed) => {
    const stage = await setStage(scene, { seed, clients: CLIENTS });
    const startedAt = performance.now();
    try {
      for (const native of stage.natives) native.start();
      await stage.load.go(TRANSACTIONS_EACH);
    } finally {
      await Promise.all(stage.natives.map((native) => native.stop()));
      await stage.load.close();
    }
    const seconds = (performance.now() - startedAt) / 1_000;
    await checkStage(scene, stage);
    await checkQuiet(scene, stage);
    assert(stage.checker.commits > 0, "No transaction was committed at all");
    const native = stage.natives.map(({ done, lost }) => `${done} done, ${lost} lost`).join("; ");
    report(
      `isolation: seed ${seed}, ${CLIENTS} clients, ${stage.load.reported.size} transactions in ` +
        `${seconds.toFixed(1)} s, ${stage.checker.commits} layer commits, ` +
        `${stage.load.processesVanished} processes vanished, native git: ${native}, ` +
        `ends: ${JSON.stringify(Object.fromEntries(stage.load.codes))}`,
    );
  });
});
