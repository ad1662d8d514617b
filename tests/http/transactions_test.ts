import { assertEquals, assertNotEquals } from "@std/assert";
import { parseTransactionId } from "../../src/core/ids.ts";
import { canonicalJson } from "../../src/http/idempotency.ts";
import type { BeginRequest } from "../../src/transactions/manager.ts";
import { problemOf } from "../harness/api.ts";
import { Connection, encodeRequest } from "../harness/socket_client.ts";
import { AppStage, refuse, TRANSACTION_ID, transactionIn } from "./app_stage.ts";

const TRANSACTION = `/v1/transactions/${TRANSACTION_ID}`;

Deno.test("beginTransaction answers 201, 200 for a one-shot, 202 while publication lags", async () => {
  let state: "active" | "committed" | "committing" = "active";
  await using stage = await AppStage.open({
    manager: { begin: () => Promise.resolve(transactionIn(state)) },
  });
  const begin = async (commit: boolean) =>
    (await stage.client.request("POST", "/v1/transactions", { commit })).status;
  assertEquals(await begin(false), 201);
  state = "committed";
  assertEquals(await begin(true), 200);
  state = "committing";
  assertEquals(await begin(true), 202);
});

Deno.test("beginTransaction hands the decoded request to the manager", async () => {
  const seen: BeginRequest[] = [];
  await using stage = await AppStage.open({
    manager: {
      begin: (request) => {
        seen.push(request);
        return Promise.resolve(transactionIn("active"));
      },
    },
  });
  await stage.client.request("POST", "/v1/transactions", { lease_ms: 500, tenant_id: "acme" });
  assertEquals<unknown>(seen, [{
    message: null,
    author: null,
    isolation: "locking",
    locks: [],
    lockTimeoutMs: 5_000,
    leaseMs: 500,
    prepareTimeoutMs: 10_000,
    operationType: null,
    tenantId: "acme",
    labels: {},
    operations: [],
    commit: false,
    idempotency: null,
  }]);
});

Deno.test("beginTransaction hashes the parsed body, whatever the order of its members", async () => {
  const hashes: (string | undefined)[] = [];
  await using stage = await AppStage.open({
    manager: {
      begin: ({ idempotency }) => {
        hashes.push(idempotency?.requestHash);
        assertEquals(idempotency?.key, "k");
        return Promise.resolve(transactionIn("active"));
      },
    },
  });
  const begin = (raw: string) =>
    stage.client.request("POST", "/v1/transactions", undefined, {
      raw,
      headers: { "idempotency-key": "k" },
    });
  await begin('{"message":"a","labels":{"x":"1","y":"2"}}');
  await begin(' {"labels":{"y":"2","x":"\\u0031"},\n"message":"a"}');
  await begin('{"message":"b","labels":{"x":"1","y":"2"}}');
  assertEquals(hashes[0], hashes[1]);
  assertNotEquals(hashes[0], hashes[2]);
  assertEquals(hashes[0]?.length, 64);
});

Deno.test("canonicalJson() sorts members at every depth and keeps the order of lists", () => {
  assertEquals(
    canonicalJson({ b: [{ d: 1, c: null }, "x"], a: true }),
    '{"a":true,"b":[{"c":null,"d":1},"x"]}',
  );
});

Deno.test("beginTransaction refuses an idempotency key that is too long", async () => {
  await using stage = await AppStage.open();
  const reply = await stage.client.request("POST", "/v1/transactions", {}, {
    headers: { "idempotency-key": "k".repeat(256) },
  });
  assertEquals(problemOf(reply, 400, "invalid_request").field, "Idempotency-Key");
});

Deno.test("routes of one transaction take a malformed id for one that is not there", async () => {
  await using stage = await AppStage.open();
  for (
    const [method, path] of [
      ["GET", "/v1/transactions/nope"],
      ["POST", "/v1/transactions/nope/commit"],
      ["PUT", "/v1/transactions/nope/blobs"],
      ["GET", "/v1/transactions/nope/diff"],
    ] as const
  ) {
    problemOf(await stage.client.request(method, path), 404, "transaction_not_found");
  }
});

Deno.test("commitTransaction answers 202 while publication lags", async () => {
  let state: "committing" | "committed" = "committing";
  await using stage = await AppStage.open({
    manager: { commit: () => Promise.resolve(transactionIn(state)) },
  });
  assertEquals((await stage.client.request("POST", `${TRANSACTION}/commit`)).status, 202);
  state = "committed";
  assertEquals((await stage.client.request("POST", `${TRANSACTION}/commit`, {})).status, 200);
  const reply = await stage.client.request("POST", `${TRANSACTION}/commit`, { force: true });
  assertEquals(problemOf(reply, 400, "invalid_request").field, "force");
});

