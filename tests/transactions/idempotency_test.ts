import { assertEquals } from "@std/assert";
import { create, put, withEngine } from "./engine_scene.ts";
import { refusalOf } from "./refusals.ts";

function key(name: string, requestHash = "hash") {
  return { route: "POST /v1/transactions", key: name, requestHash };
}

Deno.test("a repeated begin answers the same open transaction, another body is refused", () =>
  withEngine(async (scene) => {
    const request = { idempotency: key("k") };
    const first = await scene.begin(request);
    assertEquals((await scene.begin(request)).id, first.id);
    assertEquals(scene.manager.counts().active, 1);
    const other = scene.begin({ idempotency: key("k", "other") });
    assertEquals((await refusalOf(other)).code, "idempotency_key_reused");
    await scene.manager.rollback(scene.idOf(first));
    assertEquals((await scene.begin(request)).id === first.id, false);
  }));

Deno.test("a repeat while the first is under way is idempotency_in_progress", () =>
  withEngine(async (scene) => {
    const request = { idempotency: key("k"), operations: [create("a")], commit: true };
    const first = scene.begin(request);
    assertEquals((await refusalOf(scene.begin(request))).code, "idempotency_in_progress");
    const other = scene.begin({ ...request, idempotency: key("k", "other") });
    assertEquals((await refusalOf(other)).code, "idempotency_key_reused");
    assertEquals((await first).state, "committed");
  }));

Deno.test("a one-shot commit's key answers its outcome, also after a restart", () =>
  withEngine(async (scene) => {
    const request = { idempotency: key("k"), operations: [create("a")], commit: true };
    const first = await scene.begin(request);
    assertEquals(await scene.begin(request), first);
    await scene.restart();
    assertEquals(await scene.begin(request), first);
    const other = scene.begin({ ...request, idempotency: key("k", "other") });
    assertEquals((await refusalOf(other)).code, "idempotency_key_reused");
  }));

Deno.test("a refused request does not use its key up", () =>
  withEngine(async (scene) => {
    const idempotency = key("k");
    const request = { idempotency, operations: [put("a", "f", "1")], commit: true };
    assertEquals((await refusalOf(scene.begin(request))).code, "layer_not_found");
    await scene.run(create("a"));
    assertEquals((await scene.begin(request)).state, "committed");
  }));
