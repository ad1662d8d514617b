import { assertEquals } from "@std/assert";
import { parseTransactionId } from "../../src/core/ids.ts";
import { assertFsckClean, assertNothingLeftBehind } from "../harness/repositories.ts";
import { put as simulatedPut } from "../sim/model.ts";
import { largeText } from "../sim/scenario.ts";
import { freshImage, Stage } from "../sim/stage.ts";
import { create, put, withEngine } from "./engine_scene.ts";
import { codeAndState, refusalOf } from "./refusals.ts";

Deno.test("a prepared transaction has no lease, stages nothing more and keeps its locks", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"));
    const id = await scene.openTransaction({ operations: [put("a", "f", "1")] });
    const prepared = await scene.manager.prepare(id);
    assertEquals([prepared.state, prepared.lease_expires_at, prepared.results], [
      "prepared",
      null,
      [],
    ]);
    assertEquals((await scene.manager.prepare(id)).state, "prepared");
    assertEquals(await codeAndState(scene.manager.stage(id, [])), [
      "invalid_transition",
      "prepared",
    ]);
    assertEquals(await scene.text("a", "f", id), "1");
    const other = scene.begin({ operations: [put("a", "f", "2")], lockTimeoutMs: 10 });
    assertEquals((await refusalOf(other)).code, "lock_timeout");
    assertEquals((await scene.manager.commit(id)).state, "committed");
    assertEquals(await scene.text("a", "f"), "1");
  }));

Deno.test("a prepared transaction survives a restart with its locks, then commits", () =>
  withEngine(async (scene) => {
    const base = await scene.run(create("a"), put("a", "f", "0"));
    const id = await scene.openTransaction({
      isolation: "optimistic",
      operations: [put("a", "f", "1"), create("b")],
    });
    await scene.manager.prepare(id);
    const before = await scene.manager.diff(id);
    await scene.restart();
    const found = scene.manager.get(id);
    assertEquals([found.state, found.operations, found.results], ["prepared", 2, []]);
    assertEquals(found.locks.map(({ layer, mode }) => [layer, mode]), [
      ["a", "exclusive"],
      ["b", "exclusive"],
    ]);
    assertEquals(await scene.manager.diff(id), before);
    assertEquals(await scene.text("a", "f", id), "1");
    assertEquals(await scene.text("a", "f"), "0");
    const other = scene.begin({ operations: [put("a", "f", "2")], lockTimeoutMs: 10 });
    assertEquals((await refusalOf(other)).code, "lock_timeout");
    const committed = await scene.manager.commit(id);
    assertEquals(committed.results[0]?.old, base.results[0]?.new);
    assertEquals(await scene.text("a", "f"), "1");
    assertEquals(scene.manager.locks(null).locks, []);
    await assertFsckClean(scene.path("app"));
  }));

Deno.test("a prepared transaction that is rolled back after a restart leaves nothing", () =>
  withEngine(async (scene) => {
    const { id: text } = await scene.begin({ operations: [create("a")] });
    const id = parseTransactionId(text);
    await scene.manager.prepare(id);
    await scene.restart();
    assertEquals((await scene.manager.rollback(id)).state, "rolled_back");
    assertEquals((await refusalOf(scene.manager.commit(id))).code, "invalid_transition");
    await scene.run(create("a"));
    await assertNothingLeftBehind(`${scene.path("app")}/.git`);
    await scene.restart();
    assertEquals(scene.manager.get(id).state, "rolled_back");
  }));

Deno.test("a rollback that the full disk refuses leaves the promise as it was, and stops nothing", async () => {
  const stage = new Stage(await freshImage("journaled", ["app"]), { seed: 1 });
  const { machine } = stage;
  await machine.boot();
  await stage.register("app");
  const id = await stage.prepare(simulatedPut("app", "base", "a", "1"));
  const { manager } = machine.engine;
  const settled = <T>(call: Promise<T>) => machine.clock.until(call);
  let failed = 0;
  machine.fail((call) => {
    if (call.name !== "write" || !call.path.startsWith("/state/log") || failed > 0) return null;
    failed += 1;
    return "ENOSPC";
  });
  assertEquals((await settled(refusalOf(manager.rollback(id)))).code, "no_space");
  assertEquals(manager.get(id).state, "prepared");
  machine.fail(() => null);
  await stage.restart();
  assertEquals((await settled(machine.engine.manager.rollback(id))).state, "rolled_back");
  await machine.stop();
});

Deno.test("a promise is rolled back although the disk keeps a file of its large pack", async () => {
  const stage = new Stage(await freshImage("journaled", ["app"]), { seed: 1 });
  const { machine } = stage;
  await machine.boot();
  await stage.register("app");
  const id = await stage.prepare(simulatedPut("app", "base", "a", largeText(1)));
  machine.fail((call) =>
    call.name === "unlink" && call.path.startsWith("/app/layerd/pending/") ? "EIO" : null
  );
  const { manager } = machine.engine;
  assertEquals((await machine.clock.until(manager.rollback(id))).state, "rolled_back");
  await stage.commit(simulatedPut("app", "base", "a", "2"));
  machine.fail(() => null);
  await stage.restart();
  assertEquals(machine.fileSystem.readDirectory("/app/layerd/pending"), []);
  await machine.stop();
});
