import { assert, assertEquals } from "@std/assert";
import { layerRef, parseLayerName } from "../../src/core/ids.ts";
import { git } from "../harness/git.ts";
import { makeCommit, readRef } from "../harness/repositories.ts";
import { create, put, verify, withEngine } from "./engine_scene.ts";
import { codeAndState, refusalOf } from "./refusals.ts";

const optimistic = { isolation: "optimistic" } as const;

Deno.test("an optimistic transaction reads the moment of its begin and takes no locks", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "f", "0"));
    const id = await scene.openTransaction(optimistic);
    await scene.run(put("a", "f", "1"), create("b"));
    assertEquals(await scene.text("a", "f", id), "0");
    assertEquals((await refusalOf(scene.paths("b", id))).code, "layer_not_found");
    assertEquals(scene.manager.locks(null).locks, []);
    assertEquals(scene.manager.get(id).snapshot.map(({ layer }) => layer), ["a", "b"]);
  }));

Deno.test("of two optimistic writers of one layer the second conflicts, of two layers none", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), create("b"));
    const [one, two, three] = [
      await scene.openTransaction(optimistic),
      await scene.openTransaction(optimistic),
      await scene.openTransaction(optimistic),
    ];
    await scene.manager.stage(one, [put("a", "f", "1")]);
    await scene.manager.stage(two, [put("a", "f", "2")]);
    await scene.manager.stage(three, [put("b", "f", "3")]);
    const outcomes = await Promise.allSettled(
      [one, two, three].map((id) => scene.manager.commit(id)),
    );
    assertEquals(outcomes.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
    assertEquals(scene.manager.get(two).problem?.code, "write_conflict");
    assertEquals(await scene.text("a", "f"), "1");
  }));

Deno.test("an optimistic commit that comes too late is refused without git's locks", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"));
    const late = await scene.openTransaction(optimistic);
    await scene.manager.stage(late, [put("a", "f", "late")]);
    await scene.run(put("a", "f", "1"));
    // With a native lock in the way the pipeline could not answer before the lock's timeout.
    await Deno.writeTextFile(`${scene.path("app")}/.git/refs/layers/a.lock`, "");
    assertEquals(await codeAndState(scene.manager.commit(late)), ["write_conflict", "rolled_back"]);
  }));

Deno.test("verify excludes write skew", () =>
  withEngine(async (scene) => {
    const { results } = await scene.run(create("a"), create("b"));
    const [a, b] = results.map((result) => result.new);
    assert(a !== undefined && b !== undefined);
    const one = await scene.openTransaction(optimistic);
    const two = await scene.openTransaction(optimistic);
    await scene.manager.stage(one, [verify(layerRef(parseLayerName("a")), a), put("b", "f", "1")]);
    await scene.manager.stage(two, [verify(layerRef(parseLayerName("b")), b), put("a", "f", "2")]);
    const outcomes = await Promise.allSettled([
      scene.manager.commit(one),
      scene.manager.commit(two),
    ]);
    assertEquals(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
  }));

Deno.test("an optimistic commit waits for a locking transaction, then conflicts with it", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), create("A"));
    const locking = await scene.openTransaction();
    await scene.manager.stage(locking, [put("a", "f", "1")]);
    const impatient = await scene.openTransaction({ ...optimistic, lockTimeoutMs: 20 });
    await scene.manager.stage(impatient, [put("A", "f", "2"), put("a", "f", "2")]);
    assertEquals(await codeAndState(scene.manager.commit(impatient)), ["lock_timeout", "active"]);
    // The lock on `A`, which it had, is given back too.
    assertEquals(scene.manager.get(impatient).locks, []);
    assertEquals(scene.manager.locks(null).locks.map(({ layer }) => layer), ["a"]);
    const patient = await scene.openTransaction(optimistic);
    await scene.manager.stage(patient, [put("a", "f", "3")]);
    const conflict = codeAndState(scene.manager.commit(patient));
    await scene.manager.commit(locking);
    assertEquals(await conflict, ["write_conflict", "rolled_back"]);
  }));

Deno.test("an optimistic layer moved by native git is a write_conflict", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"));
    const path = scene.path("app");
    const id = await scene.openTransaction(optimistic);
    await scene.manager.stage(id, [put("a", "f", "1")]);
    const now = await readRef(path, "refs/layers/a");
    await git(path, ["update-ref", "refs/layers/a", await makeCommit(path, now ?? "", "native")]);
    assertEquals(await codeAndState(scene.manager.commit(id)), ["write_conflict", "rolled_back"]);
  }));
