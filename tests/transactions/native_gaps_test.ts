import { assert } from "@std/assert";
import { parseRepositoryId, parseRepositoryName } from "../../src/core/ids.ts";
import type { RepositoryPart } from "../../src/core/log_record.ts";
import { NativeGaps } from "../../src/transactions/native_gaps.ts";
import { SeededRandom } from "../harness/random.ts";

const PATIENCE_MS = 1_000;
const TRIES = 20_000;
const part: RepositoryPart = {
  repositoryId: parseRepositoryId("01JD0000000000000000000000"),
  repository: parseRepositoryName("app"),
  edits: [],
  checks: [],
  objects: { kind: "recorded", objects: [] },
};

/** Whether git, which first tries this long after a hold began, gets the lock: its lockfile.c. */
function gitGetsIt(afterMs: number, holdMs: number, cycleMs: number, random: SeededRandom) {
  let [nowMs, leftMs] = [afterMs, PATIENCE_MS];
  for (let n = 1;; n++) {
    if (nowMs % cycleMs >= holdMs) return true;
    if (leftMs <= 0) return false;
    const sleepMs = (0.75 + random.uniform() / 2) * Math.min(n * n, 1_000);
    nowMs += sleepMs;
    leftMs -= sleepMs;
  }
}

Deno.test("nativeGaps.leaveAfter() leaves git a try in a thousand, however slow the disk is", () => {
  const random = new SeededRandom(1);
  for (const holdMs of [1, 5, 25, 75, 100, 150, 200, 300, 400, 600, 800]) {
    const gaps = new NativeGaps();
    gaps.leaveAfter({ ms: holdMs, endMs: 10_000 }, [part], 10_000);
    const cycleMs = holdMs + gaps.readyAt([part]) - 10_000;
    let failed = 0;
    for (let n = 0; n < TRIES; n++) {
      if (!gitGetsIt(random.uniform() * cycleMs, holdMs, cycleMs, random)) failed++;
    }
    assert(
      failed <= TRIES / 1_000,
      `${failed} of ${TRIES} calls fail beside holds of ${holdMs} ms`,
    );
  }
});
