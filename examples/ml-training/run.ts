/** Trains a model by the saga, and shows the timeline and what came of it. */
// deno-lint-ignore-file no-console -- a script: its output is for a person
import { drawTimeline } from "../../src/cli/saga_timeline.ts";
import { TRAINING_INPUT } from "./definition.ts";
import { Stage } from "./stage.ts";

const stage = await Stage.open();
let state = "not started";
try {
  const { sagas } = stage.client;
  const { id } = await sagas.start({
    definition: "train",
    input: TRAINING_INPUT,
    tenant_id: "acme",
  }, { idempotencyKey: "first-training" });
  const saga = await sagas.waitForEnd(id, 60_000);
  state = saga.state;
  for (const line of drawTimeline(saga, await sagas.events(id))) console.log(line);
  const metrics = await stage.client.file("models", "models/iris", "metrics.json");
  console.log(`\nin refs/layers/models/iris: ${(await stage.landed()).join(", ")}`);
  console.log(`metrics.json: ${metrics.content?.replaceAll(/\s+/g, " ")}`);
} finally {
  await stage.close();
}
Deno.exit(state === "completed" ? 0 : 1);
