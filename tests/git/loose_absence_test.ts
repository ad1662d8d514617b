import { assertEquals } from "@std/assert";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import { FileSystemError } from "../../src/system/file_system.ts";
import { layer, RefsScene } from "./refs_scene.ts";

/** Keeps the paths that were looked at. */
class CountingFileSystem extends DenoFileSystem {
  looked: string[] = [];
  override lstatIfAny(path: string) {
    this.looked.push(path);
    return super.lstatIfAny(path);
  }
}

/** Gives every directory of layers a time in the past, as where nobody wrote for a while. */
function settle(scene: RefsScene, secondsAgo: number): void {
  const past = Math.floor(Date.now() / 1_000) - secondsAgo;
  const visit = (directory: string) => {
    Deno.utimeSync(directory, past, past);
    for (const entry of Deno.readDirSync(directory)) {
      if (entry.isDirectory) visit(`${directory}/${entry.name}`);
    }
  };
  visit(scene.path("refs/layers"));
}

Deno.test("RefReader.read() asks for no missing loose file where the directory is as it was", () =>
  RefsScene.run(async (scene) => {
    await scene.git("update-ref", "refs/layers/a", scene.commit(0));
    await scene.git("update-ref", "refs/layers/deep/er/b", scene.commit(1));
    await scene.git("pack-refs", "--all");
    await scene.agePackedRefs();
    settle(scene, 100);
    const fileSystem = new CountingFileSystem();
    const { refs } = scene.open(fileSystem);
    const read = () => [refs.read(layer("a")), refs.read(layer("deep/er/b"))];
    read();
    fileSystem.looked = [];
    assertEquals(read(), [scene.commit(0), scene.commit(1)]);
    const files = ["refs/layers/a", "refs/layers/deep/er/b"].map((name) => scene.path(name));
    assertEquals(fileSystem.looked.filter((path) => files.includes(path)), []);
    assertEquals(fileSystem.looked.length, 4);
  }));

Deno.test("RefReader.read() sees what native git writes into directories that lay still", () =>
  RefsScene.run(async (scene) => {
    const names = ["a", "deep/b", "deep/er/c"].map((name) => layer(name));
    for (const name of names) await scene.git("update-ref", name, scene.commit(0));
    await scene.git("pack-refs", "--all");
    const { refs } = scene.open();
    const values = () => names.map((name) => refs.read(name));
    const changes = [
      ["update-ref", "refs/layers/deep/er/c", scene.commit(1)],
      ["update-ref", "refs/layers/deep/er/c", scene.commit(2)],
      ["update-ref", "-d", "refs/layers/deep/er/c"],
      ["update-ref", "refs/layers/deep/b", scene.commit(3)],
      ["pack-refs", "--all"],
      ["update-ref", "refs/layers/deep/er/c", scene.commit(1)],
      ["update-ref", "refs/layers/a", scene.commit(2)],
    ];
    for (const [round, change] of changes.entries()) {
      settle(scene, 100 - round);
      values();
      await scene.git(...change);
      const native = await scene.nativeRefs();
      assertEquals(values() as unknown[], names.map((name) => native[name] ?? null));
    }
  }));

Deno.test("RefReader.read() reads through a directory that may be entered and not listed", () =>
  RefsScene.run(async (scene) => {
    await scene.git("update-ref", "refs/layers/closed/a", scene.commit(0));
    settle(scene, 100);
    class Unlisted extends DenoFileSystem {
      override readDirectory(path: string) {
        if (path.endsWith("/closed")) throw new FileSystemError("EACCES", "readdir", path);
        return super.readDirectory(path);
      }
    }
    const { refs } = scene.open(new Unlisted());
    assertEquals(refs.read(layer("closed/a")), scene.commit(0));
    assertEquals(refs.read(layer("closed/b")), null);
  }));
