/** A part of the exhaustive crash points; `deno task sim` tries them all. */
import { assertEquals } from "@std/assert";
import { scaled } from "../harness/scale.ts";
import { CRASH_KINDS, crashAll, type CrashPlan, emptyTally } from "./crash_points.ts";
import { SCENARIOS } from "./scenarios.ts";

const every = scaled({ reduced: 47, full: 1 });

/** Each point that is tried crashes in one way, the ways in turn. */
const SAMPLE: CrashPlan = {
  tries: (point, crash) =>
    point % every === 0 && CRASH_KINDS[(point / every) % CRASH_KINDS.length] === crash,
  recoveryEvery: (point) => point === every * 2 ? every : 0,
};

for (const kind of ["journaled", "adversarial"] as const) {
  for (const scenario of SCENARIOS) {
    Deno.test(`crash points (${kind}): ${scenario.name}`, async () => {
      const tally = emptyTally();
      await crashAll(scenario, kind, SAMPLE, tally);
      assertEquals(tally.failures.map(({ where, error }) => `${where}: ${error}`), []);
    });
  }
}
