import { assert, assertEquals } from "@std/assert";
import { bodyOf, problemOf, put, transactionIn } from "../harness/api.ts";
import { isolated } from "../harness/scene.ts";
import { PostgresServer } from "../participants/postgres.ts";
import { playMatrix } from "./matrix.ts";
import { playModel } from "./model.ts";
import { playOperator } from "./operator.ts";
import { contradictions, orphans } from "./recovery.ts";
import { LAYER, settled, Stand } from "./stand.ts";
import { playStorm } from "./storm.ts";

let postgres: PostgresServer;

Deno.test.beforeAll(async () => {
  postgres = await PostgresServer.make();
});
Deno.test.afterAll(async () => {
  await postgres.remove();
});

isolated("a transaction over two repositories, PostgreSQL and a service", async (scene) => {
  const stand = await Stand.make(scene, postgres);
  try {
    const { api } = scene;
    const done = await api.apply(stand.change("one"), { tenant_id: "acme" });
    assertEquals(done.state, "committed");
    assertEquals(done.participants, [
      { name: "pg", kind: "postgres", vote: "prepared", outcome: "committed" },
      { name: "flags", kind: "http", vote: "prepared", outcome: "committed" },
    ]);
    assertEquals(await stand.sides("one"), [true, true, true, true]);
    await stand.assertQuiet();

    // Both refuse, and the one problem names both.
    const id = (await api.begin()).id;
    await api.stage(id, ...stand.change("two"));
    await api.prepare(id);
    assertEquals(await stand.sides("two"), [false, false, false, false]);
    const refused = problemOf(
      await api.tryApply(stand.change("two").slice(2)),
      409,
      "transaction_aborted",
    );
    assertEquals(refused.participants?.map(({ name }) => name), ["pg", "flags"]);
    assertEquals(refused.transaction?.state, "rolled_back");

    // The promise outlives the daemon, and both endings work.
    await scene.daemon.kill();
    await stand.restartDaemon();
    assertEquals((await scene.api.transaction(id)).state, "prepared");
    assertEquals((await scene.api.commit(id)).state, "committed");
    assertEquals(await stand.sides("two"), [true, true, true, true]);
    const other = (await scene.api.begin()).id;
    await scene.api.stage(other, ...stand.change("three"));
    await scene.api.prepare(other);
    await scene.daemon.kill();
    await stand.restartDaemon();
    assertEquals((await scene.api.rollback(other)).state, "rolled_back");
    await settled(stand);
    assertEquals(await stand.sides("three"), [false, false, false, false]);
    await stand.assertQuiet();

    // A statement must not end the transaction, whatever it is dressed in.
    for (
      const text of ["COMMIT", " /* a /* b */ */ -- c\n rollback", "; PREPARE  TRANSACTION 'x'"]
    ) {
      const reply = await scene.api.tryApply([
        { op: "sql", participant: "pg", statements: [{ text }] },
      ]);
      assertEquals(problemOf(reply, 400, "invalid_request").field, "statements");
    }
  } finally {
    await stand.close();
  }
});

isolated("while in doubt its layers wait and are told why, others go on", async (scene) => {
  const stand = await Stand.make(scene, postgres);
  try {
    const { api } = scene;
    const id = (await api.begin()).id;
    await api.stage(id, ...stand.change("one"));
    await api.prepare(id);
    await stand.service.kill();
    const lagging = transactionIn(await api.tryVerb(id, "commit"), 202);
    assertEquals(lagging.state, "committing");
    assertEquals(lagging.problem?.participants?.map(({ name }) => name), ["flags"]);
    const [doubt] = await stand.inDoubt();
    assertEquals([doubt?.transaction_id, doubt?.participant], [id, "flags"]);
    const [first] = stand.repositories;
    const repository = first?.name ?? "";
    await api.apply([
      { op: "create_layer", repository, layer: "other" },
      put(repository, "other", "f", "1"),
    ]);
    const waited = problemOf(
      await api.tryApply([put(repository, LAYER, "f", "1")], { lock_timeout_ms: 50 }),
      423,
      "lock_timeout",
    );
    assertEquals(waited.holders?.map((holder) => holder.transaction_id), [id]);
    assert(waited.detail.includes("flags"), waited.detail);
    // The decision outlives the daemon, and is told once the service is back.
    await scene.daemon.kill();
    await stand.restartDaemon();
    assertEquals((await scene.api.transaction(id)).state, "committing");
    await stand.service.start();
    const end = await scene.api.transaction(id, "?wait_for=terminal&timeout_ms=20000");
    assertEquals(end.state, "committed");
    assertEquals(await stand.sides("one"), [true, true, true, true]);
    await stand.assertQuiet();
  } finally {
    await stand.close();
  }
});

