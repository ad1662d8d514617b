/** Two and three clients on the same layers: locks, snapshots, conflicts, deadlock. */
import { assert, assertEquals } from "@std/assert";
import { create, problemOf, put, transactionIn, verify } from "../harness/api.ts";
import { git } from "../harness/git.ts";
import { makeCommit } from "../harness/repositories.ts";
import { type Registered, type Scene, sharedScenarios } from "../harness/scene.ts";
import { Connection, encodeRequest } from "../harness/socket_client.ts";

const test = sharedScenarios();

async function withLayers(scene: Scene, ...layers: string[]): Promise<Registered> {
  const repository = await scene.repository();
  const { name } = repository;
  await scene.api.apply(
    layers.flatMap((layer) => [create(name, layer), put(name, layer, "n", "0")]),
  );
  return repository;
}

/** Waits until somebody waits for a lock in the repository. */
async function untilWaiting(scene: Scene, repository: string, waiters: number): Promise<void> {
  while (true) {
    const { locks } = await scene.api.locks(repository);
    const waiting = locks.reduce((sum, lock) => sum + lock.waiters.length, 0);
    if (waiting >= waiters) return;
  }
}

test("a writer waits for the one before it and reads what that committed", async (scene) => {
  const { name } = await withLayers(scene, "a");
  const first = await scene.api.begin();
  const second = await scene.api.begin();
  await scene.api.stage(first.id, put(name, "a", "n", "1"));
  const waiting = scene.api.read(name, "a", "n", second.id);
  await untilWaiting(scene, name, 1);
  assertEquals(await scene.api.read(name, "a", "n"), "0");
  await scene.api.commit(first.id);
  assertEquals(await waiting, "1");
  await scene.api.stage(second.id, put(name, "a", "n", "2"));
  await scene.api.commit(second.id);
  assertEquals(await scene.api.read(name, "a", "n"), "2");
});

test("readers share a lock and keep a writer out", async (scene) => {
  const { name } = await withLayers(scene, "a");
  const one = await scene.api.begin();
  const two = await scene.api.begin();
  const writer = await scene.api.begin({ lock_timeout_ms: 60 });
  assertEquals(await scene.api.read(name, "a", "n", one.id), "0");
  assertEquals(await scene.api.read(name, "a", "n", two.id), "0");
  const reply = await scene.api.tryStage(writer.id, [put(name, "a", "n", "1")]);
  const { holders } = problemOf(reply, 423, "lock_timeout");
  assertEquals(
    holders?.map(({ transaction_id }) => transaction_id).sort(),
    [one.id, two.id].sort(),
  );
  assertEquals(holders?.map(({ mode }) => mode), ["shared", "shared"]);
  for (const { id } of [one, two, writer]) await scene.api.rollback(id);
});

test("locks asked for at begin are granted before it answers", async (scene) => {
  const { name } = await withLayers(scene, "a");
  const locks = [{ repository: name, layer: "a", mode: "exclusive" }, {
    repository: name,
    layer: "not/yet",
    mode: "shared",
  }];
  const holder = await scene.api.begin({ locks });
  const document = await scene.api.locks(name);
  assertEquals(document.locks.map(({ layer, holders }) => [layer, holders[0]?.mode]).sort(), [
    ["a", "exclusive"],
    ["not/yet", "shared"],
  ]);
  const next = scene.api.begin({ locks });
  await untilWaiting(scene, name, 1);
  await scene.api.rollback(holder.id);
  const { id, state } = await next;
  assertEquals(state, "active");
  await scene.api.rollback(id);
  const refused = await scene.api.tryBegin({
    locks: [{ repository: "nowhere", layer: "a", mode: "shared" }],
  });
  problemOf(refused, 404, "repository_not_found");
  assertEquals(await scene.api.locks(name), { locks: [], waits_for: [] });
});

test("begin that times out on a lock leaves nothing open", async (scene) => {
  const { name } = await withLayers(scene, "a");
  const locks = [{ repository: name, layer: "a", mode: "exclusive" }];
  const holder = await scene.api.begin({ locks });
  const reply = await scene.api.tryBegin({ locks, lock_timeout_ms: 50 });
  const { holders, retryable } = problemOf(reply, 423, "lock_timeout");
  assertEquals(retryable, true);
  assertEquals(holders?.map(({ transaction_id }) => transaction_id), [holder.id]);
  const { locks: held } = await scene.api.locks(name);
  assertEquals(held.map(({ waiters }) => waiters), [[]]);
  await scene.api.rollback(holder.id);
});

