/** What outlives the daemon, by SIGTERM and by SIGKILL, and what does not. */
import { assert, assertEquals } from "@std/assert";
import type { TransactionDocument } from "../../src/core/transaction_document.ts";
import { create, problemOf, put, transactionIn, updateRef } from "../harness/api.ts";
import { git, tryGit } from "../harness/git.ts";
import { assertFsckClean, assertNothingLeftBehind, makeCommit } from "../harness/repositories.ts";
import { scenario, type Scene } from "../harness/scene.ts";

const ENDS: readonly { readonly how: string; restart(scene: Scene): Promise<unknown> }[] = [
  { how: "SIGTERM", restart: (scene) => scene.restart() },
  { how: "SIGKILL", restart: (scene) => scene.killAndRestart() },
];

for (const { how, restart } of ENDS) {
  scenario(
    `after ${how} finished transactions, keys and registrations are there`,
    async (scene) => {
      const { name, path } = await scene.repository();
      const key = { headers: { "idempotency-key": "k" } };
      const body = { operations: [create(name, "a"), put(name, "a", "x", "1")], commit: true };
      const first = transactionIn(await scene.api.tryBegin(body, key), 200);
      const second = await scene.api.apply([put(name, "a", "x", "2")]);
      const open = await scene.api.begin({ lease_ms: 1_000 });
      await scene.api.stage(open.id, put(name, "a", "x", "3"));
      await restart(scene);

      const again = transactionIn(await scene.api.tryBegin(body, key), 200);
      assertEquals(again.id, first.id);
      const reused = await scene.api.tryBegin({ ...body, message: "other" }, key);
      problemOf(reused, 422, "idempotency_key_reused");
      const { transactions } = await scene.api.get<{ transactions: TransactionDocument[] }>(
        `/v1/transactions?repository=${name}&state=committed`,
      );
      assertEquals(transactions.map(({ id }) => id), [second.id, first.id]);
      assertEquals((await scene.api.transaction(first.id)).results, first.results);
      const left = await scene.daemon.client.request("GET", `/v1/transactions/${open.id}`);
      // A drain rolls it back in so many words; a kill leaves no word of it.
      if (how === "SIGTERM" && left.status === 200) {
        assertEquals(transactionIn(left, 200).state, "rolled_back");
      } else problemOf(left, 404, "transaction_not_found");
      assertEquals(await scene.api.locks(), { locks: [], waits_for: [] });

      const next = await scene.api.apply([put(name, "a", "x", "4")]);
      assert(next.fencing_token > open.fencing_token, "Fencing tokens rise over a restart");
      assert(next.id > open.id, "Ids rise over a restart");
      assertEquals(await git(path, ["show", "refs/layers/a:x"]), "4");
      await assertFsckClean(path);
      await assertNothingLeftBehind(`${path}/.git`);
    },
  );

  for (const verb of ["commit", "rollback"]) {
    scenario(`prepare, ${how}, ${verb}: the promise holds its refs against git`, async (scene) => {
      await playPromise(scene, () => restart(scene), verb);
    });
  }
}

async function playPromise(
  scene: Scene,
  restart: () => Promise<unknown>,
  verb: string,
): Promise<void> {
  const { name, path } = await scene.repository();
  await scene.api.apply([create(name, "a"), put(name, "a", "x", "0"), create(name, "free")]);
  const main = await git(path, ["rev-parse", "main"]);
  await git(path, ["branch", "held"]);
  await git(path, ["branch", "free"]);
  await git(path, ["pack-refs", "--all"]);
  const { id } = await scene.api.begin({ lease_ms: 200 });
  await scene.api.stage(
    id,
    put(name, "a", "x", "1"),
    create(name, "new"),
    updateRef(name, "refs/heads/held", null),
  );
  assertEquals((await scene.api.prepare(id)).state, "prepared");
  const before = await git(path, ["rev-parse", "refs/layers/a"]);

  for (const round of ["before the restart", "after it"]) {
    if (round === "after it") await restart();
    assertEquals((await scene.api.transaction(id)).state, "prepared", round);
    await assertHeld(path, before, main, round);
  }
  const ended = transactionIn(await scene.api.tryVerb(id, verb), 200);
  assertEquals(ended.state, verb === "commit" ? "committed" : "rolled_back");
  assertEquals(await git(path, ["show", "refs/layers/a:x"]), verb === "commit" ? "1" : "0");
  const held = await tryGit(path, ["rev-parse", "-q", "--verify", "refs/heads/held"]);
  assertEquals(held.stdout.trim(), verb === "commit" ? "" : main);
  const created = await tryGit(path, ["rev-parse", "-q", "--verify", "refs/layers/new"]);
  assertEquals(created.code, verb === "commit" ? 0 : 1);
  // Native git is free again.
  const tip = await git(path, ["rev-parse", "refs/layers/a"]);
  await git(path, ["update-ref", "refs/layers/a", await makeCommit(path, tip, "native"), tip]);
  assertEquals(await scene.api.locks(), { locks: [], waits_for: [] });
  await assertFsckClean(path);
  await assertNothingLeftBehind(`${path}/.git`);
}

