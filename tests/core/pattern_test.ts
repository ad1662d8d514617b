import { assertEquals } from "@std/assert";
import { type Consistency, selectPattern } from "../../src/core/pattern.ts";

const NAMES = ["pg", "flags", "git:app", "git:infra", "audit"];

function select(consistency: Consistency, durationEstimateMs: number, count: number) {
  const participants = NAMES.slice(0, count);
  return selectPattern({ operationType: "deploy", participants, consistency, durationEstimateMs });
}

// The seed's `select_pattern`, a line for each of its arms and each edge of its guard.
const TABLE = [
  ["strong", 1, 0, "two_phase_commit"],
  ["strong", 500, 2, "two_phase_commit"],
  ["strong", 9_999, 4, "two_phase_commit"],
  ["strong", 10_000, 4, "eventual_consistency"],
  ["strong", 9_999, 5, "eventual_consistency"],
  ["strong", 3_600_000, 1, "eventual_consistency"],
  ["eventual", 1, 1, "saga"],
  ["eventual", 9_999, 4, "saga"],
  ["eventual", 3_600_000, 5, "saga"],
] as const;

for (const [consistency, durationMs, count, pattern] of TABLE) {
  Deno.test(`selectPattern() answers ${pattern} to ${consistency}, ${durationMs} ms, ${count} participants`, () => {
    assertEquals(select(consistency, durationMs, count).pattern, pattern);
  });
}

Deno.test("selectPattern() answers the seed's values with each pattern", () => {
  const twoPhase = select("strong", 400, 2);
  assertEquals(
    twoPhase.pattern === "two_phase_commit" && [
      twoPhase.participants,
      twoPhase.timeout_ms,
      twoPhase.warnings,
    ],
    [["pg", "flags"], 800, []],
  );
  const saga = select("eventual", 400, 2);
  assertEquals(
    saga.pattern === "saga" && [
      saga.saga_type,
      saga.compensation_strategy,
      saga.warnings,
    ],
    ["deploy", "automatic", []],
  );
  const eventual = select("strong", 60_000, 2);
  assertEquals(
    eventual.pattern === "eventual_consistency" && [
      eventual.reconciliation_interval_ms,
      eventual.conflict_resolution,
    ],
    [60_000, "last_write_wins"],
  );
});

Deno.test("selectPattern() warns where strong consistency is asked for and not to be had", () => {
  const advice = (durationMs: number, count: number) =>
    select("strong", durationMs, count).warnings.map((text) => [
      text.includes("make the work shorter"),
      text.includes("fewer participants"),
    ]);
  assertEquals(advice(10_000, 2), [[true, false]]);
  assertEquals(advice(10, 5), [[false, true]]);
  assertEquals(advice(10_000, 5), [[true, true]]);
});
