/**
 * Malformed and hostile requests: each gets the refusal that the contract gives it, and
 * afterwards the daemon is as it was: memory, locks, the open transaction, the refs.
 */
import { assert, assertEquals } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { create, problemOf, put } from "../harness/api.ts";
import { git } from "../harness/git.ts";
import { report } from "../harness/scale.ts";
import { scenario, type Scene } from "../harness/scene.ts";
import { BODY_CASES } from "./body_cases.ts";
import { type HostileCase, LAYER, REPOSITORY } from "./hostile_case.ts";
import { NAME_CASES } from "./name_cases.ts";
import { ROUTE_CASES } from "./route_cases.ts";
import { VIEW_CASES } from "./view_cases.ts";

const CASES: readonly HostileCase[] = [
  ...BODY_CASES,
  ...NAME_CASES,
  ...ROUTE_CASES,
  ...VIEW_CASES,
];
const CASES_MIN = 150;
/** What a heap breathes by: the second pass over the table may not add more. */
const MEMORY_GROWTH_MIB_MAX = 32;

scenario("every hostile request is refused with its code and leaves nothing", async (scene) => {
  assert(CASES.length >= CASES_MIN, `Only ${CASES.length} cases`);
  const repository = await scene.repository();
  assertEquals(repository.name, REPOSITORY);
  await scene.api.apply([
    create(REPOSITORY, LAYER),
    put(REPOSITORY, LAYER, "f", "1"),
    put(REPOSITORY, LAYER, "d/g", "2"),
  ]);
  const done = await scene.api.begin();
  await scene.api.rollback(done.id);
  const open = await scene.api.begin({
    lease_ms: 600_000,
    locks: [{ repository: REPOSITORY, layer: LAYER, mode: "exclusive" }],
  });
  const ids = { open: open.id, done: done.id };
  // The first pass fills caches and lets the heap grow to its working size.
  await refuseAll(scene, ids);
  const before = await lookAt(scene, repository.path, open.id);
  const memoryBefore = await scene.daemon.residentMiB();
  await refuseAll(scene, ids);
  assertEquals(await lookAt(scene, repository.path, open.id), before);
  const memoryAfter = await scene.daemon.residentMiB();
  report(
    `hostile: ${CASES.length} cases, memory ${memoryBefore.toFixed(0)} MiB before and ` +
      `${memoryAfter.toFixed(0)} MiB after a second pass`,
  );
  assert(memoryAfter - memoryBefore < MEMORY_GROWTH_MIB_MAX, `Grew to ${memoryAfter} MiB`);
  assertEquals((await scene.api.rollback(open.id)).state, "rolled_back");
});

async function refuseAll(
  scene: Scene,
  ids: { readonly open: string; readonly done: string },
): Promise<void> {
  const wrong: string[] = [];
  for (const one of CASES) {
    const path = one.path.replace("{id}", ids.open).replace("{done}", ids.done);
    try {
      const reply = await scene.daemon.client.request(one.method, path, one.body, {
        ...(one.raw === undefined ? {} : { raw: one.raw }),
        ...(one.headers === undefined ? {} : { headers: one.headers }),
      });
      problemOf(reply, new LayerdError(one.code, "").status, one.code);
    } catch (error) {
      wrong.push(`${one.name}: ${error instanceof Error ? error.message.split("\n")[0] : error}`);
    }
  }
  assertEquals(wrong, []);
}

/** What a hostile request must not change. */
async function lookAt(scene: Scene, repository: string, open: string): Promise<unknown> {
  const { state, operations, savepoints, locks } = await scene.api.transaction(open);
  return {
    transaction: { state, operations, savepoints, locks },
    locks: await scene.api.locks(),
    repositories: await scene.api.get("/v1/repositories"),
    refs: await git(repository, ["for-each-ref"]),
  };
}
