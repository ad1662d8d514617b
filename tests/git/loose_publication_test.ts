import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import type { RefEdit } from "../../src/core/ref_edit.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import {
  type FileHandle,
  type FileInfo,
  FileSystemError,
  type OpenOptions,
} from "../../src/system/file_system.ts";
import { edit, layer, NOTE, publishEdits, RefsScene } from "./refs_scene.ts";

const LAYERS = ["a", "b", "c", "d"];

/** Four packed layers at commit 0, in a repository that counts as large. */
function inLargeRepository(test: (scene: RefsScene) => Promise<void>): Promise<void> {
  return RefsScene.run(async (scene) => {
    for (const name of LAYERS) await scene.git("update-ref", layer(name), scene.commit(0));
    await scene.git("pack-refs", "--all");
    await scene.agePackedRefs();
    scene.loosePublication = { fromBytes: 0, refsMax: 2 };
    await test(scene);
  });
}

function packedText(scene: RefsScene): string {
  return Deno.readTextFileSync(scene.path("packed-refs"));
}

function looseLayers(scene: RefsScene): string[] {
  return [...Deno.readDirSync(scene.path("refs/layers"))].map(({ name }) => name).sort();
}

Deno.test("RefPublisher.stage() moves a ref alone by its loose file where packed-refs is large", () =>
  inLargeRepository(async (scene) => {
    const open = scene.open();
    const packed = packedText(scene);
    for (const number of [1, 2]) {
      await publishEdits(open, [edit(layer("a"), scene.commit(number - 1), scene.commit(number))]);
      assertEquals(packedText(scene), packed);
      assertEquals((await scene.nativeRefs())[layer("a")], scene.commit(number));
      assertEquals(open.refs.read(layer("a")), scene.commit(number));
    }
    assertEquals([looseLayers(scene), await scene.leftovers()], [["a"], []]);
  }));

Deno.test("RefPublisher.stage() moves several refs, and makes and deletes them, by packed-refs even there", () =>
  inLargeRepository(async (scene) => {
    const open = scene.open();
    await publishEdits(open, [edit(layer("a"), scene.commit(0), scene.commit(1))]);
    const several = ["a", "b"].map((name) => {
      const old = scene.commit(name === "a" ? 1 : 0);
      return edit(layer(name), old, scene.commit(2));
    });
    await publishEdits(open, several);
    await publishEdits(open, [edit(layer("new"), null, scene.commit(2))]);
    await publishEdits(open, [edit(layer("c"), scene.commit(0), null)]);
    assertEquals(await scene.nativeRefs("refs/layers"), {
      [layer("a")]: scene.commit(2),
      [layer("b")]: scene.commit(2),
      [layer("d")]: scene.commit(0),
      [layer("new")]: scene.commit(2),
    });
    assertEquals(looseLayers(scene), []);
  }));

Deno.test("too many loose layers are folded with the next one, but for those that somebody holds", () =>
  inLargeRepository(async (scene) => {
    const open = scene.open();
    await publishEdits(open, [edit(layer("a"), scene.commit(0), scene.commit(1))]);
    // A promise's lock from before a start: it stands, and nobody holds it by name.
    scene.open().publisher.lockRefs([layer("a")], "promise");
    open.publisher.adoptLocks();
    await publishEdits(open, [edit(layer("b"), scene.commit(0), scene.commit(1))]);
    await publishEdits(open, [edit(layer("c"), scene.commit(0), scene.commit(1))]);
    assertEquals(looseLayers(scene), ["a", "a.lock"]);
    for (const name of ["b", "c"]) {
      assert(packedText(scene).includes(`${scene.commit(1)} ${layer(name)}\n`));
    }
    assertEquals(open.publisher.stillHeld([layer("a")]), true);
    open.publisher.unlockRefs([layer("a")]);
    assertEquals(await scene.leftovers(), []);
  }));

Deno.test("a value that the ref may have had before is never published loose", () =>
  inLargeRepository(async (scene) => {
    const { publisher } = scene.open();
    publisher.lockRefs([layer("a")], "T");
    publisher.lockPackedRefs();
    publisher.readLocked();
    const staged = await publisher.stage(
      [edit(layer("a"), scene.commit(0), scene.commit(1))],
      NOTE,
    );
    staged.publish();
    await staged.settle();
    // A native pack-refs that packed this value earlier would take the loose file away.
    assertEquals(looseLayers(scene), ["a.lock"]);
    assert(packedText(scene).includes(`${scene.commit(1)} ${layer("a")}\n`));
    publisher.unlockRefs([layer("a")]);
    publisher.unlockPackedRefs();
  }));

/** Refuses one call on a layer's file or lock, as where its directory is another user's. */
class ForeignDirectory extends DenoFileSystem {
  refused = "";

  override link(from: string, to: string): void {
    if (to.endsWith(this.refused)) throw new FileSystemError("EACCES", "link", to);
    super.link(from, to);
  }

  override unlink(path: string): void {
    if (path.endsWith(this.refused)) throw new FileSystemError("EPERM", "unlink", path);
    super.unlink(path);
  }
}

