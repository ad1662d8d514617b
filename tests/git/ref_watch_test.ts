import { assertEquals } from "@std/assert";
import type { RefEdit } from "../../src/core/ref_edit.ts";
import { edit, layer, publishEdits, RefsScene } from "./refs_scene.ts";

function watched(scene: RefsScene) {
  const open = scene.open();
  let changes: RefEdit[] = [];
  const watch = open.watchLayers((change) => changes.push(change));
  const take = () => {
    watch.look();
    const taken = changes.sort((a, b) => a.ref < b.ref ? -1 : 1);
    changes = [];
    return taken;
  };
  return { open, watch, take };
}

Deno.test("watchLayers() reports native creations, moves, packings and deletions once", () =>
  RefsScene.run(async (scene) => {
    await scene.git("update-ref", "refs/layers/old", scene.commit(0));
    const { watch, take } = watched(scene);
    assertEquals(take(), []);
    await scene.git("update-ref", "refs/layers/a/b", scene.commit(0));
    await scene.git("update-ref", "refs/heads/other", scene.commit(0));
    assertEquals(take(), [edit(layer("a/b"), null, scene.commit(0))]);
    assertEquals(take(), []);
    await scene.git("pack-refs", "--all");
    assertEquals(take(), []);
    await scene.git("update-ref", "refs/layers/a/b", scene.commit(1));
    assertEquals(take(), [edit(layer("a/b"), scene.commit(0), scene.commit(1))]);
    await scene.git("update-ref", "-d", "refs/layers/a/b");
    await scene.git("update-ref", "-d", "refs/layers/old");
    assertEquals(take(), [
      edit(layer("a/b"), scene.commit(1), null),
      edit(layer("old"), scene.commit(0), null),
    ]);
    watch.close();
  }));

Deno.test("watchLayers() reports no publication of ours, and native changes around it", () =>
  RefsScene.run(async (scene) => {
    await scene.git("update-ref", "refs/layers/a", scene.commit(0));
    await scene.git("update-ref", "refs/layers/b", scene.commit(0));
    await scene.git("pack-refs", "--all");
    const { open, watch, take } = watched(scene);
    await publishEdits(open, [edit(layer("a"), scene.commit(0), scene.commit(1))]);
    assertEquals(take(), []);
    await scene.git("update-ref", "refs/layers/b", scene.commit(1));
    await scene.git("update-ref", "-d", "refs/layers/a");
    await publishEdits(open, [
      edit(layer("b"), scene.commit(1), scene.commit(2)),
      edit(layer("c"), null, scene.commit(2)),
    ]);
    assertEquals(take(), [
      edit(layer("a"), scene.commit(1), null),
      edit(layer("b"), scene.commit(0), scene.commit(1)),
    ]);
    assertEquals(take(), []);
    watch.close();
  }));

Deno.test("watchLayers() finds a change that left the directory's time as it was", () =>
  RefsScene.run(async (scene) => {
    const { watch, take } = watched(scene);
    await scene.git("update-ref", "refs/layers/a", scene.commit(0));
    assertEquals(take().length, 1);
    const { mtime } = Deno.statSync(scene.path("refs/layers"));
    await scene.git("update-ref", "refs/layers/a", scene.commit(1));
    Deno.utimeSync(scene.path("refs/layers"), mtime ?? 0, mtime ?? 0);
    assertEquals(take(), [edit(layer("a"), scene.commit(0), scene.commit(1))]);
    watch.close();
  }));

Deno.test("watchLayers() finds any change among packed layers by their bytes", () =>
  RefsScene.run(async (scene) => {
    const names = ["a", "b", "c", "ca", "d"];
    const { watch, take } = watched(scene);
    for (let mask = 1; mask < 1 << names.length; mask++) {
      const before = await scene.nativeRefs("refs/layers/");
      const wanted = names.filter((_, index) => (mask & (1 << index)) !== 0);
      const lines = names.map((name, index) =>
        wanted.includes(name)
          ? `update refs/layers/${name} ${scene.commit((mask + index) % 4)}`
          : `delete refs/layers/${name}`
      ).filter((line) => line.startsWith("update") || before[line.slice(7)] !== undefined);
      await scene.gitWithInput(lines.join("\n") + "\n", "update-ref", "--stdin");
      await scene.git("pack-refs", "--all");
      const after = await scene.nativeRefs("refs/layers/");
      const expected = names.map((name) => `refs/layers/${name}`)
        .filter((name) => before[name] !== after[name])
        .map((name) => ({ ref: name, old: before[name] ?? null, new: after[name] ?? null }));
      assertEquals(take() as unknown[], expected);
    }
    watch.close();
  }));
