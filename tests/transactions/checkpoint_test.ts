/** What a checkpoint reads back of the log, and that it still finds what somebody removed. */
import { assertEquals } from "@std/assert";
import { git } from "../harness/git.ts";
import { create, put, withEngine } from "./engine_scene.ts";

Deno.test("a checkpoint reads the log back only where somebody removed what it placed", () =>
  withEngine(async (scene) => {
    const packs = `${scene.path("app")}/.git/objects/pack`;
    await scene.run(create("a"), put("a", "f", "1"));
    await scene.engine.checkpoint();
    await scene.run(put("a", "f", "2"));
    const before = scene.fileSystem.segmentsRead;
    await scene.engine.checkpoint();
    assertEquals(scene.fileSystem.segmentsRead, before);

    await scene.run(put("a", "f", "3"));
    for (const { name } of [...Deno.readDirSync(packs)]) {
      if (name.endsWith(".keep")) removePack(`${packs}/${name.slice(0, -".keep".length)}`);
    }
    await scene.engine.checkpoint();
    assertEquals(scene.fileSystem.segmentsRead > before, true);
    assertEquals(await git(scene.path("app"), ["show", "refs/layers/a:f"]), "3");
  }));

Deno.test("a checkpoint after one that failed reads the log back", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "f", "1"));
    await scene.engine.checkpoint();
    await scene.run(put("a", "f", "2"));
    scene.fileSystem.refusesFileSyncs = true;
    await scene.engine.checkpoint().then(() => Promise.reject(new Error("It passed")), () => {});
    scene.fileSystem.refusesFileSyncs = false;
    const before = scene.fileSystem.segmentsRead;
    await scene.engine.checkpoint();
    assertEquals(scene.fileSystem.segmentsRead > before, true);
  }));

function removePack(path: string): void {
  for (const suffix of ["idx", "pack", "keep"]) Deno.removeSync(`${path}.${suffix}`);
}
