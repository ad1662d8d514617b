import { assertEquals } from "@std/assert";
import { parseRepositoryName, parseSavepointName, parseTransactionId } from "../../src/core/ids.ts";
import { git } from "../harness/git.ts";
import { assertFsckClean, assertNothingLeftBehind } from "../harness/repositories.ts";
import { create, dropLayer, put, putBlob, remove, withEngine } from "./engine_scene.ts";
import { codeAndState, refusalOf } from "./refusals.ts";

Deno.test("a transaction goes from begin through stage to commit, seen and told at each step", () =>
  withEngine(async (scene) => {
    const collect = scene.events();
    const begun = await scene.begin({ message: "first", tenantId: "acme", labels: { a: "b" } });
    assertEquals([begun.state, begun.operations, begun.tenant_id], ["active", 0, "acme"]);
    const id = parseTransactionId(begun.id);
    const staged = await scene.manager.stage(id, [create("a"), put("a", "f", "1")]);
    assertEquals([staged.operations, staged.results], [2, []]);
    assertEquals(await scene.text("a", "f", id), "1");
    assertEquals((await refusalOf(scene.text("a", "f"))).code, "layer_not_found");
    const committed = await scene.manager.commit(id);
    const now = await git(scene.path("app"), ["rev-parse", "refs/layers/a"]);
    assertEquals(committed.results, [
      { repository: "app", layer: "a", ref: "refs/layers/a", old: null, new: now },
    ]);
    assertEquals([committed.locks, committed.lease_expires_at], [[], null]);
    assertEquals(scene.manager.get(id), committed);
    assertEquals((await collect()).map(({ type }) => type), [
      "transaction.begun",
      "layer.changed",
      "transaction.committed",
    ]);
    assertEquals(scene.manager.locks(null).locks, []);
    await scene.restart();
    assertEquals(scene.manager.get(id), committed);
  }));

Deno.test("repeated commit and rollback answer the end state, the opposite is refused", () =>
  withEngine(async (scene) => {
    const done = await scene.openTransaction();
    await scene.manager.commit(done);
    assertEquals((await scene.manager.commit(done)).state, "committed");
    const error = await refusalOf(scene.manager.rollback(done));
    assertEquals([error.code, error.details.from, error.details.event], [
      "invalid_transition",
      "committed",
      "rollback",
    ]);
    const undone = await scene.openTransaction({ operations: [create("a")] });
    assertEquals((await scene.manager.rollback(undone)).state, "rolled_back");
    assertEquals((await scene.manager.rollback(undone)).state, "rolled_back");
    assertEquals((await refusalOf(scene.manager.commit(undone))).code, "invalid_transition");
    assertEquals((await refusalOf(scene.manager.stage(undone, []))).code, "invalid_transition");
    const unknown = parseTransactionId("01ARZ3NDEKTSV4RRFFQ69G5FAV");
    assertEquals((await refusalOf(scene.manager.commit(unknown))).code, "transaction_not_found");
  }));

Deno.test("a second commit that arrives during the first gets the first one's outcome", () =>
  withEngine(async (scene) => {
    const id = await scene.openTransaction({ operations: [create("a")] });
    const [one, two] = await Promise.all([scene.manager.commit(id), scene.manager.commit(id)]);
    assertEquals(one, two);
    const loser = await scene.openTransaction({
      isolation: "optimistic",
      operations: [put("a", "f", "1")],
    });
    await scene.run(put("a", "f", "2"));
    const both = [scene.manager.commit(loser), scene.manager.commit(loser)];
    assertEquals(await Promise.all(both.map(codeAndState)), [
      ["write_conflict", "rolled_back"],
      ["write_conflict", "rolled_back"],
    ]);
  }));

Deno.test("calls on one transaction are served in the order they came", () =>
  withEngine(async (scene) => {
    const id = await scene.openTransaction();
    const texts = Array.from({ length: 20 }, (_, index) => String(index));
    const calls = [
      scene.manager.stage(id, [create("a")]),
      ...texts.map((text) => scene.manager.stage(id, [put("a", "f", text)])),
      scene.manager.commit(id),
    ];
    const documents = await Promise.all(calls);
    assertEquals(
      documents.map(({ operations }) => operations).slice(0, -1),
      [
        ...calls.keys(),
      ].slice(1),
    );
    assertEquals(await scene.text("a", "f"), "19");
  }));

Deno.test("a list is staged whole or not at all", () =>
  withEngine(async (scene) => {
    const id = await scene.openTransaction({ operations: [create("a"), put("a", "f", "1")] });
    const error = await refusalOf(
      scene.manager.stage(id, [put("a", "f", "2"), dropLayer("a"), create("b"), remove("b", "x")]),
    );
    assertEquals([error.code, error.details.transaction_id], ["file_not_found", id]);
    assertEquals(scene.manager.get(id).operations, 2);
    assertEquals(await scene.text("a", "f", id), "1");
    const committed = await scene.manager.commit(id);
    assertEquals(committed.results.map(({ layer }) => layer), ["a"]);
  }));

