import { assert, assertEquals, assertMatch } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { createApp } from "../../src/http/app.ts";
import type { DaemonControl } from "../../src/http/daemon_control.ts";
import { openApiDocument } from "../../src/protocol/openapi.ts";
import { FileSystemError } from "../../src/system/file_system.ts";
import { problemOf } from "../harness/api.ts";
import { AppStage } from "./app_stage.ts";

Deno.test("createApp() mounts exactly the routes of the OpenAPI document", async () => {
  await using stage = await AppStage.open();
  const mounted = createApp(stage.parts).routes
    .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, "{$1}")}`);
  const { paths } = openApiDocument("1") as { paths: Record<string, Record<string, unknown>> };
  const documented = Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`)
  );
  assertEquals(mounted.sort(), documented.sort());
});

Deno.test("createApp() echoes a sane request id and makes one otherwise", async () => {
  await using stage = await AppStage.open();
  const idFor = async (sent: string | null, path = "/v1/version") => {
    const headers: Record<string, string> = sent === null ? {} : { "x-request-id": sent };
    const reply = await stage.client.request("GET", path, undefined, { headers });
    return reply.headers.get("x-request-id") ?? "";
  };
  assertEquals(await idFor("abc-1"), "abc-1");
  assertEquals(await idFor("abc-1", "/v1/nowhere"), "abc-1");
  assertEquals(await idFor("x".repeat(1_024)), "x".repeat(1_024));
  for (const sent of [null, "x".repeat(1_025), "a b"]) {
    assertMatch(await idFor(sent), /^[0-9A-HJKMNP-TV-Z]{26}$/);
  }
});

Deno.test("createApp() answers an unknown route, and a known one by another method", async () => {
  await using stage = await AppStage.open();
  const unknown = await stage.client.request("GET", "/v1/nowhere");
  problemOf(unknown, 404, "not_found");
  problemOf(await stage.client.request("GET", "/"), 404, "not_found");
  problemOf(await stage.client.request("GET", "/v1/version/"), 404, "not_found");
  const known = await stage.client.request("DELETE", "/v1/transactions/x/commit");
  problemOf(known, 405, "method_not_allowed");
  assertEquals(known.headers.get("allow"), "POST");
  const repository = await stage.client.request("PATCH", "/v1/repositories/app", {});
  problemOf(repository, 405, "method_not_allowed");
  assertEquals(repository.headers.get("allow"), "GET, DELETE, HEAD");
});

Deno.test("createApp() answers HEAD without a body", async () => {
  await using stage = await AppStage.open();
  const reply = await stage.client.request("HEAD", "/v1/version");
  assertEquals([reply.status, reply.bytes.length], [200, 0]);
  assert(reply.headers.has("x-request-id"));
  const whole = await stage.client.request("GET", "/v1/version");
  assertEquals(reply.headers.get("content-length"), String(whole.bytes.length));
});

Deno.test("createApp() refuses parameters also where a route has none", async () => {
  await using stage = await AppStage.open();
  const problem = problemOf(
    await stage.client.request("GET", "/v1/version?x=1"),
    400,
    "invalid_request",
  );
  assertEquals(problem.field, "x");
});

Deno.test("createApp() decodes names in paths strictly", async () => {
  const asked: string[] = [];
  await using stage = await AppStage.open({
    catalog: {
      get: (name) => {
        asked.push(name);
        throw new LayerdError("repository_not_found", "None");
      },
    },
  });
  const get = (path: string) => stage.client.request("GET", `/v1/repositories/${path}`);
  problemOf(await get("a%2Db"), 404, "repository_not_found");
  problemOf(await get("a%252Db"), 404, "repository_not_found");
  problemOf(await get("a%2Fb"), 404, "repository_not_found");
  problemOf(await get("%20"), 404, "repository_not_found");
  problemOf(await get("%ff"), 400, "invalid_request");
  problemOf(await get("%zz"), 400, "invalid_request");
  assertEquals(asked, ["a-b"]);
});