Deno.test("savepoint routes set one and roll back to it", async () => {
  const calls: string[] = [];
  await using stage = await AppStage.open({
    manager: {
      savepoint: (_id, name) => {
        calls.push(`set ${name}`);
        return Promise.resolve(transactionIn("active"));
      },
      rollbackTo: (_id, name) =>
        name === "a" ? Promise.resolve(transactionIn("active")) : refuse("savepoint_not_found"),
    },
  });
  const post = (path: string, body?: unknown) =>
    stage.client.request("POST", `${TRANSACTION}/savepoints${path}`, body);
  assertEquals((await post("", { name: "a" })).status, 201);
  assertEquals((await post("/a/rollback")).status, 200);
  problemOf(await post("/b/rollback"), 404, "savepoint_not_found");
  problemOf(await post("/a%20b/rollback"), 404, "savepoint_not_found");
  assertEquals(calls, ["set a"]);
});

Deno.test("listTransactions pages by opaque cursors and has no cursor at the end", async () => {
  const ids = ["01JZ000000000000000000000C", "01JZ000000000000000000000B", TRANSACTION_ID];
  await using stage = await AppStage.open({
    manager: {
      list: (filter, limit, before) => {
        assertEquals(filter, { state: "committed", tenantId: "acme" });
        return ids.filter((id) => before === null || id < before).slice(0, limit)
          .map((id) => ({ ...transactionIn("committed"), id: parseTransactionId(id) }));
      },
    },
  });
  interface Page {
    readonly transactions: readonly { readonly id: string }[];
    readonly next_cursor: string | null;
  }
  const page = async (rest: string) => {
    const path = `/v1/transactions?state=committed&tenant_id=acme&limit=2${rest}`;
    const { transactions, next_cursor } = (await stage.client.request("GET", path)).json as Page;
    return { ids: transactions.map(({ id }) => id), next_cursor };
  };
  const first = await page("");
  assertEquals(first.ids, ids.slice(0, 2));
  assertEquals(await page(`&cursor=${first.next_cursor}`), {
    ids: ids.slice(2),
    next_cursor: null,
  });
});

Deno.test("listTransactions refuses a repository that never had any and is not served", async () => {
  await using stage = await AppStage.open({
    manager: {
      list: ({ repository, state }) =>
        repository === "left" && state === undefined ? [transactionIn("committed")] : [],
    },
    catalog: { get: () => refuse("repository_not_found") },
  });
  const ask = (query: string) => stage.client.request("GET", `/v1/transactions?${query}`);
  problemOf(await ask("repository=none"), 404, "repository_not_found");
  assertEquals((await ask("repository=left&state=active")).status, 200);
  assertEquals((await ask("state=active")).status, 200);
});

Deno.test("getTransaction waits with wait_for, and says how long", async () => {
  await using stage = await AppStage.open({
    manager: {
      get: () => transactionIn("active"),
      waitFor: (_id, state, timeoutMs) => {
        assertEquals([state, timeoutMs], ["terminal", 250]);
        return refuse("timeout");
      },
    },
  });
  assertEquals((await stage.client.request("GET", TRANSACTION)).status, 200);
  const path = `${TRANSACTION}?wait_for=terminal&timeout_ms=250`;
  problemOf(await stage.client.request("GET", path), 504, "timeout");
});

Deno.test("whileConnected() tells the manager that a waiting client left, and only that", async () => {
  const waiting = Promise.withResolvers<void>();
  const left = Promise.withResolvers<unknown>();
  const answered: AbortSignal[] = [];
  await using stage = await AppStage.open({
    manager: {
      begin: async (request, signal) => {
        if (signal === undefined) throw new Error("No signal");
        if (request.tenantId === "stays") {
          answered.push(signal);
          return transactionIn("active");
        }
        const gone = Promise.withResolvers<void>();
        signal.addEventListener("abort", () => gone.resolve());
        waiting.resolve();
        await gone.promise;
        left.resolve(signal.reason);
        throw signal.reason;
      },
    },
  });
  const leaver = await Connection.open(stage.path);
  await leaver.send(encodeRequest("POST", "/v1/transactions", {}));
  await waiting.promise;
  leaver.close();
  assertEquals(String(await left.promise), "LayerdError: The client went away");

  const stayer = await Connection.open(stage.path);
  await stayer.send(encodeRequest("POST", "/v1/transactions", { tenant_id: "stays" }));
  assertEquals((await stayer.readReply()).status, 201);
  stayer.close();
  // A later exchange on the same server shows that the first one's end was seen.
  await stage.client.request("GET", "/v1/version");
  assertEquals(answered.map((signal) => signal.aborted), [false]);
});