Deno.test("rollbackTo() takes back what came after the savepoint, again and again", () =>
  withEngine(async (scene) => {
    const [one, two] = [parseSavepointName("one"), parseSavepointName("two")];
    const id = await scene.openTransaction({ operations: [create("a"), put("a", "f", "0")] });
    await scene.manager.savepoint(id, one);
    for (const text of ["1", "2"]) {
      await scene.manager.stage(id, [put("a", "f", text), create("b"), put("b", "g", text)]);
      await scene.manager.savepoint(id, two);
      await scene.manager.stage(id, [dropLayer("a"), create("a"), put("a", "h", text)]);
      assertEquals((await scene.manager.rollbackTo(id, two)).savepoints, ["one", "two"]);
      assertEquals(await scene.text("a", "f", id), text);
      const back = await scene.manager.rollbackTo(id, one);
      assertEquals([back.operations, back.savepoints], [2, ["one"]]);
      assertEquals(back.locks.map(({ layer }) => layer), ["a", "b"]);
      assertEquals(await scene.text("a", "f", id), "0");
      assertEquals((await refusalOf(scene.paths("b", id))).code, "layer_not_found");
    }
    assertEquals((await refusalOf(scene.manager.rollbackTo(id, two))).code, "savepoint_not_found");
    const committed = await scene.manager.commit(id);
    assertEquals(committed.results.map(({ layer }) => layer), ["a"]);
  }));

Deno.test("a one-shot commit that is refused leaves nothing open and nothing behind", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"));
    assertEquals(
      await codeAndState(scene.run(put("a", "f", "1"), remove("a", "g"))),
      ["file_not_found", "rolled_back"],
    );
    const holder = await scene.openTransaction({ operations: [put("a", "f", "1")] });
    const request = { operations: [put("a", "f", "2")], commit: true, lockTimeoutMs: 10 };
    for (const isolation of ["locking", "optimistic"] as const) {
      assertEquals(await codeAndState(scene.begin({ ...request, isolation })), [
        "lock_timeout",
        "rolled_back",
      ]);
    }
    assertEquals(scene.manager.counts().active, 1);
    await scene.manager.rollback(holder);
    await assertNothingLeftBehind(`${scene.path("app")}/.git`);
    await assertFsckClean(scene.path("app"));
  }));

Deno.test("several repositories commit together", () =>
  withEngine(async (scene) => {
    await scene.serveRepository("other");
    const other = { ...create("a"), repository: parseRepositoryName("other") };
    const done = await scene.run(create("a"), other);
    assertEquals(done.results.map(({ repository }) => repository), ["app", "other"]);
  }));

Deno.test("waitFor() is woken by the state, by any end, or times out", () =>
  withEngine(async (scene) => {
    const id = await scene.openTransaction();
    assertEquals((await scene.manager.waitFor(id, "active", 1)).state, "active");
    assertEquals((await refusalOf(scene.manager.waitFor(id, "prepared", 10))).code, "timeout");
    const prepared = scene.manager.waitFor(id, "prepared", 5_000);
    const ended = scene.manager.waitFor(id, "failed", 5_000);
    await scene.manager.prepare(id);
    assertEquals((await prepared).state, "prepared");
    await scene.manager.rollback(id);
    assertEquals((await ended).state, "rolled_back");
  }));

Deno.test("list() merges open and finished transactions, newest first", () =>
  withEngine(async (scene) => {
    const first = await scene.run(create("a"));
    const second = await scene.openTransaction({ operations: [put("a", "f", "1")] });
    const third = parseTransactionId((await scene.run(create("b"))).id);
    const fourth = await scene.openTransaction({ tenantId: "acme" });
    await scene.manager.rollback(fourth);
    const ids = (documents: readonly { readonly id: string }[]) => documents.map(({ id }) => id);
    const all = [fourth, third, second, first.id];
    assertEquals(ids(scene.manager.list({}, 10, null)), all);
    assertEquals(ids(scene.manager.list({}, 2, third)), all.slice(2));
    assertEquals(ids(scene.manager.list({ state: "active" }, 10, null)), [second]);
    assertEquals(ids(scene.manager.list({ layer: "a" }, 10, null)), [second, first.id]);
    assertEquals(ids(scene.manager.list({ tenantId: "acme" }, 10, null)), [fourth]);
    await scene.restart();
    assertEquals(ids(scene.manager.list({}, 10, null)), [fourth, third, first.id]);
  }));

Deno.test("drain() refuses begins, waits for what is open, then takes it along", () =>
  withEngine(async (scene) => {
    const finishing = await scene.openTransaction({ operations: [create("a")] });
    const left = await scene.openTransaction({ operations: [create("b")] });
    const drained = scene.manager.drain(100);
    assertEquals((await refusalOf(scene.begin())).code, "draining");
    await scene.manager.commit(finishing);
    await drained;
    assertEquals(scene.manager.counts().active, 0);
    await scene.restart();
    assertEquals(scene.manager.get(finishing).state, "committed");
    const gone = await refusalOf(Promise.resolve().then(() => scene.manager.get(left)));
    assertEquals(gone.code, "transaction_not_found");
  }));

Deno.test("an upload is spooled, put by its id and gone with its transaction", () =>
  withEngine(async (scene) => {
    const bytes = new Uint8Array(300_000).fill(65);
    const id = await scene.openTransaction({ operations: [create("a")] });
    const { oid, size } = await scene.manager.addBlob(id, new Blob([bytes]).stream());
    assertEquals(size, bytes.length);
    const path = scene.path("app");
    const unknown = await refusalOf(scene.run(create("c"), putBlob("c", "big", oid)));
    assertEquals([unknown.code, unknown.details.field], ["invalid_request", "operations[1].oid"]);
    await scene.manager.stage(id, [putBlob("a", "big", oid)]);
    assertEquals((await scene.text("a", "big", id)).length, size);
    const spool = `${scene.directory}/state/spool`;
    assertEquals([...Deno.readDirSync(spool)].length, 1);
    await scene.manager.commit(id);
    assertEquals([...Deno.readDirSync(spool)].length, 0);
    assertEquals(await git(path, ["rev-parse", "refs/layers/a:big"]), oid);
    assertEquals(await git(path, ["cat-file", "-s", oid]), String(size));
    const again = await scene.run(putBlob("a", "copy", oid));
    assertEquals(again.results.length, 1);
    await assertFsckClean(path);
  }));