test("a deadlock among three ends the youngest and names whom it waited for", async (scene) => {
  const { name } = await withLayers(scene, "a", "b", "c");
  const options = { lock_timeout_ms: 20_000 };
  const one = await scene.api.begin(options);
  const two = await scene.api.begin(options);
  const three = await scene.api.begin(options);
  await scene.api.stage(one.id, put(name, "a", "n", "1"));
  await scene.api.stage(two.id, put(name, "b", "n", "2"));
  await scene.api.stage(three.id, put(name, "c", "n", "3"));
  const oneWaits = scene.api.stage(one.id, put(name, "b", "n", "1"));
  await untilWaiting(scene, name, 1);
  const twoWaits = scene.api.stage(two.id, put(name, "c", "n", "2"));
  await untilWaiting(scene, name, 2);
  const reply = await scene.api.tryStage(three.id, [put(name, "a", "n", "3")]);
  const { holders } = problemOf(reply, 409, "deadlock");
  assertEquals(holders?.map(({ transaction_id }) => transaction_id), [one.id]);
  await twoWaits;
  await scene.api.commit(two.id);
  await oneWaits;
  await scene.api.commit(one.id);
  assertEquals((await scene.api.transaction(three.id)).state, "rolled_back");
  assertEquals(await scene.api.locks(name), { locks: [], waits_for: [] });
});

test("two readers that both want to write are a deadlock, not two writers", async (scene) => {
  const { name } = await withLayers(scene, "a");
  const one = await scene.api.begin({ lock_timeout_ms: 20_000 });
  const two = await scene.api.begin({ lock_timeout_ms: 20_000 });
  await scene.api.read(name, "a", "n", one.id);
  await scene.api.read(name, "a", "n", two.id);
  const upgrade = scene.api.stage(one.id, put(name, "a", "n", "1"));
  await untilWaiting(scene, name, 1);
  problemOf(await scene.api.tryStage(two.id, [put(name, "a", "n", "2")]), 409, "deadlock");
  await upgrade;
  await scene.api.commit(one.id);
  assertEquals(await scene.api.read(name, "a", "n"), "1");
});

test("a client that vanishes while it waits gives its place back", async (scene) => {
  const { name } = await withLayers(scene, "a");
  const locks = [{ repository: name, layer: "a", mode: "exclusive" }];
  const holder = await scene.api.begin({ locks });
  const lost = await Connection.open(scene.home.socket);
  await lost.send(encodeRequest("POST", "/v1/transactions", { locks, lock_timeout_ms: 60_000 }));
  await untilWaiting(scene, name, 1);
  lost.close();
  while ((await scene.api.locks(name)).locks.some(({ waiters }) => waiters.length > 0));
  await scene.api.rollback(holder.id);
  assertEquals(await scene.api.locks(name), { locks: [], waits_for: [] });
});

test("optimistic: the second writer of a layer gets write_conflict", async (scene) => {
  const { name, path } = await withLayers(scene, "a");
  const before = await git(path, ["rev-parse", "refs/layers/a"]);
  const one = await scene.api.begin({ isolation: "optimistic" });
  const two = await scene.api.begin({ isolation: "optimistic" });
  for (const { id } of [one, two]) await scene.api.stage(id, put(name, "a", "n", id));
  await scene.api.commit(one.id);
  const problem = problemOf(await scene.api.tryVerb(two.id, "commit"), 409, "write_conflict");
  const actual = await git(path, ["rev-parse", "refs/layers/a"]);
  assertEquals(problem.conflicts, [
    { repository: name, ref: "refs/layers/a", layer: "a", expected: before, actual },
  ]);
  assertEquals(problem.transaction?.state, "rolled_back");
  assertEquals(await scene.api.read(name, "a", "n"), one.id);
});

