/** Transactions as resources: ends, repeats, idempotency keys, waiting, lists, leases, health. */
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import type { TransactionDocument } from "../../src/core/transaction_document.ts";
import { bodyOf, create, problemOf, put, transactionIn } from "../harness/api.ts";
import { git } from "../harness/git.ts";
import { assertNothingLeftBehind } from "../harness/repositories.ts";
import { type Scene, sharedScenarios } from "../harness/scene.ts";

const test = sharedScenarios();

interface Listing {
  readonly transactions: readonly TransactionDocument[];
  readonly next_cursor: string | null;
}

function keyed(key: string) {
  return { headers: { "idempotency-key": key } };
}

test("begin answers the defaults of the contract", async (scene) => {
  const { id, created_at, updated_at, lease_expires_at, fencing_token, ...rest } = await scene.api
    .begin();
  assertEquals(rest, {
    state: "active",
    isolation: "locking",
    message: `layerd transaction ${id}`,
    author: null,
    tenant_id: null,
    labels: {},
    operations: 0,
    savepoints: [],
    locks: [],
    snapshot: [],
    results: [],
    participants: [],
    problem: null,
  });
  for (const time of [created_at, updated_at, lease_expires_at]) {
    assertMatch(time ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  }
  const next = await scene.api.begin();
  assert(next.fencing_token > fencing_token, "Fencing tokens rise");
  await scene.api.rollback(id);
  await scene.api.rollback(next.id);
});

test("message, author, tenant and labels arrive in the commit and the document", async (scene) => {
  const { name, path } = await scene.repository();
  const { id, labels, tenant_id } = await scene.api.apply([create(name, "a")], {
    message: "subject\n\nbody text",
    author: { name: "Ann", email: "ann@example.org" },
    tenant_id: "acme",
    labels: { client: "nvim" },
  });
  assertEquals({ labels, tenant_id }, { labels: { client: "nvim" }, tenant_id: "acme" });
  const commit = await git(path, ["log", "-1", "--format=%an <%ae>|%cn|%B", "refs/layers/a"]);
  assertEquals(
    commit.trim(),
    `Ann <ann@example.org>|layerd|subject\n\nbody text\n\nLayerd-Transaction: ${id}`,
  );
});

test("rollback leaves nothing, and repeats answer the end that was reached", async (scene) => {
  const { name, path, commonDirectory } = await scene.repository();
  const before = await git(path, ["for-each-ref"]);
  const { id } = await scene.api.begin();
  await scene.api.stage(id, create(name, "a"), put(name, "a", "x", "1"));
  assertEquals((await scene.api.rollback(id)).state, "rolled_back");
  assertEquals((await scene.api.rollback(id)).state, "rolled_back");
  const { from, event } = problemOf(
    await scene.api.tryVerb(id, "commit"),
    409,
    "invalid_transition",
  );
  assertEquals(from, "rolled_back");
  assertEquals(typeof event, "string");
  problemOf(await scene.api.tryStage(id, [create(name, "b")]), 409, "invalid_transition");
  assertEquals(await git(path, ["for-each-ref"]), before);
  assertEquals(await scene.api.locks(name), { locks: [], waits_for: [] });
  await assertNothingLeftBehind(commonDirectory);

  const done = await scene.api.apply([create(name, "a")]);
  assertEquals((await scene.api.commit(done.id)).results, done.results);
  problemOf(await scene.api.tryVerb(done.id, "rollback"), 409, "invalid_transition");
});

test("prepare then commit, and prepare then rollback, are two ways to end", async (scene) => {
  const { name, path } = await scene.repository();
  await scene.api.apply([create(name, "a"), put(name, "a", "x", "0")]);
  for (const verb of ["commit", "rollback"]) {
    const { id } = await scene.api.begin();
    await scene.api.stage(id, put(name, "a", "x", verb));
    assertEquals((await scene.api.prepare(id)).state, "prepared");
    assertEquals((await scene.api.prepare(id)).state, "prepared");
    problemOf(await scene.api.tryStage(id, [put(name, "a", "y", "1")]), 409, "invalid_transition");
    transactionIn(await scene.api.tryVerb(id, verb), 200);
  }
  assertEquals(await git(path, ["show", "refs/layers/a:x"]), "commit");
});

test("a refused one-shot leaves nothing open", async (scene) => {
  const { name } = await scene.repository();
  const before = await scene.api.get<Listing>("/v1/transactions?state=active");
  problemOf(await scene.api.tryApply([put(name, "nope", "x", "1")]), 404, "layer_not_found");
  assertEquals(await scene.api.get<Listing>("/v1/transactions?state=active"), before);
  assertEquals(await scene.api.locks(name), { locks: [], waits_for: [] });
});

test("a repeated one-shot with its key answers the first outcome", async (scene) => {
  const { name, path } = await scene.repository();
  const key = `one-shot-${name}`;
  const body = { operations: [create(name, "a"), put(name, "a", "x", "1")], commit: true };
  const first = transactionIn(await scene.api.tryBegin(body, keyed(key)), 200);
  const again = transactionIn(await scene.api.tryBegin(body, keyed(key)), 200);
  assertEquals(again.id, first.id);
  assertEquals(await git(path, ["rev-list", "--count", "refs/layers/a"]), "1");
  // Compared by the parsed body: spelling does not matter, content does.
  const spelled = ` ${JSON.stringify(body, null, 2)} `;
  const respelled = await scene.daemon.client.request("POST", "/v1/transactions", undefined, {
    raw: spelled,
    ...keyed(key),
  });
  assertEquals(transactionIn(respelled, 200).id, first.id);
  const other = { ...body, message: "another" };
  problemOf(await scene.api.tryBegin(other, keyed(key)), 422, "idempotency_key_reused");
});

test("only successes are kept under an idempotency key", async (scene) => {
  const { name } = await scene.repository();
  const key = `refused-${name}`;
  const body = { operations: [put(name, "a", "x", "1")], commit: true };
  problemOf(await scene.api.tryBegin(body, keyed(key)), 404, "layer_not_found");
  await scene.api.apply([create(name, "a")]);
  transactionIn(await scene.api.tryBegin(body, keyed(key)), 200);
});

test("a begin's key lives as long as its transaction", async (scene) => {
  const body = { message: "keyed" };
  const first = transactionIn(await scene.api.tryBegin(body, keyed("begin")), 201);
  const again = transactionIn(await scene.api.tryBegin(body, keyed("begin")), 201);
  assertEquals(again.id, first.id);
  await scene.api.rollback(first.id);
  const next = transactionIn(await scene.api.tryBegin(body, keyed("begin")), 201);
  assertNotEquals(next.id, first.id);
  await scene.api.rollback(next.id);
});

test("concurrent one-shots with one key commit once", async (scene) => {
  const { name, path } = await scene.repository();
  await scene.api.apply([create(name, "a")]);
  const body = { operations: [put(name, "a", "x", "1")], commit: true };
  const replies = await Promise.all(
    Array.from({ length: 8 }, () => scene.api.tryBegin(body, keyed(`concurrent-${name}`))),
  );
  const ids = new Set<string>();
  for (const reply of replies) {
    if (reply.status === 409) problemOf(reply, 409, "idempotency_in_progress");
    else ids.add(transactionIn(reply, 200).id);
  }
  assertEquals(ids.size, 1);
  assertEquals(await git(path, ["rev-list", "--count", "refs/layers/a"]), "2");
});

test("wait_for answers when the state is reached, or times out", async (scene) => {
  const { id } = await scene.api.begin();
  assertEquals(
    (await scene.api.transaction(id, "?wait_for=active&timeout_ms=1000")).state,
    "active",
  );
  const path = `/v1/transactions/${id}?wait_for=terminal&timeout_ms=30`;
  problemOf(await scene.daemon.client.request("GET", path), 504, "timeout");
  const waiting = scene.api.transaction(id, "?wait_for=committed&timeout_ms=20000");
  await scene.api.rollback(id);
  assertEquals((await waiting).state, "rolled_back");
});

test("the list is newest first, filtered, and pages without gap or repeat", async (scene) => {
  const { name } = await scene.repository();
  const other = await scene.repository();
  const tenant = `tenant-${name}`;
  await scene.api.apply([create(other.name, "a")], { tenant_id: tenant });
  const ids: string[] = [];
  for (let n = 0; n < 7; n++) {
    const layer = n % 2 === 0 ? "even" : "odd";
    const operations = [...(n < 2 ? [create(name, layer)] : []), put(name, layer, "n", String(n))];
    ids.unshift((await scene.api.apply(operations, { tenant_id: tenant })).id);
  }
  const open = await scene.api.begin({ tenant_id: tenant });
  const list = async (query: string) =>
    (await scene.api.get<Listing>(`/v1/transactions?tenant_id=${tenant}&${query}`)).transactions
      .map(({ id }) => id);
  assertEquals(await list(`repository=${name}`), ids);
  assertEquals(await list(`repository=${name}&layer=even`), ids.filter((_, n) => n % 2 === 0));
  assertEquals(await list("state=active"), [open.id]);
  assertEquals((await list("state=committed")).length, 8);
  assertEquals((await list(""))[0], open.id);
  const paged: string[] = [];
  let cursor: string | null = "";
  while (cursor !== null) {
    const query = `limit=3&repository=${name}${cursor === "" ? "" : `&cursor=${cursor}`}`;
    const page: Listing = await scene.api.get(`/v1/transactions?${query}`);
    assert(page.transactions.length <= 3);
    paged.push(...page.transactions.map(({ id }) => id));
    cursor = page.next_cursor;
  }
  assertEquals(paged, ids);
  await scene.api.rollback(open.id);
});

test("a lapsed lease rolls back, frees the locks and says so", async (scene) => {
  const { name, commonDirectory } = await scene.repository();
  await scene.api.apply([create(name, "a")]);
  const { id } = await scene.api.begin({ lease_ms: 150 });
  await scene.api.stage(id, put(name, "a", "x", "1"));
  const next = await scene.api.begin({ lock_timeout_ms: 10_000 });
  // Waits for the lock, and so for the lease.
  await scene.api.stage(next.id, put(name, "a", "x", "2"));
  assertEquals((await scene.api.transaction(id)).state, "rolled_back");
  problemOf(await scene.api.tryStage(id, [put(name, "a", "x", "3")]), 409, "lease_expired");
  problemOf(await scene.api.tryVerb(id, "commit"), 409, "lease_expired");
  problemOf(await scene.api.tryVerb(id, "heartbeat"), 409, "lease_expired");
  await scene.api.commit(next.id);
  assertEquals(await scene.api.read(name, "a", "x"), "2");
  await assertNothingLeftBehind(commonDirectory);
});

test("heartbeat renews the lease, and so does every accepted call", async (scene) => {
  const { id, lease_expires_at: first } = await scene.api.begin({ lease_ms: 2_000 });
  const beat = transactionIn(await scene.api.tryVerb(id, "heartbeat", { lease_ms: 60_000 }), 200);
  assert(Date.parse(beat.lease_expires_at ?? "") - Date.parse(first ?? "") > 50_000);
  await scene.api.savepoint(id, "s");
  const renewed = await scene.api.transaction(id);
  assert(Date.parse(renewed.lease_expires_at ?? "") >= Date.parse(beat.lease_expires_at ?? ""));
  await scene.api.rollback(id);
});

test("health of a transaction is healthy, and corrupted without its objects", async (scene) => {
  const { name, path } = await scene.repository();
  const { id, results } = await scene.api.apply([create(name, "a"), put(name, "a", "x", "1")]);
  assertEquals(await health(scene, id), { health: "healthy", codes: [] });
  const commit = results[0]?.new ?? "";
  // A later native move is no finding.
  await git(path, ["update-ref", "-d", "refs/layers/a"]);
  assertEquals(await health(scene, id), { health: "healthy", codes: [] });
  await git(path, ["update-ref", "refs/layers/a", commit]);
  await Deno.remove(`${path}/.git/objects/pack`, { recursive: true });
  const found = await health(scene, id);
  assertEquals(found.health, "corrupted");
  assert(found.codes.length > 0);
});

async function health(scene: Scene, id: string): Promise<{ health: string; codes: string[] }> {
  const reply = await scene.daemon.client.request("GET", `/v1/transactions/${id}/health`);
  const { health, findings } = bodyOf<{ health: string; findings: { code: string }[] }>(reply);
  return { health, codes: findings.map(({ code }) => code) };
}
