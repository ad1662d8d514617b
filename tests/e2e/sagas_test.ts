/** Sagas through the daemon: routes, permissions, layer and command steps, restarts. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { bodyOf, problemOf } from "../harness/api.ts";
import { git } from "../harness/git.ts";
import { isolated, type Scene } from "../harness/scene.ts";
import type { SagaDocument } from "../../src/core/saga_document.ts";
import { stepsOf } from "../sagas/engine_scene.ts";
import { ReferenceService } from "../sagas/service.ts";

interface SagaReply {
  readonly saga: SagaDocument;
}

async function define(scene: Scene, definition: object): Promise<void> {
  bodyOf(await scene.daemon.client.request("PUT", "/v1/saga-definitions/test", definition));
}

async function start(scene: Scene, input: object = {}): Promise<string> {
  const body = { definition: "test", input };
  return bodyOf<SagaReply>(await scene.daemon.client.request("POST", "/v1/sagas", body), 201)
    .saga.id;
}

async function ended(scene: Scene, id: string): Promise<SagaDocument> {
  const path = `/v1/sagas/${id}?wait_for=terminal&timeout_ms=20000`;
  return (await scene.api.get<SagaReply>(path)).saga;
}

isolated("a saga runs over the socket, and is listed and told by its events", async (scene) => {
  await using service = new ReferenceService();
  await scene.start({ allow: ["--allow-participant", service.host] });
  const { client } = scene.daemon;
  const services = { service: { kind: "http", base_url: service.url } };
  const put = { services, steps: stepsOf(["a", "b"]) };
  const path = "/v1/saga-definitions/test";
  const { definition } = bodyOf<{ definition: { name: string; version: number } }>(
    await client.request("PUT", path, put),
  );
  assertEquals([definition.name, definition.version], ["test", 1]);
  bodyOf(await client.request("PUT", path, put));
  assertEquals(
    (await scene.api.get<{ definition: { version: number } }>(path)).definition.version,
    1,
    "The same definition is no new version",
  );
  const body = { definition: "test", tenant_id: "acme", input: { n: 1 } };
  const headers = { "Idempotency-Key": "once" };
  const first = bodyOf<SagaReply>(
    await client.request("POST", "/v1/sagas", body, { headers }),
    201,
  );
  const again = bodyOf<SagaReply>(
    await client.request("POST", "/v1/sagas", body, { headers }),
    201,
  );
  assertEquals(again.saga.id, first.saga.id);
  const { id } = first.saga;
  problemOf(
    await client.request("POST", "/v1/sagas", { ...body, input: 2 }, { headers }),
    422,
    "idempotency_key_reused",
  );
  const saga = await ended(scene, id);
  assertEquals([saga.state, saga.tenant_id, saga.current_step], ["completed", "acme", null]);
  assert(saga.execution_time_ms > 0);
  const list = "/v1/sagas?state=completed&tenant_id=acme&definition=test";
  const { sagas } = await scene.api.get<{ sagas: SagaDocument[] }>(list);
  assertEquals(sagas.map((one) => one.id), [id]);
  const { events } = await scene.api.get<{ events: { type: string; sequence: number }[] }>(
    `/v1/sagas/${id}/events`,
  );
  assertEquals(events.map(({ sequence }) => sequence), [1, 2, 3, 4, 5, 6]);
  problemOf(await client.request("POST", `/v1/sagas/${id}/cancel`, {}), 409, "invalid_transition");
  problemOf(await client.request("GET", "/v1/sagas/nope"), 404, "saga_not_found");
  problemOf(await client.request("GET", "/v1/saga-definitions/nope"), 404, "saga_not_found");
});

isolated(
  "a definition that reaches what was not allowed is refused with the flag",
  async (scene) => {
    await scene.start();
    const put = async (service: object) => {
      const body = { services: { service }, steps: stepsOf(["a"]) };
      const reply = await scene.daemon.client.request("PUT", "/v1/saga-definitions/test", body);
      return problemOf(reply, 403, "permission_denied").detail;
    };
    const http = await put({ kind: "http", base_url: "http://127.0.0.1:1/x" });
    assertMatch(http, /--allow-participant 127\.0\.0\.1:1$/);
    assertMatch(
      await put({ kind: "command", program: "/bin/true" }),
      /--allow-command \/bin\/true$/,
    );
  },
);

isolated("a definition is refused with the field that is wrong", async (scene) => {
  await scene.start();
  const services = { service: { kind: "layer" } };
  const [a, b] = stepsOf(["a", "b"], { compensation_action: "undo" });
  assert(a && b);
  const cases: readonly (readonly [field: string, steps: readonly object[]])[] = [
    ["steps[1].step_id", [a, a]],
    ["steps[0].idempotency_key", [{ ...a, idempotency_key: "fixed" }]],
    ["steps[0].service_name", [{ ...a, service_name: "other" }]],
    ["steps[0].compensation_action", [{ ...a, compensation_action: "delete" }]],
    ["steps[0].compensation_action", [{ ...a, kind: "pivot" }]],
    ["steps[1].kind", [{ ...a, kind: "retriable", compensation_action: null }, b]],
    ["steps[0].input.x", [{ ...a, input: { x: { $: "1 +" } } }]],
    ["steps[0].input.x", [{ ...a, input: { x: { $: "$match(input, /a+/)" } } }]],
    ["steps[0].input", [{ ...a, input: { $: "$eval('1')" } }]],
    ["steps[0].input", [{ ...a, input: { $: "1", more: 2 } }]],
    ["steps[0].later", [{ ...a, later: 1 }]],
  ];
  for (const [field, steps] of cases) {
    const reply = await scene.daemon.client.request("PUT", "/v1/saga-definitions/test", {
      services,
      steps,
    });
    assertEquals(problemOf(reply, 400, "invalid_request").field, field);
  }
});

isolated("a layer step commits once, and its compensation undoes it", async (scene) => {
  await using service = new ReferenceService();
  service.misbehave = ({ action }) => action === "do_b" ? { kind: "answer", status: 422 } : null;
  await scene.start({ allow: ["--allow-participant", service.host] });
  const { name, path } = await scene.repository();
  const operations = [{ op: "create_layer", repository: name, layer: "global" }];
  await scene.api.apply(operations);
  const put = {
    op: "put_file",
    repository: name,
    layer: "global",
    path: "model.json",
    content: { $: "$string(input.model)" },
  };
  const services = {
    layers: { kind: "layer" },
    service: { kind: "http", base_url: service.url },
  };
  const layer = {
    step_id: "publish",
    service_name: "layers",
    action: "commit",
    compensation_action: "undo",
    input: { message: "publish the model", operations: [put] },
  };
  await define(scene, { services, steps: [layer, ...stepsOf(["b"])] });
  const before = await git(path, ["rev-parse", "refs/layers/global^{tree}"]);
  const undone = await ended(scene, await start(scene, { model: { k: 1 } }));
  assertEquals(undone.state, "compensated", JSON.stringify(undone));
  assertEquals(await git(path, ["rev-parse", "refs/layers/global^{tree}"]), before);
  assertEquals(await git(path, ["rev-list", "--count", "refs/layers/global"]), "3");

  service.misbehave = () => null;
  const done = await ended(scene, await start(scene, { model: { k: 2 } }));
  assertEquals(done.state, "completed");
  assertEquals(await git(path, ["show", "refs/layers/global:model.json"]), '{"k":2}');
});

isolated("a command step runs the program with the call on standard input", async (scene) => {
  await Deno.writeTextFile(
    scene.path("tool"),
    `#!/bin/sh
case $1 in
  size) cat >"$0.call"; echo '{"heard":true}' ;;
  *) echo "no such action: $1" >&2; exit 3 ;;
esac
`,
    { mode: 0o755 },
  );
  await scene.start({ allow: ["--allow-command", scene.path("tool")] });
  const services = { tools: { kind: "command", program: scene.path("tool") } };
  const step = { service_name: "tools", action: "size", input: { text: { $: "input.text" } } };
  await define(scene, { services, steps: [{ step_id: "a", ...step }] });
  const id = await start(scene, { text: "four" });
  assertEquals((await ended(scene, id)).output, { heard: true });
  const call = JSON.parse(await Deno.readTextFile(scene.path("tool.call")));
  assertEquals([call.idempotency_key, call.input], [`${id}-a`, { text: "four" }]);
  await define(scene, { services, steps: [{ step_id: "a", ...step, action: "other" }] });
  const refused = await ended(scene, await start(scene));
  assertEquals(refused.state, "compensated");
  assertMatch(refused.problem?.detail ?? "", /input\.text has no value/);
  const other = await ended(scene, await start(scene, { text: "x" }));
  assertMatch(other.problem?.detail ?? "", /Exit code 3: no such action: other/);
});

isolated("a saga that waits to repeat a call goes on after a restart", async (scene) => {
  await using service = new ReferenceService();
  service.misbehave = () => ({ kind: "answer", status: 503 });
  const allow = { allow: ["--allow-participant", service.host] };
  await scene.start(allow);
  const services = { service: { kind: "http", base_url: service.url } };
  const slow = { backoff_ms: 500, backoff_max_ms: 500, retry_count: 1_000 };
  await define(scene, { services, steps: stepsOf(["a"], slow) });
  const id = await start(scene);
  while (service.received.length < 1) await new Promise((resolve) => setTimeout(resolve, 5));
  await scene.restart(allow);
  service.misbehave = () => null;
  const saga = await ended(scene, id);
  assertEquals(saga.state, "completed");
  assert((saga.steps[0]?.attempts ?? 0) >= 2, "The count of attempts survives");
  assertEquals(service.received.at(-1)?.body["fencing_token"], 2);
});