for (const refused of ["refs/layers/a.lock", "refs/layers/a"]) {
  Deno.test(`a loose layer that cannot be folded holds up no other (${refused} is refused)`, () =>
    inLargeRepository(async (scene) => {
      const fileSystem = new ForeignDirectory();
      fileSystem.refused = "never";
      const open = scene.open(fileSystem);
      for (const name of ["a", "b"]) {
        await publishEdits(open, [edit(layer(name), scene.commit(0), scene.commit(1))]);
      }
      fileSystem.refused = refused;
      await publishEdits(open, [edit(layer("c"), scene.commit(0), scene.commit(1))]);
      await publishEdits(open, [edit(layer("d"), scene.commit(0), scene.commit(1))]);
      fileSystem.refused = "never";
      const expected = Object.fromEntries(LAYERS.map((name) => [layer(name), scene.commit(1)]));
      assertEquals(await scene.nativeRefs("refs/layers"), expected);
      assertEquals(await scene.leftovers(), []);
    }));
}

/** Notes what is synced, and can fail at packed-refs. */
class SyncWatch extends DenoFileSystem {
  readonly synced: string[] = [];
  fails = false;

  override syncFile(path: string): Promise<void> {
    this.synced.push(path);
    if (this.fails) return Promise.reject(new FileSystemError("EIO", "fsync", path));
    return super.syncFile(path);
  }

  override syncDirectory(path: string): Promise<void> {
    this.synced.push(path);
    return super.syncDirectory(path);
  }
}

Deno.test("what native git packed is durable before the directories from which it took loose files", () =>
  inLargeRepository(async (scene) => {
    scene.loosePublication = { fromBytes: 0, refsMax: 9 };
    const fileSystem = new SyncWatch();
    const open = scene.open(fileSystem);
    const paths = ["packed-refs", "", "refs", "refs/layers"].map((name) =>
      scene.path(name).replace(/\/$/, "")
    );
    const moved = (from: number) => edit(layer("a"), scene.commit(from), scene.commit(from + 1));
    await publishEdits(open, [moved(0)]);
    assertEquals(fileSystem.synced.splice(0), paths);
    await publishEdits(open, [moved(1)]);
    assertEquals(fileSystem.synced.splice(0), paths.slice(2));
    await scene.git("pack-refs", "--all");
    await publishEdits(open, [edit(layer("b"), scene.commit(0), scene.commit(1))]);
    assertEquals(fileSystem.synced.splice(0), paths);
    await scene.git("pack-refs", "--all");
    fileSystem.fails = true;
    await assertRejects(() => publishEdits(open, [moved(2)]), FileSystemError);
    // The kernel takes a failed sync for done: only a new packed-refs can be relied on.
    await publishEdits(open, [edit(layer("b"), scene.commit(1), scene.commit(2))]);
    assertEquals(packedText(scene).includes(`${scene.commit(2)} ${layer("b")}\n`), true);
  }));

Deno.test("a loose publication refuses where somebody wrote in spite of its lock", () =>
  inLargeRepository(async (scene) => {
    const { publisher } = scene.open();
    publisher.lockRefs([layer("a")], "T");
    publisher.lockPackedRefs();
    publisher.readLocked();
    const alone = [edit(layer("a"), scene.commit(0), scene.commit(1))];
    const staged = await publisher.stage(alone, NOTE, new Set([scene.commit(1)]));
    await Deno.writeTextFile(scene.path(layer("a")), `${scene.commit(2)}\n`);
    assertThrows(() => staged.publish(), LayerdError, "in spite of its lock");
    assertEquals((await scene.nativeRefs())[layer("a")], scene.commit(2));
    publisher.unlockRefs([layer("a")]);
    publisher.unlockPackedRefs();
    assertEquals(await scene.leftovers(), []);
  }));

/** Knows no ctime, so that a file whose time was set back looks unchanged. */
class WithoutChangeTimes extends DenoFileSystem {
  override lstatIfAny(path: string): FileInfo | null {
    const info = super.lstatIfAny(path);
    return info === null ? null : { ...info, changedMs: 0 };
  }

  override open(path: string, options: OpenOptions): FileHandle {
    const handle = super.open(path, options);
    const info = handle.info.bind(handle);
    handle.info = () => ({ ...info(), changedMs: 0 });
    return handle;
  }
}

Deno.test("packed-refs is never written back from a copy that only its stat vouched for", () =>
  inLargeRepository(async (scene) => {
    const open = scene.open(new WithoutChangeTimes());
    assertEquals(open.refs.read(layer("a")), scene.commit(0));
    // In place, with the time set back: nobody could tell by stat.
    const text = packedText(scene);
    const other = text.replace(
      `${scene.commit(0)} ${layer("d")}`,
      `${scene.commit(2)} ${layer("d")}`,
    );
    const { mtime } = Deno.statSync(scene.path("packed-refs"));
    assert(mtime !== null && other !== text);
    await Deno.writeTextFile(scene.path("packed-refs"), other);
    await Deno.utime(scene.path("packed-refs"), mtime, mtime);
    const both = ["a", "b"].map((name) => edit(layer(name), scene.commit(0), scene.commit(1)));
    await assertRejects(() => publishEdits(open, both), LayerdError, "in spite of its lock");
    assertEquals(packedText(scene), other);
  }));

Deno.test("a watcher takes a loose publication over, and reports what native git does to it", () =>
  inLargeRepository(async (scene) => {
    const open = scene.open();
    const reported: RefEdit[] = [];
    const watch = open.watchLayers((change) => reported.push(change));
    await publishEdits(open, [edit(layer("a"), scene.commit(0), scene.commit(1))]);
    watch.look();
    assertEquals(reported, []);
    await scene.git("pack-refs", "--all");
    watch.look();
    assertEquals(reported, []);
    await scene.git("update-ref", layer("a"), scene.commit(2));
    watch.look();
    assertEquals(reported, [edit(layer("a"), scene.commit(1), scene.commit(2))]);
    watch.close();
  }));
