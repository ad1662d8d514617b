import { assertEquals, assertStringIncludes } from "@std/assert";
import { parseRepositoryName, type TransactionId } from "../../src/core/ids.ts";
import type { GitOperation } from "../../src/core/operations.ts";
import { git } from "../harness/git.ts";
import { assertFsckClean } from "../harness/repositories.ts";
import { create, type EngineScene, put, withEngine } from "./engine_scene.ts";
import { refusalOf } from "./refusals.ts";

/** Prepares on layer `a`, removes git's locks by hand as people do, moves the refs, commits. */
async function contradicted(scene: EngineScene, ...repositories: string[]): Promise<TransactionId> {
  const on = (name: string, operation: GitOperation): GitOperation => ({
    ...operation,
    repository: parseRepositoryName(name),
  });
  await scene.run(...repositories.flatMap((name) => [on(name, create("a"))]));
  const operations = repositories.map((name) => on(name, put("a", "f", "1")));
  const id = await scene.openTransaction({ operations });
  await scene.manager.prepare(id);
  for (const name of repositories) {
    await Deno.remove(`${scene.path(name)}/.git/refs/layers/a.lock`);
    await git(scene.path(name), ["update-ref", "refs/layers/a", "HEAD"]);
  }
  assertEquals((await scene.manager.commit(id)).state, "failed");
  return id;
}

const inDoubt = (scene: EngineScene) =>
  scene.engine.inDoubt.list().map((one) => [one.transaction_id, one.participant]);

const closed = { outcome: "rolled_back", reason: "looked at it: HEAD is right" } as const;

const isWritable = async (scene: EngineScene) => {
  try {
    await scene.run(put("a", "g", "2"));
    return true;
  } catch {
    return (await refusalOf(scene.run(put("a", "g", "2")))).code;
  }
};

Deno.test("resolving a failed transaction in its repository lets it be written again, for good", () =>
  withEngine(async (scene) => {
    const id = await contradicted(scene, "app");
    const { inDoubt: doubts } = scene.engine;
    assertEquals(inDoubt(scene), [[id, "git:app"]]);
    const refusal = await refusalOf(scene.run(put("a", "g", "2")));
    assertEquals(refusal.code, "repository_quarantined");
    assertStringIncludes(refusal.message, `layerd in-doubt resolve ${id} git:app`);
    const other = await refusalOf(doubts.resolve(id, { participant: "git:other", ...closed }));
    assertEquals(other.code, "participant_not_found");
    const lifted = scene.next("health.changed");
    await doubts.resolve(id, { participant: "git:app", ...closed });
    assertEquals((await lifted).data.status, "healthy");
    assertEquals([inDoubt(scene), await isWritable(scene)], [[], true]);
    assertEquals(scene.manager.get(id).state, "failed", "what it came to stays");
    await scene.restart();
    assertEquals([inDoubt(scene), await isWritable(scene)], [[], true]);
    await scene.engine.checkpoint();
    await scene.restart();
    assertEquals([inDoubt(scene), await isWritable(scene)], [[], true]);
    assertEquals(scene.manager.get(id).state, "failed");
    await assertFsckClean(scene.path("app"));
  }));

Deno.test("a transaction that failed in two repositories is resolved in each by itself, over checkpoints and restarts", () =>
  withEngine(async (scene) => {
    await scene.serveRepository("lib");
    const id = await contradicted(scene, "app", "lib");
    assertEquals(inDoubt(scene), [[id, "git:app"], [id, "git:lib"]]);
    await scene.engine.inDoubt.resolve(id, { participant: "git:lib", ...closed });
    for (const again of [() => {}, () => scene.engine.checkpoint()]) {
      await again();
      await scene.restart();
      assertEquals(inDoubt(scene), [[id, "git:app"]]);
      assertEquals(await isWritable(scene), "repository_quarantined");
      assertEquals(scene.manager.get(id).state, "failed");
    }
    await scene.engine.inDoubt.resolve(id, { participant: "git:app", ...closed });
    assertEquals([inDoubt(scene), await isWritable(scene)], [[], true]);
  }));
