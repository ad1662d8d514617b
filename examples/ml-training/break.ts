/** Breaks each of the five services' steps in turn, and shows the compensation. */
// deno-lint-ignore-file no-console -- a script: its output is for a person
import { drawTimeline } from "../../src/cli/saga_timeline.ts";
import { SERVICE_STEPS, TRAINING_INPUT } from "./definition.ts";
import { Stage } from "./stage.ts";

const stage = await Stage.open();
let compensated = 0;
try {
  const { sagas } = stage.client;
  for (const { service, action, step } of SERVICE_STEPS) {
    await stage.services.break(service, action);
    const { id } = await sagas.start({ definition: "train", input: TRAINING_INPUT });
    const saga = await sagas.waitForEnd(id, 60_000);
    await stage.services.break(service, null);
    console.log(`\n── ${step} refuses`);
    for (const line of drawTimeline(saga, await sagas.events(id))) console.log(line);
    console.log(`undone by the services' books: ${stage.services.undone(id).join(", ") || "-"}`);
    if (saga.state === "compensated") compensated++;
  }
} finally {
  await stage.close();
}
console.log(`\n${compensated} of ${SERVICE_STEPS.length} sagas compensated`);
Deno.exit(compensated === SERVICE_STEPS.length ? 0 : 1);
