import { assert, assertEquals } from "@std/assert";
import { layerRef, parseLayerName, parseTransactionId } from "../../src/core/ids.ts";
import type { LockRequest } from "../../src/transactions/manager.ts";
import { git } from "../harness/git.ts";
import { makeCommit, readRef } from "../harness/repositories.ts";
import { app, create, put, verify, withEngine } from "./engine_scene.ts";
import { codeAndState, refusalOf } from "./refusals.ts";

function lock(layer: string, mode: "shared" | "exclusive"): LockRequest {
  return { repository: app, layer: parseLayerName(layer), mode };
}

Deno.test("a second writer waits for the first and sees what it committed", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "f", "0"));
    const one = await scene.openTransaction();
    const two = await scene.openTransaction();
    await scene.manager.stage(one, [put("a", "f", "1")]);
    const waiting = scene.manager.stage(two, [put("a", "g", "2")]);
    await scene.manager.commit(one);
    await waiting;
    assertEquals(await scene.text("a", "f", two), "1");
    assertEquals((await scene.manager.commit(two)).state, "committed");
    assertEquals(await scene.paths("a"), ["f", "g"]);
  }));

Deno.test("a wait that is exhausted ends in lock_timeout, names the holder and leaves it active", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"));
    const one = await scene.openTransaction();
    const two = await scene.openTransaction({ lockTimeoutMs: 20 });
    await scene.manager.stage(one, [put("a", "f", "1")]);
    const error = await refusalOf(scene.manager.stage(two, [put("a", "f", "2")]));
    assertEquals(error.code, "lock_timeout");
    assertEquals(error.details.holders?.map((holder) => holder.transaction_id), [one]);
    assertEquals(scene.manager.get(two).state, "active");
    assertEquals(scene.manager.get(two).operations, 0);
    assertEquals(scene.manager.locks(app).locks.flatMap(({ waiters }) => waiters), []);
    await scene.manager.rollback(one);
    await scene.manager.stage(two, [put("a", "f", "2")]);
    await scene.manager.commit(two);
    assertEquals(await scene.text("a", "f"), "2");
  }));

Deno.test("readers share a layer; an upgrade waits for the other reader and keeps its snapshot", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "f", "0"));
    const one = await scene.openTransaction();
    const two = await scene.openTransaction();
    assertEquals(await scene.text("a", "f", one), "0");
    assertEquals(await scene.text("a", "f", two), "0");
    const before = scene.manager.get(one).snapshot;
    const upgrade = scene.manager.stage(one, [put("a", "f", "1")]);
    await scene.manager.commit(two);
    const document = await upgrade;
    assertEquals(document.locks, [{ repository: "app", layer: "a", mode: "exclusive" }]);
    assertEquals(document.snapshot, before);
    assertEquals((await scene.manager.commit(one)).state, "committed");
  }));

Deno.test("a deadlock rolls the youngest back and tells it whom it waited for", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), create("b"));
    const collect = scene.events();
    const older = await scene.openTransaction();
    const younger = await scene.openTransaction();
    await scene.manager.stage(older, [put("a", "f", "1")]);
    await scene.manager.stage(younger, [put("b", "f", "1")]);
    const waiting = refusalOf(scene.manager.stage(younger, [put("a", "f", "2")]));
    const through = scene.manager.stage(older, [put("b", "f", "2")]);
    const error = await waiting;
    assertEquals(error.code, "deadlock");
    assertEquals(error.details.holders?.map((holder) => holder.transaction_id), [older]);
    assertEquals(scene.manager.get(younger).state, "rolled_back");
    assertEquals(scene.manager.get(younger).problem?.code, "deadlock");
    await through;
    await scene.manager.commit(older);
    const deadlocks = (await collect()).filter(({ type }) => type === "lock.deadlock");
    assertEquals(deadlocks.map(({ data }) => data.transaction_id), [younger]);
  }));

Deno.test("the youngest is the victim also when it closes the cycle itself", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), create("b"));
    const older = await scene.openTransaction();
    const younger = await scene.openTransaction();
    await scene.manager.stage(older, [put("a", "f", "1")]);
    await scene.manager.stage(younger, [put("b", "f", "1")]);
    const through = scene.manager.stage(older, [put("b", "f", "2")]);
    assertEquals(
      await codeAndState(scene.manager.stage(younger, [put("a", "f", "2")])),
      ["deadlock", "rolled_back"],
    );
    await through;
  }));

Deno.test("begin waits for its locks in `initiated` and leaves nothing open when it cannot", () =>
  withEngine(async (scene) => {
    const holder = await scene.openTransaction({ locks: [lock("a", "exclusive")] });
    const error = await refusalOf(
      scene.begin({ locks: [lock("b", "shared"), lock("a", "shared")], lockTimeoutMs: 20 }),
    );
    assertEquals(error.code, "lock_timeout");
    const waits = scene.next("lock.waiting");
    const waiting = scene.begin({ locks: [lock("a", "shared")] });
    await waits;
    const initiated = scene.manager.list({ state: "initiated" }, 10, null);
    assertEquals(initiated.length, 1);
    await scene.manager.rollback(holder);
    assertEquals((await waiting).state, "active");
    assertEquals(scene.manager.counts().active, 1);
  }));

Deno.test("a client that goes away while begin waits takes its transaction with it", () =>
  withEngine(async (scene) => {
    const holder = await scene.openTransaction({ locks: [lock("a", "exclusive")] });
    const departure = new AbortController();
    const collect = scene.events();
    const waits = scene.next("lock.waiting");
    const waiting = scene.begin({ locks: [lock("a", "exclusive")] }, departure.signal);
    await waits;
    departure.abort();
    await refusalOf(waiting);
    const states = (await collect()).map(({ type }) => type);
    assertEquals(states.includes("transaction.rolled_back"), true);
    assertEquals(scene.manager.counts().active, 1);
    const { locks } = scene.manager.locks(null);
    assertEquals(locks.map(({ holders, waiters }) => [holders.length, waiters.length]), [[1, 0]]);
    await scene.manager.rollback(holder);
    assertEquals(scene.manager.locks(null), { locks: [], waits_for: [] });
  }));

