/**
 * Many sagas at once over services that misbehave in every way at once: silent after the work,
 * late until after the compensation, refusing a compensation twice or for good. Afterwards no
 * effect was made twice and no undo is missing, by the services' own books.
 */
import { assert, assertEquals } from "@std/assert";
import { parseSagaId } from "../../src/core/ids.ts";
import { SeededRandom } from "../harness/random.ts";
import { report, scaled, withSeed } from "../harness/scale.ts";
import { EngineScene, stepsOf } from "./engine_scene.ts";
import { type Misbehaviour, type Received, ReferenceService } from "./service.ts";

const SAGAS = scaled({ reduced: 40, full: 200 });
/** A call that is not answered takes all of it. */
const TIMEOUT_MS = scaled({ reduced: 150, full: 400 });
const STEPS = ["a", "b", "c"] as const;

Deno.test("sagaEngine leaves no effect twice and no undo missing among services that misbehave", async () => {
  await withSeed(async (seed) => {
    await using service = new ReferenceService();
    await using scene = await EngineScene.open();
    const late = Promise.withResolvers<void>();
    const moods = new Moods(new SeededRandom(seed), late.promise);
    service.misbehave = (call) => moods.of(call);
    const raised = new Set<string>();
    const subscription = scene.events.subscribe(null);
    const listening = (async () => {
      for await (const event of subscription) {
        if (event.type === "saga.needs_operator" && "data" in event) {
          raised.add(String(event.data["saga_id"]));
        }
      }
    })();
    const steps = stepsOf(STEPS, { timeout_ms: TIMEOUT_MS, retry_count: 3 });
    await scene.start(service.url, steps);
    const rest = Array.from({ length: SAGAS - 1 }, () => scene.again());
    await Promise.all(rest);
    const ids = (await scene.engine.list({}, SAGAS, null)).map(({ id }) => id);
    assertEquals(ids.length, SAGAS);
    const stuck = await settle(scene, ids);
    for (const id of stuck) assert(raised.has(id), `${id} needs an operator and no event said so`);

    moods.calm = true;
    late.resolve();
    const random = new SeededRandom(seed + 1);
    for (const id of stuck) await mend(scene, id, random);
    await settle(scene, ids);
    const ends = await lookAt(scene, service, ids);
    subscription.close();
    await listening;
    report(
      `sagas: seed ${seed}, ${SAGAS} at once, ${service.received.length} calls, ` +
        `${stuck.length} needed an operator, ends: ${JSON.stringify(ends)}`,
    );
  });
});

/** Resolves when none goes on by itself; answers those that need an operator. */
async function settle(scene: EngineScene, ids: readonly string[]): Promise<string[]> {
  const stuck: string[] = [];
  for (const id of ids) {
    for (;;) {
      const saga = await scene.engine.get(parseSagaId(id));
      if (saga.condition === "needs_operator") stuck.push(id);
      if (saga.condition !== null || !/progress|started|compensating/.test(saga.state)) break;
      // Looks again when anything happened; there is always something while sagas go on.
      await nextEvent(scene);
    }
  }
  return stuck;
}

async function nextEvent(scene: EngineScene): Promise<void> {
  const subscription = scene.events.subscribe(null);
  const timer = setTimeout(() => subscription.close(), 200);
  for await (const _event of subscription) break;
  clearTimeout(timer);
}

async function mend(scene: EngineScene, id: string, random: SeededRandom): Promise<void> {
  const saga = parseSagaId(id);
  const verb = random.chance(0.5) ? "retry" : "skip";
  for (;;) {
    await scene.engine.obey(saga, verb, "by the test");
    await settle(scene, [id]);
    if ((await scene.engine.get(saga)).condition === null) return;
  }
}

/** Compares every saga with the books; how often each end came. */
async function lookAt(
  scene: EngineScene,
  service: ReferenceService,
  ids: readonly string[],
): Promise<Record<string, number>> {
  const ends: Record<string, number> = {};
  const standing = new Set(service.standing());
  for (const id of ids) {
    const saga = await scene.engine.get(parseSagaId(id));
    ends[saga.state] = (ends[saga.state] ?? 0) + 1;
    for (const { step_id, state } of saga.steps) {
      const key = `${id}-${step_id}`;
      assert(service.count(key) <= 1, `${key} was done ${service.count(key)} times`);
      assert(service.count(key, "undone") <= 1, `${key} was undone twice`);
      if (saga.state === "completed") assert(standing.has(key), `${key} is missing`);
      else if (state !== "skipped") assert(!standing.has(key), `${key} was not undone`);
    }
  }
  return ends;
}

/** How a key's calls are met: drawn once a key, then kept. */
class Moods {
  calm = false;
  readonly #random: SeededRandom;
  readonly #late: Promise<void>;
  readonly #moods = new Map<string, string>();
  readonly #calls = new Map<string, number>();

  constructor(random: SeededRandom, late: Promise<void>) {
    this.#random = random;
    this.#late = late;
  }

  of({ key }: Received): Misbehaviour | null {
    if (this.calm) return null;
    const calls = (this.#calls.get(key) ?? 0) + 1;
    this.#calls.set(key, calls);
    const mood = this.#moods.get(key) ?? this.#draw(key.endsWith("_comp"));
    this.#moods.set(key, mood);
    switch (mood) {
      case "silent once":
        return calls === 1 ? { kind: "done_silent" } : null;
      case "silent":
        return { kind: "done_silent" };
      case "late":
        return { kind: "late", until: this.#late };
      case "broken":
        return { kind: "done_but", status: 500 };
      case "refuses twice":
        return calls <= 2 ? { kind: "answer", status: 409 } : null;
      case "refuses":
        return { kind: "answer", status: 422 };
      default:
        return null;
    }
  }

  #draw(isCompensation: boolean): string {
    const moods = isCompensation
      ? ["", "", "silent once", "refuses twice", "refuses twice", "refuses"]
      : ["", "", "", "", "silent once", "silent once", "silent", "late", "broken", "refuses"];
    return moods[this.#random.integer(0, moods.length - 1)] ?? "";
  }
}
