/**
 * Death at every event of a saga, right before and right after the event is on disk: the next
 * process ends the saga as it would have ended, and every service counts each effect once.
 */
import { assertEquals } from "@std/assert";
import { parseSagaId } from "../../src/core/ids.ts";
import { report } from "../harness/scale.ts";
import { type Death, dyingStore } from "./dying_store.ts";
import { EngineScene, stepsOf } from "./engine_scene.ts";
import { ReferenceService } from "./service.ts";

interface Course {
  readonly name: string;
  readonly refused: string | null;
  readonly state: "completed" | "compensated";
  /** Appends after `saga_requested`. */
  readonly appends: number;
}

const COURSES: readonly Course[] = [
  { name: "that completes", refused: null, state: "completed", appends: 7 },
  { name: "that compensates", refused: "do_c", state: "compensated", appends: 11 },
];

for (const course of COURSES) {
  Deno.test(`sagaEngine ends a saga ${course.name} as ever after a death at each event`, async () => {
    // Side by side: each has a file and a service of its own, and waits for the disk mostly.
    const deaths = Array.from({ length: course.appends }, (_, index) => index + 1)
      .flatMap((append) => (["before", "after"] as const).map((when) => ({ append, when })));
    await Promise.all(deaths.map((death) => dieAndGoOn(course, death)));
    report(`sagas: ${deaths.length} deaths in a saga ${course.name}`);
  });
}

async function dieAndGoOn(course: Course, death: Death): Promise<void> {
  await using service = new ReferenceService();
  service.misbehave = ({ action }) =>
    action === course.refused ? { kind: "answer", status: 422 } : null;
  const directory = await Deno.makeTempDir({ prefix: "layerd-test-" });
  let died = Promise.resolve();
  const first = await EngineScene.open(directory, (store) => {
    const dying = dyingStore(store, death);
    died = dying.died;
    return dying.store;
  });
  const { id } = await first.start(service.url, stepsOf(["a", "b", "c"]));
  await died;
  await using second = await EngineScene.open(directory);
  const saga = parseSagaId(id);
  const before = (await second.store.events(saga)).length;
  await second.ended(id, course.state);
  const after = (await second.store.events(saga)).length;
  const what = `${JSON.stringify(death)}: ${JSON.stringify(service.books)}`;
  assertEquals(after, course.appends + 1, what);
  assertEquals(before <= after, true);
  for (const step of ["a", "b", "c"]) {
    const done = `do_${step}` === course.refused ? 0 : 1;
    assertEquals(service.count(`${id}-${step}`), done, what);
  }
  const standing = course.state === "completed" ? 3 : 0;
  assertEquals(service.standing().length, standing, what);
  first.events.close();
  await first.store.close();
}
