/**
 * Where a load plays: two repositories with six layers each, a counter and a list in every
 * layer, native git at work on both. Shared by the soak and by the crash rounds.
 */
import { assertEquals } from "@std/assert";
import { create, put } from "../harness/api.ts";
import { assertFsckClean, assertNothingLeftBehind } from "../harness/repositories.ts";
import type { Scene } from "../harness/scene.ts";
import { Checker } from "./checker.ts";
import { Load } from "./load.ts";
import { NativeGit } from "./native_git.ts";
import type { LoadedLayer } from "./worker_messages.ts";

const LAYERS_PER_REPOSITORY = 6;

export interface Stage {
  readonly load: Load;
  readonly checker: Checker;
  readonly natives: readonly NativeGit[];
  readonly repositories: readonly { readonly name: string; readonly path: string }[];
  readonly layers: readonly LoadedLayer[];
}

export async function setStage(
  scene: Scene,
  options: { readonly seed: number; readonly clients: number },
): Promise<Stage> {
  const { seed, clients } = options;
  const repositories = [await scene.repository(), await scene.repository()];
  const layers: LoadedLayer[] = repositories.flatMap(({ name }) =>
    Array.from({ length: LAYERS_PER_REPOSITORY }, (_, n): LoadedLayer => [name, `load/l${n}`])
  );
  await scene.api.apply(
    layers.flatMap(([repository, layer]) => [
      create(repository, layer),
      put(repository, layer, "counter", "0"),
      put(repository, layer, "list", ""),
    ]),
  );
  const load = new Load({ socket: scene.home.socket, seed, clients, layers });
  const checker = new Checker(load);
  await checker.start(layers, new Map(repositories.map(({ name, path }) => [name, path])));
  const natives = repositories.map(({ path }, index) =>
    new NativeGit(path, seed + index, index === 0 ? "refs/layers/load/l0" : null)
  );
  return { load, checker, natives, repositories, layers };
}

/** Checks the transactions and native git's own refs; the load is idle and native git paused. */
export async function checkStage(scene: Scene, stage: Stage): Promise<void> {
  await vanishedEnded(scene, stage);
  await stage.checker.check(
    new Set(stage.natives.flatMap(({ layerCommits }) => [...layerCommits])),
  );
  for (const native of stage.natives) {
    assertEquals({ complaints: native.complaints, misplaced: await native.misplaced() }, {
      complaints: [],
      misplaced: [],
    });
  }
}

/** Nothing is locked, nothing is left, `fsck` is clean. */
export async function checkQuiet(scene: Scene, stage: Stage): Promise<void> {
  assertEquals(await scene.api.locks(), { locks: [], waits_for: [] });
  for (const { path } of stage.repositories) {
    await assertFsckClean(path);
    await assertNothingLeftBehind(`${path}/.git`);
  }
}

/** Clients that vanished leave transactions open until the lease ends; this waits for that. */
async function vanishedEnded(scene: Scene, stage: Stage): Promise<void> {
  for (const id of stage.load.takeVanished()) {
    const path = `/v1/transactions/${id}?wait_for=terminal&timeout_ms=30000`;
    const reply = await scene.daemon.client.request("GET", path);
    // One that a restart ended is not known any more.
    if (reply.status !== 404) assertEquals(reply.status, 200, reply.text);
  }
}
