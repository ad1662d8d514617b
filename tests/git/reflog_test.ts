import { assert, assertEquals } from "@std/assert";
import { edit, layer, NOTE, publishEdits, ref, RefsScene } from "./refs_scene.ts";

const MAIN = ref("refs/heads/main");

function log(scene: RefsScene, name: string): string[] {
  try {
    return Deno.readTextFileSync(scene.path(`logs/${name}`)).trimEnd().split("\n");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

Deno.test("settle() writes a reflog that native git reads", () =>
  RefsScene.run(async (scene) => {
    const other = ref("refs/heads/other");
    await publishEdits(scene.open(), [edit(other, null, scene.commit(1))]);
    await scene.git("checkout", "-q", "--detach");
    assertEquals(
      await scene.git("reflog", "show", "--format=%H %gd %gn %ge %gs", "other"),
      `${scene.commit(1)} other@{0} layerd layerd@localhost layerd: commit`,
    );
    assertEquals(log(scene, other).length, 1);
    assert(log(scene, other)[0]?.includes(" 1700000000 +0000\tlayerd: commit"));
  }, { bare: false }));

Deno.test("settle() makes logs only where core.logAllRefUpdates says so, as native git beside it", () =>
  RefsScene.run(async (scene) => {
    const open = scene.open();
    for (const setting of [null, "true", "false", "always"]) {
      scene.logAllRefUpdates = setting;
      if (setting !== null) await scene.git("config", "core.logAllRefUpdates", setting);
      const kinds = ["heads", "layers", "notes", "tags"];
      for (const kind of kinds) {
        await scene.git("update-ref", `refs/${kind}/native-${setting}`, scene.commit(0));
      }
      const ours = kinds.map((kind) => ref(`refs/${kind}/ours-${setting}`));
      await publishEdits(open, ours.map((name) => edit(name, null, scene.commit(0))));
      for (const kind of kinds) {
        assertEquals(
          log(scene, `refs/${kind}/ours-${setting}`).length,
          log(scene, `refs/${kind}/native-${setting}`).length,
          `${kind} with ${setting}`,
        );
      }
    }
  }));

Deno.test("settle() appends to a log that exists, whatever the setting, and to a bare HEAD's", () =>
  RefsScene.run(async (scene) => {
    await Deno.mkdir(scene.path("logs/refs/layers"), { recursive: true });
    await Deno.writeTextFile(scene.path("logs/refs/layers/a"), "");
    await Deno.writeTextFile(scene.path("logs/HEAD"), "");
    await publishEdits(scene.open(), [
      edit(layer("a"), null, scene.commit(0)),
      edit(MAIN, scene.commit(3), scene.commit(0)),
    ]);
    assertEquals(log(scene, "refs/layers/a").length, 1);
    assertEquals(log(scene, "refs/heads/main"), []);
    assert(log(scene, "HEAD")[0]?.startsWith(`${scene.commit(3)} ${scene.commit(0)} layerd <`));
  }));

Deno.test("settle() writes no entry twice when a publication is redone", () =>
  RefsScene.run(async (scene) => {
    scene.logAllRefUpdates = "always";
    const change = [edit(layer("a"), null, scene.commit(0))];
    await publishEdits(scene.open(), change);
    await scene.agePackedRefs();
    const { publisher } = scene.open();
    publisher.lockRefs([layer("a")], "T");
    publisher.lockPackedRefs();
    for (const again of [change, [edit(layer("a"), scene.commit(0), scene.commit(0))]]) {
      const staged = await publisher.stage(again, NOTE);
      staged.publish();
      await staged.settle();
    }
    assertEquals(log(scene, "refs/layers/a").length, 1);
    const staged = await publisher.stage([edit(layer("a"), scene.commit(0), scene.commit(1))], {
      ...NOTE,
      message: "two\nlines\t of it",
    });
    staged.publish();
    await staged.settle();
    assertEquals(log(scene, "refs/layers/a").length, 2);
    assert(log(scene, "refs/layers/a")[1]?.endsWith("\ttwo lines of it"));
  }));

Deno.test("settle() removes the log of a removed ref, so that its name can become a directory", () =>
  RefsScene.run(async (scene) => {
    scene.logAllRefUpdates = "always";
    const open = scene.open();
    await publishEdits(open, [edit(layer("a/b"), null, scene.commit(0))]);
    await publishEdits(open, [edit(layer("a/b"), scene.commit(0), null)]);
    await publishEdits(open, [edit(layer("a"), null, scene.commit(1))]);
    assertEquals(log(scene, "refs/layers/a").length, 1);
    await publishEdits(open, [edit(layer("a"), scene.commit(1), null)]);
    await publishEdits(open, [edit(layer("a/b"), null, scene.commit(0))]);
    assertEquals(log(scene, "refs/layers/a/b").length, 1);
  }));

Deno.test("settle() holds a publication even where its reflog cannot be written", () =>
  RefsScene.run(async (scene) => {
    scene.logAllRefUpdates = "always";
    await Deno.mkdir(scene.path("logs/refs/layers/a/full"), { recursive: true });
    await Deno.writeTextFile(scene.path("logs/refs/layers/a/full/x"), "");
    await publishEdits(scene.open(), [edit(layer("a"), null, scene.commit(0))]);
    assertEquals(await scene.git("rev-parse", "refs/layers/a"), scene.commit(0));
  }));