/** Native git cannot move or delete the promised refs, and works on all others. */
async function assertHeld(
  path: string,
  before: string,
  main: string,
  round: string,
): Promise<void> {
  const other = await makeCommit(path, before, "native");
  for (
    const args of [
      ["update-ref", "refs/layers/a", other],
      ["update-ref", "-d", "refs/layers/a"],
      ["update-ref", "refs/layers/new", other],
      ["branch", "-D", "held"],
    ]
  ) {
    const { code } = await tryGit(path, args);
    assert(code !== 0, `git ${args.join(" ")} went through ${round}`);
  }
  assertEquals(await git(path, ["rev-parse", "refs/layers/a"]), before);
  assertEquals(await git(path, ["rev-parse", "refs/heads/held"]), main);
  const free = await git(path, ["rev-parse", "refs/layers/free"]);
  await git(path, ["update-ref", "refs/layers/free", await makeCommit(path, free, "n"), free]);
  await git(path, ["pack-refs", "--all"]);
  await git(path, ["branch", "-D", "free"]);
  await git(path, ["branch", "free", "main"]);
  assertEquals(await git(path, ["rev-parse", "refs/layers/a"]), before, round);
}

scenario("daemon transactions on a promised layer wait, then time out", async (scene) => {
  const { name } = await scene.repository();
  await scene.api.apply([create(name, "a"), create(name, "b")]);
  const { id } = await scene.api.begin();
  await scene.api.stage(id, put(name, "a", "x", "1"));
  await scene.api.prepare(id);
  await scene.killAndRestart();
  for (const isolation of ["locking", "optimistic"]) {
    const options = { isolation, lock_timeout_ms: 60 };
    problemOf(await scene.api.tryApply([put(name, "a", "x", "2")], options), 423, "lock_timeout");
    await scene.api.apply([put(name, "b", "x", isolation)], options);
  }
  await scene.api.commit(id);
  await scene.api.apply([put(name, "a", "x", "2")]);
});

scenario("a SIGKILL at each of many moments of one commit leaves all or nothing", async (scene) => {
  const repositories = [await scene.repository(), await scene.repository()];
  const layers = repositories.flatMap(({ name }) => [[name, "a"], [name, "b"]] as const);
  await scene.api.apply(layers.flatMap(([name, layer]) => [
    create(name, layer),
    put(name, layer, "x", "0"),
  ]));
  for (let delayMs = 0; delayMs < 12; delayMs += 2) {
    const value = `after ${delayMs} ms`;
    const { id } = await scene.api.begin();
    await scene.api.stage(id, ...layers.map(([name, layer]) => put(name, layer, "x", value)));
    const outcome = scene.api.tryVerb(id, "commit").then(() => true, () => false);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    await scene.killAndRestart();
    const acknowledged = await outcome;
    const values = new Set(
      await Promise.all(layers.map(([name, layer]) => scene.api.read(name, layer, "x"))),
    );
    assertEquals(values.size, 1, `Half a transaction: ${[...values]}`);
    if (acknowledged) assertEquals([...values], [value]);
    for (const { path } of repositories) await assertNothingLeftBehind(`${path}/.git`);
  }
});
