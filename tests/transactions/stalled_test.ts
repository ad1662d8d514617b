import { assertEquals } from "@std/assert";
import { assertFsckClean, assertNothingLeftBehind } from "../harness/repositories.ts";
import {
  parseFilePath,
  parseLayerName,
  parseRepositoryName,
  type RepositoryName,
  type TransactionId,
} from "../../src/core/ids.ts";
import { app, create, type EngineScene, put, withEngine } from "./engine_scene.ts";
import { codeAndState, refusalOf } from "./refusals.ts";

const TWO = [app, parseRepositoryName("web")];

/** Text of `f` in layer `a` of a repository, as the transaction sees it. */
async function textIn(
  scene: EngineScene,
  transaction: TransactionId,
  repository: RepositoryName,
): Promise<string> {
  const point = { repository, layer: parseLayerName("a"), transaction, at: null };
  const { bytes } = await scene.reader.file(point, parseFilePath("f"));
  return new TextDecoder().decode(bytes);
}

Deno.test("a decided commit whose publication stalls is committing until it is through", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "f", "0"));
    const collect = scene.events();
    scene.fileSystem.refusesPublication = true;
    const id = await scene.openTransaction({ operations: [put("a", "f", "1")] });
    const document = await scene.manager.commit(id);
    assertEquals([document.state, document.problem?.code, document.lease_expires_at], [
      "committing",
      "io_error",
      null,
    ]);
    assertEquals(document.results.map(({ layer }) => layer), ["a"]);
    assertEquals((await scene.manager.commit(id)).state, "committing");
    assertEquals(await codeAndState(scene.manager.rollback(id)), [
      "invalid_transition",
      "committing",
    ]);
    assertEquals(scene.manager.counts(), { active: 0, in_doubt: 1, failed: 0 });
    const other = scene.begin({ operations: [put("a", "f", "2")], lockTimeoutMs: 10 });
    assertEquals((await refusalOf(other)).code, "lock_timeout");
    scene.fileSystem.refusesPublication = false;
    assertEquals((await scene.manager.waitFor(id, "terminal", 5_000)).state, "committed");
    assertEquals(await scene.text("a", "f"), "1");
    assertEquals(scene.manager.locks(null).locks, []);
    const types = (await collect()).map(({ type }) => type).filter((type) =>
      !/begun|lock/.test(type)
    );
    assertEquals(types, [
      "transaction.committing",
      "transaction.rolled_back",
      "layer.changed",
      "transaction.committed",
    ]);
  }));

Deno.test("a stalled commit holds its table locks again after a restart", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "f", "0"));
    scene.fileSystem.refusesPublication = true;
    const id = await scene.openTransaction({ operations: [put("a", "f", "1")] });
    await scene.manager.commit(id);
    await scene.restart();
    const found = scene.manager.get(id);
    assertEquals([found.state, found.locks], ["committing", [
      { repository: "app", layer: "a", mode: "exclusive" },
    ]]);
    const other = scene.begin({ operations: [put("a", "f", "2")], lockTimeoutMs: 10 });
    assertEquals((await refusalOf(other)).code, "lock_timeout");
    scene.fileSystem.refusesPublication = false;
    assertEquals((await scene.manager.waitFor(id, "terminal", 15_000)).state, "committed");
    assertEquals(await scene.text("a", "f"), "1");
    await assertFsckClean(scene.path("app"));
    await assertNothingLeftBehind(`${scene.path("app")}/.git`);
  }));

Deno.test("an optimistic snapshot shows all of a transaction that stalls in one of its repositories", () =>
  withEngine(async (scene) => {
    await scene.serveRepository("web");
    const both = (text: string) =>
      TWO.map((repository) => ({ ...put("a", "f", text), repository }));
    await scene.run(...TWO.map((repository) => ({ ...create("a"), repository })), ...both("0"));
    scene.fileSystem.refusesPublicationBelow = scene.path("web");
    assertEquals((await scene.run(...both("1"))).state, "committing");
    const id = await scene.openTransaction({ isolation: "optimistic" });
    scene.fileSystem.refusesPublicationBelow = null;
    assertEquals(await Promise.all(TWO.map((repository) => textIn(scene, id, repository))), [
      "1",
      "1",
    ]);
  }));

Deno.test("an optimistic snapshot shows all of a commit that stalls while its group is under way", () =>
  withEngine(async (scene) => {
    await scene.serveRepository("web");
    const both = TWO.flatMap((repository) => [
      { ...create("a"), repository },
      { ...put("a", "f", "0"), repository },
    ]);
    await scene.run(...both);
    const disk = Promise.withResolvers<void>();
    const moved = Promise.withResolvers<void>();
    scene.fileSystem.beforePublication = () => {
      scene.fileSystem.directorySync = disk.promise;
      moved.resolve();
    };
    scene.fileSystem.refusesPublicationBelow = scene.path("web");
    const committing = scene.run(
      ...TWO.map((repository) => ({ ...put("a", "f", "1"), repository })),
    );
    await moved.promise;
    const id = await scene.openTransaction({ isolation: "optimistic" });
    disk.resolve();
    scene.fileSystem.beforePublication = () => {};
    assertEquals((await committing).state, "committing");
    scene.fileSystem.refusesPublicationBelow = null;
    assertEquals(await Promise.all(TWO.map((repository) => textIn(scene, id, repository))), [
      "1",
      "1",
    ]);
  }));
