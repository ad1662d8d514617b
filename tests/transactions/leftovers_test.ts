/** Lock files whose unlink fails, as it does on a failing disk or a full quota. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { assertNothingLeftBehind } from "../harness/repositories.ts";
import { create, type EngineScene, put, withEngine } from "./engine_scene.ts";

async function findingsOf(scene: EngineScene) {
  const found = await Promise.all(
    scene.engine.catalog.all().map((repository) => scene.engine.catalog.findings(repository)),
  );
  return found.flat();
}

Deno.test("a ref lock whose unlink fails once is a finding, and removed soon after", () =>
  withEngine(async (scene) => {
    const lock = `${scene.path("app")}/.git/refs/layers/a.lock`;
    const gone = scene.fileSystem.unlocked(lock);
    scene.fileSystem.refusedUnlocks = 2;
    assertEquals((await scene.run(create("a"))).state, "committed");
    const [finding, ...more] = await findingsOf(scene);
    assertEquals([finding?.code, finding?.severity, more], ["own_leftover", "suspicious", []]);
    assertStringIncludes(finding?.detail ?? "", lock);
    await gone;
    assertEquals(await findingsOf(scene), []);
    await assertNothingLeftBehind(`${scene.path("app")}/.git`);
  }));

Deno.test("a ref lock whose unlink failed before a stop is gone after it", () =>
  withEngine(async (scene) => {
    scene.fileSystem.refusedUnlocks = 2;
    await scene.run(create("a"));
    await scene.close();
    await assertNothingLeftBehind(`${scene.path("app")}/.git`);
  }));

Deno.test("a stuck lock is taken over by the next transaction that needs its ref", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"));
    scene.fileSystem.refusedUnlocks = 2;
    const first = scene.run(put("a", "f", "1"));
    const second = scene.run(put("a", "f", "2"));
    assertEquals((await first).state, "committed");
    assertEquals((await second).state, "committed");
    await scene.close();
    await assertNothingLeftBehind(`${scene.path("app")}/.git`);
  }));