isolated("what an operator must know and do about participants", async (scene) => {
  const stand = await Stand.make(scene, postgres);
  try {
    const { client } = scene.daemon;
    const add = (body: unknown) => client.request("POST", "/v1/participants", body);
    const away = problemOf(
      await add({ name: "x", kind: "http", base_url: "http://127.0.0.1:9/a" }),
      403,
      "permission_denied",
    );
    assert(away.detail.includes("--allow-participant 127.0.0.1:9"), away.detail);
    // Passwords stand in one file of the owner's, and nowhere else.
    const list = await client.request("GET", "/v1/participants");
    assert(!list.text.includes("secret-of-the-test"), list.text);
    const file = `${scene.home.stateDirectory}/participants.json`;
    assertEquals(((await Deno.stat(file)).mode ?? 0) & 0o777, 0o600);
    assert(!scene.said.includes("secret-of-the-test"));
    // One that was replaced by another kind since it was staged votes no, and nothing hangs.
    const late = (await scene.api.begin()).id;
    await scene.api.stage(late, ...stand.change("late"));
    assertEquals((await client.request("DELETE", "/v1/participants/flags")).status, 204);
    await stand.register({ name: "flags", kind: "postgres", url: postgres.url() });
    const replaced = problemOf(
      await scene.api.tryVerb(late, "commit"),
      409,
      "transaction_aborted",
    );
    assertEquals(replaced.participants, [
      { name: "flags", reason: "Participant flags was http when it was asked and is postgres now" },
    ]);
    await settled(stand);
    assertEquals((await scene.api.locks()).locks, []);
    assertEquals((await client.request("DELETE", "/v1/participants/flags")).status, 204);
    await stand.registerService();
    // An unreachable participant: resolved by an operator.
    const id = (await scene.api.begin()).id;
    await scene.api.stage(id, ...stand.change("one"));
    await scene.api.prepare(id);
    await stand.service.kill();
    await scene.api.tryVerb(id, "commit");
    const explained = await scene.api.get<{ participants: { says: string | null }[] }>(
      `/v1/in-doubt/${id}`,
    );
    assertEquals(explained.participants.map(({ says }) => says), [null]);
    bodyOf(
      await client.request("POST", `/v1/in-doubt/${id}/resolve`, {
        participant: "flags",
        outcome: "committed",
        reason: "set by hand",
      }),
    );
    const end = await scene.api.transaction(id, "?wait_for=terminal&timeout_ms=5000");
    assertEquals(end.state, "committed");
    await scene.daemon.kill();
    await stand.restartDaemon();
    // What acknowledged may be told once more; what was resolved is not.
    assertEquals((await stand.inDoubt()).filter((one) => one.participant === "flags"), []);
    await settled(stand);
    await postgres.stop();
    await postgres.start("max_prepared_transactions=0");
    const refused = problemOf(
      await scene.daemon.client.request("POST", "/v1/participants", {
        name: "poor",
        kind: "postgres",
        url: postgres.url(),
      }),
      400,
      "invalid_request",
    );
    assert(refused.detail.includes("ALTER SYSTEM SET max_prepared_transactions = 100"));
    await postgres.stop();
    await postgres.start();
  } finally {
    await stand.close();
  }
});

const shared = { sanitizeOps: false, sanitizeResources: false };

Deno.test({
  name: "only branches that are ours, nobody's and seen twice are rolled back",
  ...shared,
}, () => orphans(postgres));

Deno.test({
  name: "a branch that its operator ended otherwise is kept until it is resolved",
  ...shared,
}, () => contradictions(postgres));

isolated(
  "all sides agree whoever is killed at whichever step of two-phase commit",
  (scene) => playMatrix(scene, postgres),
);

isolated(
  "all sides hold the same transactions after a storm of failing calls",
  (scene) => playStorm(scene, postgres),
);

isolated(
  "the seed's model example: the row is locked, the rules are asked, the version follows",
  (scene) => playModel(scene, postgres),
);

isolated(
  "an operator sees by the command line what is in doubt, and closes it, repositories included",
  (scene) => playOperator(scene, postgres),
);
