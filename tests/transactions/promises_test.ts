/** What a promise relies on, beside native `git gc --prune=now`. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { git } from "../harness/git.ts";
import { assertFsckClean, assertNothingLeftBehind, makeCommit } from "../harness/repositories.ts";
import { create, createAt, type EngineScene, put, updateRef, withEngine } from "./engine_scene.ts";

/** A prepared transaction over a layer that starts at a commit that no ref reaches. */
async function promiseFromUnreachable(scene: EngineScene) {
  const path = scene.path("app");
  const first = await makeCommit(path, "HEAD", "nobody's parent");
  const loose = await makeCommit(path, first, "nobody's");
  const id = await scene.openTransaction({
    operations: [createAt("b", loose), put("b", "f", "1")],
  });
  await scene.manager.prepare(id);
  return { id, loose, path };
}

const gc = (path: string) => git(path, ["gc", "-q", "--prune=now"]);
const promiseRefs = (path: string) => git(path, ["for-each-ref", "refs/layerd"]);

Deno.test("a promise keeps the unreachable commit that it starts from through git gc", () =>
  withEngine(async (scene) => {
    const { id, loose, path } = await promiseFromUnreachable(scene);
    await gc(path);
    assertEquals((await scene.manager.commit(id)).state, "committed");
    assertEquals(await git(path, ["rev-parse", "refs/layers/b^"]), loose);
    await assertFsckClean(path);
    assertEquals(await promiseRefs(path), "");
    await assertNothingLeftBehind(`${path}/.git`);
  }));

Deno.test("a promise that moves a ref to an unreachable commit keeps it over gc and a restart", () =>
  withEngine(async (scene) => {
    const path = scene.path("app");
    const loose = await makeCommit(path, "HEAD", "nobody's");
    const id = await scene.openTransaction({ operations: [updateRef("refs/heads/x", loose)] });
    await scene.manager.prepare(id);
    await scene.restart();
    await gc(path);
    await scene.restart();
    assertEquals((await scene.manager.commit(id)).state, "committed");
    assertEquals(await git(path, ["rev-parse", "refs/heads/x"]), loose);
    await assertFsckClean(path);
    assertEquals(await promiseRefs(path), "");
  }));

Deno.test("a promise that is rolled back leaves no ref of its own", () =>
  withEngine(async (scene) => {
    const { id, path } = await promiseFromUnreachable(scene);
    assert(await promiseRefs(path) !== "");
    await scene.manager.rollback(id);
    assertEquals(await promiseRefs(path), "");
    await assertNothingLeftBehind(`${path}/.git`);
  }));

Deno.test("refs of a promise that has no record are gone after a restart", () =>
  withEngine(async (scene) => {
    const path = scene.path("app");
    await scene.run(create("a"));
    await scene.close();
    const id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    const head = await git(path, ["rev-parse", "HEAD"]);
    await git(path, ["update-ref", `refs/layerd/${id}/${head}`, head]);
    await git(path, ["pack-refs", "--all"]);
    await scene.open();
    assertEquals(await promiseRefs(path), "");
  }));

Deno.test("a promise ends failed, and says why, when its refs were removed by hand and gc came", () =>
  withEngine(async (scene) => {
    const { id, loose, path } = await promiseFromUnreachable(scene);
    for (
      const ref of (await git(path, ["for-each-ref", "--format=%(refname)", "refs/layerd"])).split(
        "\n",
      )
    ) {
      await git(path, ["update-ref", "-d", ref]);
    }
    await gc(path);
    const failed = await scene.manager.commit(id);
    assertEquals([failed.state, failed.results], ["failed", []]);
    assertStringIncludes(failed.problem?.detail ?? "", loose);
    assertStringIncludes(scene.manager.get(id).problem?.detail ?? "", loose);
    await scene.restart();
    assertStringIncludes(scene.manager.get(id).problem?.detail ?? "", loose);
    await assertFsckClean(path);
  }));

Deno.test("a packed-refs.lock of native git delays the removal of a promise's refs, no more", () =>
  withEngine(async (scene) => {
    const { id, path } = await promiseFromUnreachable(scene);
    const lock = `${path}/.git/packed-refs.lock`;
    await Deno.writeTextFile(lock, "");
    await scene.manager.rollback(id);
    const [app] = scene.engine.catalog.all();
    assert(app !== undefined);
    const findings = await scene.engine.catalog.findings(app);
    assertEquals(findings.map(({ code }) => code), ["own_leftover"]);
    await Deno.remove(lock);
    // Ours is taken for the removal and given back after it.
    await scene.fileSystem.unlocked(lock);
    assertEquals(await promiseRefs(path), "");
  }));

Deno.test("a commit whose origin git prunes while it is published says so", () =>
  withEngine(async (scene) => {
    const path = scene.path("app");
    const loose = await makeCommit(path, "HEAD", "nobody's");
    const id = await scene.openTransaction({ operations: [createAt("b", loose)] });
    scene.fileSystem.beforePublication = () => {
      const args = ["-C", path, "prune", "--expire=now"];
      new Deno.Command("git", { args }).outputSync();
    };
    const committed = await scene.manager.commit(id);
    assertEquals(committed.state, "committed");
    assertStringIncludes(committed.problem?.detail ?? "", loose);
    assertStringIncludes(scene.manager.get(id).problem?.detail ?? "", loose);
  }));
