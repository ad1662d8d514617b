/** The engine where a store fails, a service lies, a clock jumps, an owner is gone. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { parseSagaId } from "../../src/core/ids.ts";
import { SagaMovedOn, type SagaStore } from "../../src/sagas/saga_store.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { EngineScene, stepsOf } from "./engine_scene.ts";
import { ReferenceService } from "./service.ts";

/** The store, but for some of its calls. */
function replaced(store: SagaStore, calls: Partial<SagaStore>): SagaStore {
  return new Proxy(store, {
    get: (target, name) => {
      const value = Reflect.get(name in calls ? calls : target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

Deno.test("sagaEngine stays paused when the call under way fails for good", async () => {
  await using service = new ReferenceService();
  await using scene = await EngineScene.open();
  const reached = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  service.misbehave = ({ action }) => {
    if (action !== "do_b") return null;
    reached.resolve();
    return { kind: "late_answer", until: go.promise, status: 422 };
  };
  const { id } = await scene.start(service.url, stepsOf(["a", "b"]));
  await reached.promise;
  await scene.engine.obey(parseSagaId(id), "pause", "look first");
  go.resolve();
  await scene.until(id, "saga.step_failed");
  const saga = await scene.engine.get(parseSagaId(id));
  assertEquals([saga.state, saga.condition], ["compensating", "paused"]);
  assertEquals(service.standing(), [`${id}-a`]);
  await scene.engine.obey(parseSagaId(id), "resume", null);
  await scene.ended(id, "compensated");
});

Deno.test("sagaEngine outlives an answer that is nested without end, and so do its other sagas", async () => {
  await using service = new ReferenceService();
  await using scene = await EngineScene.open();
  const deep = "[".repeat(200_000) + "]".repeat(200_000);
  service.misbehave = ({ action }) =>
    action === "do_b" ? { kind: "answer", status: 200, body: deep } : null;
  const bad = await scene.start(service.url, stepsOf(["a", "b"], { retry_count: 1 }));
  const saga = await scene.ended(bad.id, "compensated");
  assertMatch(saga.problem?.detail ?? "", /nested deeper/);
  assertEquals(saga.steps[1]?.attempts, 2);
});

Deno.test("sagaEngine runs a saga whose start was stored and never answered, once", async () => {
  await using service = new ReferenceService();
  let lost = 0;
  await using scene = await EngineScene.open(undefined, (store) =>
    replaced(store, {
      start: async (saga) => {
        await store.start(saga);
        lost++;
        throw new LayerdError("io_error", "The connection was lost");
      },
    }));
  await assertRejects(() => scene.start(service.url, stepsOf(["a"])), LayerdError, "lost");
  const [saga] = await scene.engine.list({}, 10, null);
  await scene.ended(saga?.id ?? "", "completed");
  assertEquals([lost, service.received.length], [1, 1]);
});

Deno.test("sagaEngine goes on after the store failed for a while", async () => {
  await using service = new ReferenceService();
  let failing = 2;
  await using scene = await EngineScene.open(undefined, (store) =>
    replaced(store, {
      append: async (...event) => {
        if (failing-- > 0) throw new LayerdError("io_error", "No disk");
        await store.append(...event);
      },
      claim: async () => {
        if (failing === 1 && failing-- > 0) throw new LayerdError("io_error", "No disk");
        return await store.claim();
      },
    }));
  const { id } = await scene.start(service.url, stepsOf(["a"]));
  await scene.ended(id, "completed");
  assertEquals(service.count(`${id}-a`), 1);
});

Deno.test("sagaEngine calls nothing for a saga that another daemon took over", async () => {
  await using service = new ReferenceService();
  let owned = true;
  await using scene = await EngineScene.open(undefined, (store) =>
    replaced(store, {
      append: async (...event) => {
        if (!owned) throw new SagaMovedOn(event[0], "owner");
        await store.append(...event);
      },
      claim: async () => owned ? await store.claim() : [],
    }));
  service.misbehave = ({ action }) => {
    if (action === "do_a") owned = false;
    return null;
  };
  const { id } = await scene.start(service.url, stepsOf(["a", "b"]));
  const waits = scene.engine.waitForEnd(parseSagaId(id), 700, new AbortController().signal);
  await assertRejects(() => waits, LayerdError, "has not ended");
  assertEquals(service.received.map(({ action }) => action), ["do_a"]);
  const word = scene.engine.obey(parseSagaId(id), "pause", null);
  const error = await assertRejects(() => word, LayerdError, "not run by this daemon");
  assertEquals(error.code, "invalid_transition");
});

Deno.test("sagaEngine refuses a word for a saga that was lost in that moment", async () => {
  await using service = new ReferenceService();
  let owned = true;
  await using scene = await EngineScene.open(undefined, (store) =>
    replaced(store, {
      append: async (...event) => {
        if (!owned) throw new SagaMovedOn(event[0], "owner");
        await store.append(...event);
      },
    }));
  service.misbehave = () => ({ kind: "answer", status: 503 });
  const slow = { backoff_ms: 60_000, backoff_max_ms: 60_000 };
  const { id } = await scene.start(service.url, stepsOf(["a"], slow));
  await scene.until(id, "saga.step_failed");
  owned = false;
  const word = scene.engine.obey(parseSagaId(id), "retry", null);
  assertEquals((await assertRejects(() => word, LayerdError)).code, "invalid_transition");
});

Deno.test("sagaEngine repeats a call in time where the wall clock was set back", async () => {
  await using service = new ReferenceService();
  const clock = new DenoClock();
  let backMs = 0;
  const jumping = {
    now: () => clock.now() - backMs,
    monotonic: () => clock.monotonic(),
    after: (ms: number, callback: () => void) => clock.after(ms, callback),
    sleep: (ms: number) => clock.sleep(ms),
  };
  await using scene = await EngineScene.open(undefined, undefined, jumping);
  service.misbehave = () => {
    backMs += 3_600_000;
    return service.received.length < 3 ? { kind: "answer", status: 503 } : null;
  };
  const { id } = await scene.start(service.url, stepsOf(["a"]), { deadline_ms: 60_000 });
  const saga = await scene.ended(id, "completed");
  assertEquals(saga.steps[0]?.attempts, 3);
  const times = (await scene.engine.events(parseSagaId(id))).map(({ at }) => at);
  assertEquals(times, times.toSorted(), "Events do not go back in time");
  assert(saga.execution_time_ms < 60_000);
});

Deno.test("sagaEngine reads a saga anew that another daemon had meanwhile", async () => {
  await using service = new ReferenceService();
  await using scene = await EngineScene.open(
    undefined,
    (store) => replaced(store, { leaseMs: 40, renew: () => Promise.resolve() }),
  );
  service.misbehave = () => ({ kind: "answer", status: 503 });
  const last = { kind: "retriable", compensation_action: null, retry_count: 0 };
  const { id } = await scene.start(service.url, stepsOf(["a"], last));
  await scene.until(id, "saga.needs_operator");
  service.misbehave = () => null;
  // Another daemon had it, was told to retry, died, and this one has it again.
  const at = new Date().toISOString();
  const { sequence } = (await scene.store.events(parseSagaId(id))).at(-1) ?? { sequence: 0 };
  const fact = { type: "saga_resumed", data: { verb: "retry", reason: null } } as const;
  const summary = { state: "in_progress", condition: null } as const;
  await scene.store.append(parseSagaId(id), { sequence: sequence + 1, at, fact }, summary);
  await scene.ended(id, "completed");
});