test("optimistic: a transaction reads its snapshot, across repositories", async (scene) => {
  const first = await withLayers(scene, "a");
  const second = await withLayers(scene, "a");
  const reader = await scene.api.begin({ isolation: "optimistic" });
  await scene.api.apply([put(first.name, "a", "n", "1"), put(second.name, "a", "n", "1")]);
  assertEquals(await scene.api.read(first.name, "a", "n", reader.id), "0");
  assertEquals(await scene.api.read(second.name, "a", "n", reader.id), "0");
  assertEquals(await scene.api.read(second.name, "a", "n"), "1");
  assertEquals((await scene.api.commit(reader.id)).state, "committed");
});

test("verify excludes write skew, which optimistic writers have without it", async (scene) => {
  const { name, path } = await withLayers(scene, "a", "b");
  const tip = (layer: string) => git(path, ["rev-parse", `refs/layers/${layer}`]);
  for (const verifying of [false, true]) {
    const [a, b] = [await tip("a"), await tip("b")];
    const one = await scene.api.begin({ isolation: "optimistic" });
    const two = await scene.api.begin({ isolation: "optimistic" });
    await scene.api.stage(one.id, put(name, "a", "n", one.id));
    await scene.api.stage(two.id, put(name, "b", "n", two.id));
    if (verifying) {
      await scene.api.stage(one.id, verify(name, "b", b));
      await scene.api.stage(two.id, verify(name, "a", a));
    }
    await scene.api.commit(one.id);
    const reply = await scene.api.tryVerb(two.id, "commit");
    if (verifying) {
      const { conflicts } = problemOf(reply, 409, "write_conflict");
      assertEquals(conflicts?.map(({ layer }) => layer), ["a"]);
    } else {
      assertEquals(transactionIn(reply, 200).state, "committed");
    }
  }
});

test("expect refuses a layer that is elsewhere in the snapshot", async (scene) => {
  const { name, path } = await withLayers(scene, "a");
  const tip = await git(path, ["rev-parse", "refs/layers/a"]);
  const wrong = "1".repeat(40);
  const edit = { ...put(name, "a", "n", "1"), expect: { commit: wrong } };
  const { conflicts } = problemOf(await scene.api.tryApply([edit]), 409, "write_conflict");
  assertEquals(conflicts?.map(({ expected, actual }) => [expected, actual]), [[wrong, tip]]);
  await scene.api.apply([{ ...put(name, "a", "n", "1"), expect: { commit: tip } }]);
  const absent = { ...create(name, "new"), expect: { commit: null } };
  await scene.api.apply([absent]);
});

for (const isolation of ["locking", "optimistic"]) {
  test(`${isolation}: a native write between begin and commit is a write_conflict`, async (scene) => {
    const { name, path } = await withLayers(scene, "a", "b");
    const old = await git(path, ["rev-parse", "refs/layers/a"]);
    const { id } = await scene.api.begin({ isolation });
    await scene.api.stage(id, put(name, "a", "n", "1"), put(name, "b", "n", "1"));
    const native = await makeCommit(path, old, "native");
    await git(path, ["update-ref", "refs/layers/a", native, old]);
    const problem = problemOf(await scene.api.tryVerb(id, "commit"), 409, "write_conflict");
    assertEquals(problem.conflicts, [
      { repository: name, ref: "refs/layers/a", layer: "a", expected: old, actual: native },
    ]);
    assertEquals(problem.transaction?.state, "rolled_back");
    assertEquals(await git(path, ["rev-parse", "refs/layers/a"]), native);
    assertEquals(await scene.api.read(name, "b", "n"), "0");
    assertEquals(await scene.api.locks(name), { locks: [], waits_for: [] });
  });
}

test("calls on one transaction are served in order", async (scene) => {
  const { name } = await withLayers(scene, "a");
  const { id } = await scene.api.begin();
  const values = Array.from({ length: 20 }, (_, n) => String(n));
  await Promise.all(values.map((value) => scene.api.stage(id, put(name, "a", `n${value}`, value))));
  const [first, second] = await Promise.all([
    scene.api.tryVerb(id, "commit"),
    scene.api.tryVerb(id, "commit"),
  ]);
  assert(first !== undefined && second !== undefined);
  assertEquals(transactionIn(first, 200).results, transactionIn(second, 200).results);
});
