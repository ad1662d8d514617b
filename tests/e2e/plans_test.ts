/** Plans, and transactions whose pattern is selected, over the wire. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { bodyOf, create, problemOf, put } from "../harness/api.ts";
import { sharedScenarios } from "../harness/scene.ts";

const test = sharedScenarios();

test("POST /v1/plans names who cannot prepare, and a saga that nobody has defined", async (scene) => {
  const { name } = await scene.repository();
  const { client } = scene.daemon;
  const plan = async (body: Record<string, unknown>) =>
    bodyOf<Record<string, unknown>>(await client.request("POST", "/v1/plans", body), 200);
  const places = [`git:${name}`, "git:nowhere", "pg"];
  const strong = { consistency: "strong", duration_estimate_ms: 200, participants: places };
  const { reason, ...twoPhase } = await plan(strong);
  assertEquals(twoPhase, {
    pattern: "two_phase_commit",
    participants: places,
    timeout_ms: 400,
    warnings: [
      'git:nowhere cannot prepare: No repository is registered as "nowhere"',
      "pg cannot prepare: it is not registered (POST /v1/participants)",
    ],
  });
  assertStringIncludes(String(reason), "200 ms and 3 participants");
  const saga = await plan({
    operation_type: "train",
    consistency: "eventual",
    duration_estimate_ms: 200,
  });
  assertEquals([saga.pattern, saga.saga_type], ["saga", "train"]);
  assertStringIncludes(JSON.stringify(saga.warnings), "No saga is defined as");
});

test("POST /v1/plans refuses what is missing, repeated or absurd by its field", async (scene) => {
  const field = async (change: Record<string, unknown>) => {
    const body = { consistency: "strong", duration_estimate_ms: 1, ...change };
    const answer = await scene.daemon.client.request("POST", "/v1/plans", body);
    return problemOf(answer, 400, "invalid_request").field;
  };
  assertEquals(
    [
      await field({ consistency: "weak" }),
      await field({ duration_estimate_ms: 0 }),
      await field({ duration_estimate_ms: 2 ** 53 }),
      await field({ participants: ["pg", "pg"] }),
      await field({ participants: "pg" }),
    ],
    ["consistency", "duration_estimate_ms", "duration_estimate_ms", "participants", "participants"],
  );
});

test("begin with the pattern auto commits, or refuses to be weakened", async (scene) => {
  const { name } = await scene.repository();
  const { client } = scene.daemon;
  const begin = (change: Record<string, unknown>) =>
    client.request("POST", "/v1/transactions", {
      pattern: "auto",
      consistency: "strong",
      duration_estimate_ms: 500,
      commit: true,
      operations: [create(name, "auto"), put(name, "auto", "f", "1")],
      ...change,
    });
  bodyOf(await begin({}), 200);
  for (
    const [change, pattern] of [
      [{ duration_estimate_ms: 10_000 }, "eventual_consistency"],
      // A timeout of one's own does not make it short.
      [{ duration_estimate_ms: 10_000, prepare_timeout_ms: 5 }, "eventual_consistency"],
      [{ consistency: "eventual" }, "saga"],
    ] as const
  ) {
    const problem = problemOf(await begin(change), 400, "invalid_request");
    assertEquals([problem.field, problem.reason], ["pattern", pattern]);
  }
  assertEquals(
    problemOf(await begin({ consistency: undefined }), 400, "invalid_request").field,
    "consistency",
  );
  const named = { pattern: "two_phase_commit" };
  assertEquals(problemOf(await begin(named), 400, "invalid_request").field, "consistency");
});
