import { assert, assertEquals } from "@std/assert";
import { bodyOf, problemOf, put, transactionIn } from "../harness/api.ts";
import { git, tryGit } from "../harness/git.ts";
import { isolated, type Scene } from "../harness/scene.ts";
import { PostgresServer } from "../participants/postgres.ts";
import { playMatrix } from "./matrix.ts";
import { playModel } from "./model.ts";
import { playOperator } from "./operator.ts";
import { playReadme } from "./readme.ts";
import { contradictions, orphans } from "./recovery.ts";
import { BESIDE, LAYER, settled, Stand } from "./stand.ts";
import { playStorm } from "./storm.ts";

/** The password in PostgresServer's URLs. */
const SECRET = "secret-of-the-test";

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
    const id = await stand.promise("two");
    assertEquals(await stand.sides("two"), [false, false, false, false]);
    const refused = problemOf(
      await api.tryApply(stand.change("two").slice(2), { prepare_timeout_ms: 300 }),
      409,
      "transaction_aborted",
    );
    assertEquals(refused.participants?.map(({ name }) => name), ["pg", "flags"]);
    assertEquals(refused.transaction?.state, "rolled_back");

    // Promises outlive the daemon, also behind native git, and both endings work.
    const other = await stand.promise("three", BESIDE);
    await scene.daemon.kill();
    await nativeGitIsKeptOut(stand);
    await stand.restartDaemon();
    await nativeGitIsKeptOut(stand);
    for (const one of [id, other]) {
      const { state, participants } = await scene.api.transaction(one);
      assertEquals([state, ...participants.map(({ vote }) => vote)], [
        "prepared",
        "prepared",
        "prepared",
      ]);
    }
    assertEquals((await scene.api.commit(id)).state, "committed");
    assertEquals(await stand.sides("two"), [true, true, true, true]);
    assertEquals((await scene.api.rollback(other)).state, "rolled_back");
    await settled(stand);
    assertEquals(await stand.sides("three", BESIDE), [false, false, false, false]);
    await stand.assertQuiet();

    // A statement must not end the transaction, whatever it is dressed in.
    for (
      const text of [
        "COMMIT",
        " /* a /* b */ */ -- c\n rollback",
        "; PREPARE  TRANSACTION 'x'",
        "-- x\rCOMMIT",
        "copy places from stdin",
      ]
    ) {
      const reply = await scene.api.tryApply([
        { op: "sql", participant: "pg", statements: [{ text }] },
      ]);
      assertEquals(problemOf(reply, 400, "invalid_request").field, "operations[0].statements");
    }
  } finally {
    await stand.close();
  }
});

isolated("while in doubt its layers wait and are told why, others go on", async (scene) => {
  const stand = await Stand.make(scene, postgres);
  try {
    const { api } = scene;
    const id = await stand.promise("one");
    const beside = await stand.promise("two", BESIDE);
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
    // A PostgreSQL that hangs hangs no begin, no commit, no stop and no start.
    const thaw = postgres.freeze();
    try {
      const hung = transactionIn(await api.tryVerb(beside, "commit"), 202);
      assertEquals(hung.problem?.participants?.map(({ name }) => name), ["pg", "flags"]);
      const [, , sql] = stand.change("three");
      const asked = await api.tryApply([
        put(repository, "other", "f", "2"),
        sql ?? {},
      ], { prepare_timeout_ms: 200 });
      problemOf(asked, 409, "transaction_aborted");
      const from = performance.now();
      assertEquals(await scene.daemon.stop(), 0);
      await stand.restartDaemon();
      const tookMs = performance.now() - from;
      assert(tookMs < 20_000, `The stop and the start took ${tookMs} ms`);
      // The decisions outlive the daemon, and are told once everybody is back.
      assertEquals((await scene.api.transaction(id)).state, "committing");
      await scene.api.apply([put(repository, "other", "f", "3")]);
    } finally {
      thaw();
    }
    await stand.service.start();
    const end = await scene.api.transaction(id, "?wait_for=terminal&timeout_ms=20000");
    assertEquals(end.state, "committed");
    assertEquals(await stand.sides("one"), [true, true, true, true]);
    await settled(stand);
    assertEquals(await stand.sides("two", BESIDE), [true, true, true, true]);
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
    const id = await stand.promise("one");
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
    assert(!scene.said.includes(SECRET), scene.said);
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
    await secretsStandInOneFile(scene, stand);
    await postgres.stop();
    await postgres.start();
  } finally {
    await stand.close();
  }
});

/** Locks of promises hold, whoever serves; what native git tries of the layer fails. */
async function nativeGitIsKeptOut(stand: Stand): Promise<void> {
  for (const { path } of stand.repositories) {
    for (const layer of [LAYER, BESIDE]) {
      const ref = `refs/layers/${layer}`;
      const before = await git(path, ["rev-parse", ref]);
      for (const args of [["update-ref", ref, "main"], ["update-ref", "-d", ref]]) {
        const { code, stderr } = await tryGit(path, args);
        assert(code !== 0 && stderr.includes(".lock"), `git ${args.join(" ")}: ${code} ${stderr}`);
      }
      await tryGit(path, ["pack-refs", "--all"]);
      assertEquals(await git(path, ["rev-parse", ref]), before);
    }
  }
}

/** Passwords stand in the owner's file: not in log, ledger, answers, events or messages. */
async function secretsStandInOneFile(scene: Scene, stand: Stand): Promise<void> {
  const { client } = scene.daemon;
  const { stateDirectory } = scene.home;
  const file = `${stateDirectory}/participants.json`;
  assertEquals(((await Deno.stat(file)).mode ?? 0) & 0o777, 0o600);
  const url = stand.postgres.url();
  const service = `http://u:${SECRET}@${stand.allowed[0]}`;
  const wrong = [
    { name: "w1", kind: "postgres", url: url.replace("postgres://", "postgres://%zz") },
    { name: "w2", kind: "postgres", url: url.replace("/postgres?", "/nowhere?") },
    { name: "w3", kind: "postgres", url: `postgres://layerd:12?${SECRET}@host/postgres` },
    { name: "w4", kind: "http", base_url: `${service}/?${SECRET}`, timeout_ms: 100 },
  ];
  const answers = [
    await client.request("POST", "/v1/participants", {
      name: "w5",
      kind: "http",
      base_url: `${service}/a`,
      timeout_ms: 100,
    }),
    await client.request("GET", "/v1/participants"),
    await scene.api.tryApply([{ op: "http", participant: "w5", payload: {} }]),
    await client.request("GET", "/v1/in-doubt"),
    await client.request("GET", "/v1/metrics"),
  ];
  for (const body of wrong) {
    const reply = await client.request("POST", "/v1/participants", body);
    problemOf(reply, 400, "invalid_request");
    answers.push(reply);
  }
  for (const { text } of answers) assert(!text.includes(SECRET), text);
  assert(!scene.said.includes(SECRET), scene.said);
  const found = await new Deno.Command("grep", {
    args: ["-rlF", SECRET, stateDirectory],
    stdout: "piped",
  }).output();
  assertEquals(new TextDecoder().decode(found.stdout).trim(), file);
}

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

Deno.test(
  { name: "README's two-phase commit runs word for word", ...shared },
  () => playReadme(postgres),
);