Deno.test("a client that goes away while stage waits leaves the transaction active", () =>
  withEngine(async (scene) => {
    const holder = await scene.openTransaction({ locks: [lock("a", "exclusive")] });
    const other = await scene.openTransaction();
    const departure = new AbortController();
    const waiting = scene.manager.stage(other, [create("a")], departure.signal);
    departure.abort();
    await refusalOf(waiting);
    assertEquals(scene.manager.get(other).state, "active");
    await scene.manager.rollback(holder);
    await scene.manager.stage(other, [create("a")]);
  }));

Deno.test("rollback ends a call of the same transaction that waits for a lock", () =>
  withEngine(async (scene) => {
    await scene.openTransaction({ locks: [lock("a", "exclusive")] });
    const other = await scene.openTransaction({ lockTimeoutMs: 60_000 });
    const waiting = refusalOf(scene.manager.stage(other, [create("a")]));
    assertEquals((await scene.manager.rollback(other)).state, "rolled_back");
    assertEquals((await waiting).code, "invalid_transition");
  }));

Deno.test("a layer moved by native git is a write_conflict, whether written or only read", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), create("b"));
    const path = scene.path("app");
    for (const read of ["a", "b"]) {
      const id = await scene.openTransaction();
      await scene.paths(read, id);
      await scene.manager.stage(id, [put("a", "f", read)]);
      const expected = await readRef(path, `refs/layers/${read}`);
      assert(expected !== null);
      const moved = await makeCommit(path, expected, "native");
      await git(path, ["update-ref", `refs/layers/${read}`, moved]);
      const error = await refusalOf(scene.manager.commit(id));
      assertEquals(error.code, "write_conflict");
      assertEquals(error.details.conflicts, [{
        repository: "app",
        ref: `refs/layers/${read}`,
        layer: read,
        expected,
        actual: moved,
      }]);
      assertEquals(scene.manager.get(id).state, "rolled_back");
      assertEquals(await codeAndState(scene.manager.commit(id)), [
        "invalid_transition",
        "rolled_back",
      ]);
    }
  }));

Deno.test("a transaction that only read is refused where native git moved what it read", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), create("b"));
    const path = scene.path("app");
    const id = await scene.openTransaction();
    await scene.paths("a", id);
    // Else it would have seen the old a beside the new b.
    for (const ref of ["refs/layers/a", "refs/layers/b"]) {
      await git(path, ["update-ref", ref, await makeCommit(path, ref, "native")]);
    }
    await scene.paths("b", id);
    const error = await refusalOf(scene.manager.commit(id));
    assertEquals(error.code, "write_conflict");
    assertEquals(error.details.conflicts?.map(({ layer }) => layer), ["a"]);
    const calm = await scene.openTransaction();
    for (const layer of ["a", "b"]) await scene.paths(layer, calm);
    assertEquals((await scene.manager.commit(calm)).state, "committed");
  }));

Deno.test("a layer's snapshot is what its first lock saw, whatever native git does later", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "f", "1"));
    const path = scene.path("app");
    const id = await scene.openTransaction();
    await scene.paths("a", id);
    const before = scene.manager.get(id).snapshot;
    const moved = await makeCommit(path, "refs/layers/a", "native");
    await git(path, ["update-ref", "refs/layers/a", moved]);
    const staged = await scene.manager.stage(id, [put("a", "f", "2")]);
    assertEquals(staged.snapshot, before);
    const error = await refusalOf(scene.manager.commit(id));
    assertEquals(error.details.conflicts?.map(({ actual }) => actual), [moved]);
  }));

Deno.test("verify takes a shared lock, is checked at once and again at commit", () =>
  withEngine(async (scene) => {
    const { results } = await scene.run(create("a"), create("b"));
    const value = results[0]?.new ?? null;
    const path = scene.path("app");
    const id = await scene.openTransaction();
    const ref = layerRef(parseLayerName("a"));
    assertEquals(
      (await refusalOf(scene.manager.stage(id, [verify(ref, null)]))).code,
      "write_conflict",
    );
    await scene.manager.stage(id, [verify(ref, value)]);
    assertEquals(scene.manager.get(id).locks, [{ repository: "app", layer: "a", mode: "shared" }]);
    const writer = await scene.openTransaction({ lockTimeoutMs: 10 });
    assertEquals(
      (await refusalOf(scene.manager.stage(writer, [put("a", "f", "1")]))).code,
      "lock_timeout",
    );
    await git(path, ["update-ref", ref, await makeCommit(path, value ?? "", "native")]);
    assertEquals(await codeAndState(scene.manager.commit(id)), ["write_conflict", "rolled_back"]);
  }));

Deno.test("a foreign lock file leaves the transaction active to try again", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"));
    const id = parseTransactionId((await scene.begin({ lockTimeoutMs: 30 })).id);
    await scene.manager.stage(id, [put("a", "f", "1")]);
    const file = `${scene.path("app")}/.git/refs/layers/a.lock`;
    await Deno.mkdir(`${scene.path("app")}/.git/refs/layers`, { recursive: true });
    await Deno.writeTextFile(file, "");
    assertEquals(await codeAndState(scene.manager.commit(id)), ["repository_locked", "active"]);
    await Deno.remove(file);
    assertEquals((await scene.manager.commit(id)).state, "committed");
  }));
