/** The engine against services that misbehave; each service's own books decide. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { parseSagaId } from "../../src/core/ids.ts";
import { EngineScene, stepsOf } from "./engine_scene.ts";
import { ReferenceService } from "./service.ts";

type Play = (scene: EngineScene, service: ReferenceService) => Promise<void>;

function play(name: string, test: Play): void {
  Deno.test(`sagaEngine ${name}`, async () => {
    await using service = new ReferenceService();
    await using scene = await EngineScene.open();
    await test(scene, service);
  });
}

play("runs the steps in order and answers with the last output", async (scene, service) => {
  const { id } = await scene.start(service.url, stepsOf(["a", "b"]));
  const saga = await scene.ended(id, "completed");
  assertEquals(saga.output, { id: "do_b-2" });
  assertEquals(service.received.map(({ key }) => key), [`${id}-a`, `${id}-b`]);
  assertEquals(service.received[0]?.body, {
    saga_id: id,
    step_id: "a",
    tenant_id: null,
    attempt: 1,
    idempotency_key: `${id}-a`,
    fencing_token: 1,
    input: {},
  });
  assertEquals(await scene.types(id), [
    "saga_requested",
    "step_started a",
    "step_completed a",
    "step_started b",
    "step_completed b",
    "saga_completed",
  ]);
});

play("maps inputs and outputs between steps", async (scene, service) => {
  const [a, b] = stepsOf(["a", "b"]);
  assert(a && b);
  const input = { from: { $: "steps.a.id" }, twice: { $: "input.n * 2" }, fixed: [1] };
  const { id } = await scene.start(service.url, [a, { ...b, input }]);
  await scene.ended(id, "completed");
  assertEquals(service.received[1]?.body["input"], { from: "do_a-1", twice: 2, fixed: [1] });
});

play("compensates in reverse after a refusal", async (scene, service) => {
  service.misbehave = ({ action }) =>
    action === "do_c" ? { kind: "answer", status: 422, body: "no room" } : null;
  const { id } = await scene.start(service.url, stepsOf(["a", "b", "c"]));
  const saga = await scene.ended(id, "compensated");
  assertEquals(service.received.map(({ action }) => action), [
    "do_a",
    "do_b",
    "do_c",
    "undo_b",
    "undo_a",
  ]);
  assertEquals(service.standing(), []);
  assertEquals(saga.problem, { code: "step_failed", detail: "422 no room", step_id: "c" });
  assertEquals(service.received.at(-1)?.body["output"], { id: "do_a-1" });
});

play("calls again with the same key what timed out, and counts it once", async (scene, service) => {
  let calls = 0;
  service.misbehave = () => ++calls === 1 ? { kind: "done_silent" } : null;
  const { id } = await scene.start(service.url, stepsOf(["a"], { timeout_ms: 50 }));
  const saga = await scene.ended(id, "completed");
  assertEquals(saga.steps[0]?.attempts, 2);
  assertEquals(service.count(`${id}-a`), 1);
  assert((await scene.types(id)).includes("step_timed_out a"));
});

play("makes retry_count + 1 calls, then undoes what may have been done", async (scene, service) => {
  service.misbehave = ({ action }) => action === "do_b" ? { kind: "done_but", status: 500 } : null;
  const { id } = await scene.start(service.url, stepsOf(["a", "b"], { retry_count: 3 }));
  await scene.ended(id, "compensated");
  assertEquals(service.received.filter(({ action }) => action === "do_b").length, 4);
  assertEquals(service.standing(), []);
});

play("retries a refused compensation, and goes on past one that is used up", async (scene, s) => {
  s.misbehave = ({ action }) => {
    if (action === "do_c") return { kind: "answer", status: 400 };
    return action === "undo_b" ? { kind: "answer", status: 409 } : null;
  };
  const { id } = await scene.start(s.url, stepsOf(["a", "b", "c"], { retry_count: 1 }));
  await scene.until(id, "saga.needs_operator");
  const stuck = await scene.engine.get(parseSagaId(id));
  assertEquals([stuck.state, stuck.condition], ["compensating", "needs_operator"]);
  assertEquals(s.standing(), [`${id}-b`], "a is undone although b is not");
  s.misbehave = () => null;
  await scene.engine.obey(parseSagaId(id), "retry", "mended");
  await scene.ended(id, "compensated");
  assertEquals(s.standing(), []);
});

play("ends failed where an operator skips a compensation", async (scene, service) => {
  service.misbehave = ({ action }) =>
    action === "do_b" || action === "undo_a" ? { kind: "answer", status: 400 } : null;
  const { id } = await scene.start(service.url, stepsOf(["a", "b"], { retry_count: 0 }));
  await scene.until(id, "saga.needs_operator");
  await scene.engine.obey(parseSagaId(id), "skip", "paid by hand");
  const saga = await scene.ended(id, "failed");
  assertEquals(saga.steps[0]?.state, "skipped");
  assertEquals(service.standing(), [`${id}-a`]);
});

play("never undoes a retriable step, and waits for an operator instead", async (scene, service) => {
  service.misbehave = ({ action }) => action === "do_c" ? { kind: "answer", status: 500 } : null;
  const last = { kind: "retriable", compensation_action: null, retry_count: 1 };
  const steps = [...stepsOf(["a"]), ...stepsOf(["b"], { ...last, kind: "pivot" })];
  const { id } = await scene.start(service.url, [...steps, ...stepsOf(["c"], last)]);
  await scene.until(id, "saga.needs_operator");
  assertEquals(service.standing(), [`${id}-a`, `${id}-b`]);
  await assertRejects(
    () => scene.engine.obey(parseSagaId(id), "cancel", null),
    LayerdError,
    "before the pivot",
  );
  await scene.engine.obey(parseSagaId(id), "skip", "written by hand");
  await scene.ended(id, "completed");
});

play("cancels under way: the call is given up, undone, and refused when it comes late", async (
  scene,
  service,
) => {
  const work = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  service.misbehave = ({ action }) => {
    if (action !== "do_b") return null;
    reached.resolve();
    return { kind: "late", until: work.promise };
  };
  const { id } = await scene.start(service.url, stepsOf(["a", "b"]));
  await reached.promise;
  await scene.engine.obey(parseSagaId(id), "cancel", "changed my mind");
  await scene.ended(id, "compensated");
  work.resolve();
  while (service.count(`${id}-b`, "refused_late") === 0) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assertEquals(service.standing(), []);
});

play("pauses between steps and resumes", async (scene, service) => {
  const work = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  service.misbehave = ({ action }) => {
    if (action !== "do_a") return null;
    reached.resolve();
    return { kind: "late", until: work.promise };
  };
  const { id } = await scene.start(service.url, stepsOf(["a", "b"]));
  await reached.promise;
  await scene.engine.obey(parseSagaId(id), "pause", null);
  work.resolve();
  await scene.until(id, "saga.step_completed");
  const paused = await scene.engine.get(parseSagaId(id));
  assertEquals([paused.state, paused.condition], ["in_progress", "paused"]);
  await scene.engine.obey(parseSagaId(id), "resume", null);
  await scene.ended(id, "completed");
});

play("compensates when the deadline passes before the pivot", async (scene, service) => {
  service.misbehave = ({ action }) => action === "do_b" ? { kind: "answer", status: 503 } : null;
  const steps = [
    ...stepsOf(["a"]),
    ...stepsOf(["b"], { backoff_ms: 5_000, backoff_max_ms: 5_000 }),
  ];
  const { id } = await scene.start(service.url, steps, { deadline_ms: 300 });
  const saga = await scene.ended(id, "compensated");
  assertEquals(saga.problem?.code, "deadline_exceeded");
  assertEquals(service.standing(), []);
});

play("starts one saga for one idempotency key", async (scene, service) => {
  await scene.ended((await scene.start(service.url, stepsOf(["a"]))).id, "completed");
  const key = { key: "k", requestHash: "h" };
  const request = { definition: "test", input: 1, tenantId: null, key };
  const started = await Promise.all([1, 2, 3].map(() => scene.engine.start(request)));
  assertEquals(new Set(started.map(({ id }) => id)).size, 1);
  await scene.ended(started[0]?.id ?? "", "completed");
  await assertRejects(
    () => scene.engine.start({ ...request, key: { key: "k", requestHash: "other" } }),
    LayerdError,
    "another request",
  );
});

play("keeps a running saga on the version it started with", async (scene, service) => {
  const work = Promise.withResolvers<void>();
  service.misbehave = () => ({ kind: "late", until: work.promise });
  const { id } = await scene.start(service.url, stepsOf(["a", "b"]));
  const other = await scene.start(service.url, stepsOf(["a", "c"]));
  work.resolve();
  assertEquals((await scene.ended(id, "completed")).definition_version, 1);
  assertEquals((await scene.ended(other.id, "completed")).definition_version, 2);
  assert((await scene.types(id)).includes("step_completed b"));
  assert((await scene.types(other.id)).includes("step_completed c"));
});

play("compensates on an operator's word what the dry run named, also after the pivot", async (
  scene,
  service,
) => {
  service.misbehave = ({ action }) => action === "do_d" ? { kind: "answer", status: 503 } : null;
  const last = { kind: "retriable", compensation_action: null, retry_count: 0 };
  const steps = [
    ...stepsOf(["a", "b"]),
    ...stepsOf(["c"], { ...last, kind: "pivot" }),
    ...stepsOf(["d"], last),
  ];
  const { id } = await scene.start(service.url, steps);
  await scene.until(id, "saga.needs_operator");
  const before = service.received.length;
  const plan = await scene.engine.compensationPlan(parseSagaId(id));
  assertEquals(plan.map((line) => `${line.plan} ${line.step_id}`), [
    "compensate b",
    "compensate a",
    "keep c",
    "keep d",
  ]);
  assertEquals(service.received.length, before, "A dry run calls nothing");
  await scene.engine.obey(parseSagaId(id), "compensate", "wrong order");
  await scene.ended(id, "failed");
  const undone = service.received.slice(before).map(({ action }) => action);
  assertEquals(undone, ["undo_b", "undo_a"]);
  assertEquals(service.standing(), [`${id}-c`]);
});
