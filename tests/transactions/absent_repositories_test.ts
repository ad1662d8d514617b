/** Repositories that are away when the daemon starts, and come back. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { RepositoryName } from "../../src/core/ids.ts";
import { parseRepositoryName } from "../../src/core/ids.ts";
import { git } from "../harness/git.ts";
import { assertFsckClean, assertNothingLeftBehind } from "../harness/repositories.ts";
import { app, create, type EngineScene, put, withEngine } from "./engine_scene.ts";
import { codeAndState, refusalOf } from "./refusals.ts";

const lib = parseRepositoryName("lib");

function putIn(repository: RepositoryName, layer: string, text: string) {
  return { ...put(layer, "f", text), repository };
}

/** Restarts the engine while `app` is elsewhere; answers how to bring it back and wait. */
async function restartWithout(scene: EngineScene): Promise<() => Promise<void>> {
  await scene.close();
  const path = scene.path("app");
  await Deno.rename(path, `${path}.away`);
  await scene.open();
  return async () => {
    const changed = scene.next("health.changed");
    await Deno.rename(`${path}.away`, path);
    assertEquals((await changed).data, { repository: "app", status: "healthy" });
  };
}

Deno.test("a repository that was away at the start is served once it is back", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "f", "1"));
    const comeBack = await restartWithout(scene);
    const [away] = scene.engine.catalog.unavailable();
    assertEquals([away?.name, away?.problem.details.reason], [app, "path_missing"]);
    assertStringIncludes(away?.problem.message ?? "", scene.path("app"));
    await comeBack();
    assertEquals(scene.engine.catalog.unavailable(), []);
    await scene.run(put("a", "f", "2"));
    assertEquals(await scene.text("a", "f"), "2");
    await assertNothingLeftBehind(`${scene.path("app")}/.git`);
  }));

Deno.test("a promise over a repository that was away keeps its locks and is kept", () =>
  withEngine(async (scene) => {
    await scene.serveRepository("lib");
    await scene.run(create("a"), { ...create("a"), repository: lib });
    const id = await scene.openTransaction({
      operations: [put("a", "f", "1"), putIn(lib, "a", "1")],
    });
    await scene.manager.prepare(id);
    const comeBack = await restartWithout(scene);
    assertEquals(await codeAndState(scene.manager.commit(id)), [
      "unsupported_repository",
      "prepared",
    ]);
    assertEquals(scene.manager.get(id).state, "prepared");
    await comeBack();
    const other = scene.begin({ operations: [put("a", "f", "2")], lockTimeoutMs: 10 });
    assertEquals((await refusalOf(other)).code, "lock_timeout");
    assertEquals(scene.manager.get(id).locks.length, 2);
    assertEquals((await scene.manager.commit(id)).state, "committed");
    assertEquals(await scene.text("a", "f"), "1");
    await scene.close();
    await assertNothingLeftBehind(`${scene.path("app")}/.git`);
  }));

Deno.test("a decided commit is published in a repository that was away, also what git pruned", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "f", "0"));
    scene.fileSystem.refusesPublication = true;
    const id = await scene.openTransaction({ operations: [put("a", "f", "1")] });
    assertEquals((await scene.manager.commit(id)).state, "committing");
    const comeBack = await restartWithout(scene);
    assertEquals(scene.manager.get(id).state, "committing");
    await git(`${scene.path("app")}.away`, ["prune", "--expire=now"]);
    scene.fileSystem.refusesPublication = false;
    await comeBack();
    assertEquals((await scene.manager.waitFor(id, "terminal", 15_000)).state, "committed");
    assertEquals(await scene.text("a", "f"), "1");
    await assertFsckClean(scene.path("app"));
  }));

Deno.test("a repository whose layerd folder was removed does not keep the engine from opening", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"));
    await scene.close();
    await Deno.remove(`${scene.path("app")}/.git/layerd`, { recursive: true });
    await scene.open();
    const request = { name: app, path: scene.path("app"), adopt: false };
    await scene.engine.catalog.ensure(request);
    const [away] = scene.engine.catalog.unavailable();
    assertEquals([away?.name, away?.problem.details.reason], [app, "owner_missing"]);
    assertStringIncludes(away?.problem.message ?? "", "layerd doctor --fix");
    await scene.engine.catalog.remove(app, { abandon: false });
    await scene.engine.catalog.add(request);
    await scene.run(put("a", "f", "1"));
  }));

Deno.test("another repository in the place of a registered one is left alone", () =>
  withEngine(async (scene) => {
    await scene.serveRepository("lib");
    await scene.close();
    const [one, other] = [scene.path("app"), scene.path("lib")];
    await Deno.rename(one, `${one}.away`);
    await Deno.rename(other, one);
    await scene.open();
    const reasons = scene.engine.catalog.unavailable()
      .map(({ name, problem }) => [name, problem.details.reason]);
    assertEquals(reasons, [[app, "replaced"], [lib, "path_missing"]]);
    const back = scene.next("health.changed");
    await Deno.rename(one, other);
    await Deno.rename(`${one}.away`, one);
    assert((await back).type === "health.changed");
  }));