Deno.test("createApp() answers any failure as a problem document", async () => {
  let failure: unknown;
  await using stage = await AppStage.open({
    control: {
      healthDocument: () => Promise.reject(failure),
    },
  });
  const cases: [unknown, number, string][] = [
    [new LayerdError("repository_locked", "In the way"), 423, "repository_locked"],
    [new FileSystemError("ENOSPC", "write", "/x"), 507, "no_space"],
    [new FileSystemError("EDQUOT", "write", "/x"), 507, "no_space"],
    [new FileSystemError("EACCES", "open", "/x"), 500, "io_error"],
    [new Error("BUG: secret"), 500, "internal"],
    [new TypeError("x is undefined"), 500, "internal"],
  ];
  for (const [error, status, code] of cases) {
    failure = error;
    const reply = await stage.client.request("GET", "/v1/health", undefined, {
      headers: { "x-request-id": "r-1" },
    });
    const problem = problemOf(reply, status, code);
    assertEquals(problem.request_id, "r-1");
    assertEquals(reply.headers.get("x-request-id"), "r-1");
    assert(!reply.text.includes("secret"));
  }
});

Deno.test("createApp() serves only health and version while the daemon recovers", async () => {
  let phase: ReturnType<DaemonControl["phase"]> = "recovering";
  await using stage = await AppStage.open({ control: { phase: () => phase } });
  const get = (path: string) => stage.client.request("GET", path);
  for (const path of ["/v1/transactions", "/v1/events", "/v1/metrics", "/v1/wal"]) {
    problemOf(await get(path), 503, "recovering");
  }
  problemOf(await get("/v1/health/ready"), 503, "recovering");
  problemOf(await get("/v1/nowhere"), 404, "not_found");
  assertEquals((await get("/v1/health/live")).status, 200);
  assertEquals((await get("/v1/version")).json, { version: "1.2.3", api_version: 1 });
  phase = "serving";
  assertEquals((await get("/v1/health/ready")).status, 200);
  phase = "draining";
  problemOf(await get("/v1/health/ready"), 503, "draining");
});

Deno.test("createApp() reports the log, checkpoints and shuts down", async () => {
  const calls: string[] = [];
  await using stage = await AppStage.open({
    control: {
      checkpoint: () => Promise.resolve(void calls.push("checkpoint")),
      shutdown: () => void calls.push("shutdown"),
    },
  });
  const status = {
    bytes: 1,
    segments: 2,
    last_lsn: 3,
    durable_lsn: 4,
    checkpoint_lsn: 5,
    bytes_since_checkpoint: 6,
  };
  assertEquals((await stage.client.request("GET", "/v1/wal")).json, status);
  assertEquals((await stage.client.request("POST", "/v1/wal/checkpoint")).json, status);
  assertEquals((await stage.client.request("POST", "/v1/shutdown", {})).status, 202);
  problemOf(
    await stage.client.request("POST", "/v1/shutdown", { now: true }),
    400,
    "invalid_request",
  );
  assertEquals(calls, ["checkpoint", "shutdown"]);
});

Deno.test("createApp() answers metrics with what was counted", async () => {
  await using stage = await AppStage.open();
  stage.parts.metrics.countOutcome("committed");
  stage.parts.metrics.observeCommit(3);
  stage.parts.metrics.observeCommit(99_999);
  await stage.client.request("GET", "/v1/nowhere");
  const reply = await stage.client.request("GET", "/v1/metrics");
  assertEquals(reply.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const lines = reply.text.split("\n");
  for (
    const line of [
      'layerd_transactions_total{outcome="committed"} 1',
      'layerd_commit_duration_ms_bucket{le="2.5"} 0',
      'layerd_commit_duration_ms_bucket{le="5"} 1',
      'layerd_commit_duration_ms_bucket{le="10000"} 1',
      'layerd_commit_duration_ms_bucket{le="+Inf"} 2',
      "layerd_commit_duration_ms_sum 100002",
      "layerd_commit_duration_ms_count 2",
      'layerd_transactions{condition="active"} 1',
      "layerd_in_doubt 0",
      "layerd_log_bytes 1",
      'layerd_http_requests_total{status="404"} 1',
    ]
  ) {
    assert(lines.includes(line), line);
  }
  assert(reply.text.endsWith("\n"));
});
