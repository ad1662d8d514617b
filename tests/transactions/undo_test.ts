import { assertEquals, assertRejects } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { parseLayerName, parseRepositoryName } from "../../src/core/ids.ts";
import type { GitOperation } from "../../src/core/operations.ts";
import type { TransactionDocument } from "../../src/core/transaction_document.ts";
import type { UndoRequest } from "../../src/transactions/manager.ts";
import { git } from "../harness/git.ts";
import { assertFsckClean, makeCommit, readRef } from "../harness/repositories.ts";
import {
  create,
  createFrom,
  dropLayer,
  type EngineScene,
  move,
  put,
  remove,
  updateRef,
  withEngine,
} from "./engine_scene.ts";

const BY_NOBODY: UndoRequest = {
  message: null,
  author: null,
  lockTimeoutMs: 5_000,
  idempotency: null,
};

function undo(scene: EngineScene, done: TransactionDocument): Promise<TransactionDocument> {
  return scene.manager.undo(scene.idOf(done), BY_NOBODY);
}

async function conflictsOf(scene: EngineScene, done: TransactionDocument) {
  const error = await assertRejects(() => undo(scene, done), LayerdError);
  assertEquals(error.code, "write_conflict");
  assertEquals(error.details.transaction !== undefined, true);
  return (error.details.conflicts ?? []).map(({ repository, layer, ref, path }) =>
    [repository, layer ?? ref, path ?? null].join(" ")
  );
}

function inRepository(name: string, operation: GitOperation): GitOperation {
  return { ...operation, repository: parseRepositoryName(name) };
}

Deno.test("undo restores added, modified, deleted and moved files by a new commit", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "kept", "k"), put("a", "d/x", "1"), put("a", "y", "2"));
    const before = await git(scene.path("app"), ["ls-tree", "-r", "refs/layers/a"]);
    const done = await scene.run(
      put("a", "d/x", "changed"),
      remove("a", "y"),
      put("a", "y/now/a/directory", "3"),
      move("a", "kept", "moved"),
      put("a", "new", "4"),
    );
    const undone = await undo(scene, done);
    assertEquals([undone.state, undone.labels["undoes"]], ["committed", done.id]);
    assertEquals(await git(scene.path("app"), ["ls-tree", "-r", "refs/layers/a"]), before);
    assertEquals(await readRef(scene.path("app"), "refs/layers/a^"), done.results[0]?.new);
    const message = await git(scene.path("app"), ["log", "-1", "--format=%s", "refs/layers/a"]);
    assertEquals(message, `Undo "layerd transaction ${done.id}"`);
    await assertFsckClean(scene.path("app"));
  }));

Deno.test("undo leaves alone what other transactions did to other files", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "x", "1"));
    const done = await scene.run(put("a", "x", "2"), put("a", "z", "z"));
    await scene.run(put("a", "other", "later"));
    await undo(scene, done);
    assertEquals(await scene.text("a", "x"), "1");
    assertEquals(await scene.text("a", "other"), "later");
    assertEquals(await scene.paths("a"), ["other", "x"]);
  }));

Deno.test("undo names every file that has changed since and restores none", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "x", "1"), put("a", "y", "1"), put("a", "z", "1"));
    const done = await scene.run(put("a", "x", "2"), put("a", "y", "2"), remove("a", "z"));
    await scene.run(put("a", "x", "3"), put("a", "z", "3"));
    assertEquals(await conflictsOf(scene, done), ["app a x", "app a z"]);
    assertEquals(await scene.text("a", "y"), "2");
    // Where a directory has taken the place, nothing can be put back either.
    const gone = await scene.run(remove("a", "y"));
    await scene.run(put("a", "y/inside", "1"));
    assertEquals(await conflictsOf(scene, gone), ["app a y"]);
  }));

Deno.test("undo takes back a key of a structured file where a later change is of another", () =>
  withEngine(async (scene) => {
    const text = (a: number, b: number) => `{\n  // The first.\n  "a": ${a},\n  "b": ${b}\n}\n`;
    await scene.run(create("l"), put("l", "s.json", text(1, 1)), put("l", "s.txt", "a=1\n\nb=1\n"));
    const done = await scene.run(put("l", "s.json", text(2, 1)));
    await scene.run(put("l", "s.json", text(2, 2)));
    await undo(scene, done);
    assertEquals(await scene.text("l", "s.json"), text(1, 2));
    assertEquals((await undo(scene, done)).results, [], "a second time changes nothing");

    const both = await scene.run(put("l", "s.json", text(5, 2)));
    await scene.run(put("l", "s.json", text(6, 3)));
    const error = await assertRejects(() => undo(scene, both), LayerdError);
    const conflicts = (error.details.conflicts ?? []).map(({ path, key }) => [path, key]);
    assertEquals([error.code, conflicts], ["write_conflict", [["s.json", "a"]]]);
    assertEquals(await scene.text("l", "s.json"), text(6, 3));

    // Plain text has no keys: a later change of the file is a conflict wherever it is.
    const plain = await scene.run(put("l", "s.txt", "a=2\n\nb=1\n"));
    await scene.run(put("l", "s.txt", "a=2\n\nb=2\n"));
    assertEquals(await conflictsOf(scene, plain), ["app l s.txt"]);
  }));

