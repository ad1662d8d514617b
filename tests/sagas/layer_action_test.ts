/** The layer step over a real engine: once, however late it is asked again. */
import { assert, assertEquals } from "@std/assert";
import { decodeBegin } from "../../src/http/transactions.ts";
import { layerAction } from "../../src/sagas/layer_action.ts";
import type { StepCall } from "../../src/sagas/step_action.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { git } from "../harness/git.ts";
import { create, type EngineScene, withEngine } from "../transactions/engine_scene.ts";

const DAY_MS = 24 * 3_600_000;

class LaterClock extends DenoClock {
  laterMs = 0;
  override now(): number {
    return super.now() + this.laterMs;
  }
}

function callOf(what: StepCall["what"], path: string): StepCall {
  const key = `saga-${path}`;
  const operations = [{
    op: "put_file",
    repository: "app",
    layer: "l",
    path,
    content: "once\n",
  }];
  return {
    service: { kind: "layer" },
    what,
    action: what === "action" ? "commit" : "undo",
    timeoutMs: 5_000,
    body: {
      saga_id: "saga",
      step_id: path,
      tenant_id: null,
      attempt: 1,
      idempotency_key: what === "action" ? key : `${key}_comp`,
      fencing_token: 1,
      input: { message: "once", operations },
      ...(what === "action" ? {} : { output: null }),
    },
  };
}

Deno.test("layerAction() does a step once although it is asked again after a month, a checkpoint and a restart", () =>
  withEngine(async (scene) => {
    const clock = new LaterClock();
    scene.clock = clock;
    await scene.restart();
    await scene.run(create("l"));
    const perform = (call: StepCall) =>
      layerAction({ manager: () => scene.manager, decodeBegin })(
        call,
        new AbortController().signal,
      );
    const first = await perform(callOf("action", "a.txt"));
    assertEquals(first.kind, "done");
    // Somebody else goes on: done again, the step would take that back.
    const content = "theirs\n";
    await perform({
      ...callOf("action", "b.txt"),
      body: {
        ...callOf("action", "b.txt").body,
        input: {
          operations: [{ op: "put_file", repository: "app", layer: "l", path: "a.txt", content }],
        },
      },
    });
    await months(scene, clock);
    assertEquals(await perform(callOf("action", "a.txt")), first);
    assertEquals(await scene.text("l", "a.txt"), content);
    assertEquals(await git(scene.path("app"), ["rev-list", "--count", "refs/layers/l"]), "3");
  }));

Deno.test("layerAction() undoes a step of unknown outcome once, after a month too", () =>
  withEngine(async (scene) => {
    const clock = new LaterClock();
    scene.clock = clock;
    await scene.restart();
    await scene.run(create("l"));
    const perform = (call: StepCall) =>
      layerAction({ manager: () => scene.manager, decodeBegin })(
        call,
        new AbortController().signal,
      );
    await perform(callOf("action", "a.txt"));
    await months(scene, clock);
    const undone = await perform(callOf("compensation", "a.txt"));
    assertEquals(undone.kind, "done");
    assertEquals(await scene.paths("l"), []);
    await months(scene, clock);
    assertEquals(await perform(callOf("compensation", "a.txt")), undone);
    const count = await git(scene.path("app"), ["rev-list", "--count", "refs/layers/l"]);
    assertEquals(count, "3", "The step was neither done nor undone again");
    assert(undone.kind === "done");
  }));

/** A month goes by, keys are forgotten by a checkpoint, the daemon starts anew. */
async function months(scene: EngineScene, clock: LaterClock): Promise<void> {
  clock.laterMs += 30 * DAY_MS;
  await scene.engine.checkpoint();
  await scene.restart();
}
