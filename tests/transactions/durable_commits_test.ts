import { assertEquals } from "@std/assert";
import { git } from "../harness/git.ts";
import { makeCommit } from "../harness/repositories.ts";
import {
  create,
  createFrom,
  type EngineScene,
  put,
  updateRef,
  withEngine,
} from "./engine_scene.ts";
import type { Operation } from "../../src/core/operations.ts";

/** How many file systems were synced for one commit of these operations. */
async function syncs(scene: EngineScene, ...operations: Operation[]): Promise<number> {
  const before = scene.fileSystem.systemSyncs;
  await scene.run(...operations);
  return scene.fileSystem.systemSyncs - before;
}

Deno.test("a commit that rests on native objects makes them durable, one on our own does not", () =>
  withEngine(async (scene) => {
    assertEquals(await syncs(scene, create("a"), put("a", "f", "1")), 0);
    assertEquals(await syncs(scene, put("a", "f", "2")), 0);
    assertEquals(await syncs(scene, createFrom("b", "refs/heads/main")), 1);
    assertEquals(await syncs(scene, put("b", "f", "1")), 0);
    const path = scene.path("app");
    const native = await makeCommit(path, "refs/layers/a", "native");
    await git(path, ["update-ref", "refs/layers/a", native]);
    assertEquals(await syncs(scene, put("a", "f", "3")), 1);
    assertEquals(await syncs(scene, put("a", "f", "4")), 0);
    const other = await makeCommit(path, "refs/layers/a", "other");
    assertEquals(await syncs(scene, updateRef("refs/tags/t", other)), 1);
  }));

Deno.test("after a restart the ledger vouches for our own commits", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "f", "1"));
    await scene.restart();
    assertEquals(await syncs(scene, put("a", "f", "2")), 0);
    const path = scene.path("app");
    // A copy of our message on another commit is no proof.
    const message = await git(path, ["log", "-1", "--format=%B", "refs/layers/a"]);
    const copy = await makeCommit(path, "refs/layers/a", message);
    await git(path, ["update-ref", "refs/layers/a", copy]);
    assertEquals(await syncs(scene, put("a", "f", "3")), 1);
  }));

Deno.test("create_layer from an annotated tag starts at its commit", () =>
  withEngine(async (scene) => {
    const path = scene.path("app");
    await git(path, ["tag", "-a", "-m", "one", "v1", "main"]);
    await scene.run(createFrom("a", "refs/tags/v1"));
    assertEquals(
      await git(path, ["rev-parse", "refs/layers/a"]),
      await git(path, ["rev-parse", "main"]),
    );
  }));