Deno.test("undo a second time finds everything put back and moves nothing", () =>
  withEngine(async (scene) => {
    const made = await scene.run(create("a"), put("a", "x", "1"));
    const done = await scene.run(put("a", "x", "2"));
    await undo(scene, done);
    assertEquals((await undo(scene, done)).results, []);
    assertEquals((await undo(scene, made)).results.map(({ new: now }) => now), [null]);
    assertEquals((await undo(scene, made)).results, []);
    assertEquals(await readRef(scene.path("app"), "refs/layers/a"), null);
  }));

Deno.test("undo of an undo brings the change back", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "x", "1"));
    const undone = await undo(scene, await scene.run(put("a", "x", "2")));
    await undo(scene, undone);
    assertEquals(await scene.text("a", "x"), "2");
  }));

Deno.test("undo deletes created layers and creates deleted ones, in several repositories", () =>
  withEngine(async (scene) => {
    await scene.serveRepository("lib");
    const lib = (operation: GitOperation) => inRepository("lib", operation);
    await scene.run(create("a"), put("a", "x", "1"), lib(create("b")), lib(put("b", "y", "1")));
    const before = await git(scene.path("app"), ["for-each-ref", "refs/layers"]);
    const libBefore = await git(scene.path("lib"), ["for-each-ref", "refs/layers"]);
    const done = await scene.run(
      dropLayer("a"),
      create("a/deeper"),
      put("a/deeper", "n", "n"),
      lib(put("b", "y", "2")),
      lib(createFrom("c", "b")),
    );
    const undone = await undo(scene, done);
    assertEquals(undone.results.length, 4);
    assertEquals(await git(scene.path("app"), ["for-each-ref", "refs/layers"]), before);
    const [b, ...others] = (await git(scene.path("lib"), ["for-each-ref", "refs/layers"]))
      .split("\n");
    assertEquals([others, b === libBefore], [[], false]);
    assertEquals(await git(scene.path("lib"), ["show", "refs/layers/b:y"]), "1");
  }));

Deno.test("undo refuses to delete a layer that has grown and to overwrite one that is back", () =>
  withEngine(async (scene) => {
    const made = await scene.run(create("a"), put("a", "x", "1"), create("b"));
    await scene.run(put("a", "y", "2"));
    assertEquals(await conflictsOf(scene, made), ["app a "]);
    const dropped = await scene.run(dropLayer("b"));
    await scene.run(create("b"), put("b", "else", "1"));
    assertEquals(await conflictsOf(scene, dropped), ["app b "]);
    const changed = await scene.run(put("a", "x", "2"));
    await scene.run(dropLayer("a"));
    assertEquals(await conflictsOf(scene, changed), ["app a "]);
  }));

Deno.test("undo moves other refs back where they are still what the transaction made them", () =>
  withEngine(async (scene) => {
    const path = scene.path("app");
    const main = await git(path, ["rev-parse", "main"]);
    const next = await makeCommit(path, main, "next");
    await scene.run(updateRef("refs/heads/x", main));
    const done = await scene.run(updateRef("refs/heads/x", next), updateRef("refs/tags/t", next));
    await undo(scene, done);
    assertEquals(await readRef(path, "refs/heads/x"), main);
    assertEquals(await readRef(path, "refs/tags/t"), null);
    const again = await scene.run(updateRef("refs/heads/x", next));
    await git(path, ["update-ref", "refs/heads/x", await makeCommit(path, next, "native")]);
    assertEquals(await conflictsOf(scene, again), ["app refs/heads/x "]);
  }));

Deno.test("undo knows a transaction from the ledger after a restart", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "x", "1"));
    const done = await scene.run(put("a", "x", "2"));
    await scene.restart();
    await undo(scene, done);
    assertEquals(await scene.text("a", "x"), "1");
  }));

Deno.test("undo waits for the layer's lock and refuses what is not committed", () =>
  withEngine(async (scene) => {
    const done = await scene.run(create("a"), put("a", "x", "1"));
    const layer = parseLayerName("a");
    const app = parseRepositoryName("app");
    const holder = await scene.openTransaction({
      locks: [{ repository: app, layer, mode: "exclusive" }],
    });
    const refused = await assertRejects(
      () => scene.manager.undo(scene.idOf(done), { ...BY_NOBODY, lockTimeoutMs: 0 }),
      LayerdError,
    );
    assertEquals(refused.code, "lock_timeout");
    const waiting = undo(scene, done);
    await scene.manager.rollback(holder);
    assertEquals((await waiting).state, "committed");
    const rolledBack = await assertRejects(
      () => scene.manager.undo(holder, BY_NOBODY),
      LayerdError,
    );
    assertEquals([rolledBack.code, rolledBack.details.event], ["invalid_transition", "undo"]);
  }));
