import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import type { ObjectId } from "../../src/core/ids.ts";
import type { PackedObject } from "../../src/core/log_record.ts";
import { type RepositoryLayout, resolveLayout } from "../../src/git/gate.ts";
import { KeptPackFiles } from "../../src/git/kept_pack_files.ts";
import { KeptPacks } from "../../src/git/kept_packs.ts";
import { objectId } from "../../src/git/object_codec.ts";
import { packObject, unpackBody } from "../../src/git/pack_format.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import { type FileSystem, FileSystemError } from "../../src/system/file_system.ts";
import { git, tryGit } from "../harness/git.ts";
import { gitPausedAfterEnumeration } from "../harness/paused_git.ts";
import { assertFsckClean } from "../harness/repositories.ts";
import { clock, fileSystem, inRepository } from "./repository_scene.ts";

interface Scene {
  readonly path: string;
  readonly layout: RepositoryLayout;
  readonly packs: KeptPacks;
}

/** As a process of its own, with temporary names and names of packs unlike all others'. */
function packsIn(layout: RepositoryLayout, fs: FileSystem = fileSystem): KeptPacks {
  const unique = crypto.getRandomValues(new Uint8Array(6)).toHex();
  return new KeptPacks(new KeptPackFiles(fs, clock, layout, unique));
}

async function withPacks(
  test: (scene: Scene) => Promise<void>,
  fs: FileSystem = fileSystem,
): Promise<void> {
  await inRepository(async ({ path }) => {
    const layout = resolveLayout(fileSystem, path);
    await test({ path, layout, packs: packsIn(layout, fs) });
  });
}

function object(text: string): PackedObject {
  const body = new TextEncoder().encode(text);
  return packObject(objectId("blob", body), "blob", body);
}

function place(packs: KeptPacks, holder: string, ...texts: readonly string[]): void {
  packs.place([{ holder, objects: texts.map(object) }]);
}

function oid(text: string): ObjectId {
  return object(text).oid;
}

function files({ layout }: Scene, suffix: string): string[] {
  return [...Deno.readDirSync(`${layout.objectsDir}/pack`)].map((entry) => entry.name)
    .filter((name) => name.endsWith(suffix)).sort();
}

async function isThere({ path }: Scene, text: string): Promise<boolean> {
  return (await tryGit(path, ["cat-file", "-e", oid(text)])).code === 0;
}

/** Moves a ref to the blob, as a publication would. */
async function publish({ path }: Scene, text: string): Promise<void> {
  await git(path, ["update-ref", `refs/tags/${text}`, oid(text)]);
}

Deno.test("KeptPacks.place() writes an object once, however many transactions want it", async () => {
  await withPacks(async (scene) => {
    place(scene.packs, "A", "one");
    place(scene.packs, "B", "one");
    assertEquals(files(scene, ".pack").length, 1);
    scene.packs.release("A");
    await scene.packs.makeDurable();
    assertEquals(files(scene, ".keep").length, 1, "B needs it still");
    scene.packs.release("B");
    await scene.packs.makeDurable();
    assertEquals(files(scene, ".keep"), []);
    assertEquals(await isThere(scene, "one"), true);
  });
});

for (
  const [what, ...args] of [["repack", "-adq"], ["repack", "-Adq"], ["gc", "-q", "--prune=now"]]
) {
  const command = [what ?? "", ...args];
  const name = `git ${command.join(" ")}`;

  Deno.test(`KeptPacks keeps from ${name} what it did not see reachable`, async () => {
    await withPacks(async (scene) => {
      place(scene.packs, "A", "before");
      let round = 0;
      const code = await gitPausedAfterEnumeration(scene.path, command, async () => {
        // One that stood before and is published now, and one that is written now.
        await publish(scene, "before");
        place(scene.packs, "B", `during-${++round}`);
        await publish(scene, `during-${round}`);
      });
      assertEquals(code, 0);
      assertEquals(round > 0, true);
      assertEquals(await isThere(scene, "before"), true);
      assertEquals(await isThere(scene, "during-1"), true);
      await assertFsckClean(scene.path);
    });
  });

  Deno.test(`KeptPacks folds beside ${name} and loses nothing`, async () => {
    await withPacks(async (scene) => {
      place(scene.packs, "A", "before");
      await publish(scene, "before");
      let round = 0;
      await gitPausedAfterEnumeration(scene.path, command, async () => {
        place(scene.packs, "B", `during-${++round}`);
        await publish(scene, `during-${round}`);
        scene.packs.release("A");
        scene.packs.release("B");
        await scene.packs.makeDurable();
      });
      await scene.packs.makeDurable();
      assertEquals(files(scene, ".keep"), []);
      for (const text of ["before", "during-1"]) assertEquals(await isThere(scene, text), true);
      await assertFsckClean(scene.path);
      await git(scene.path, ["gc", "-q", "--prune=now"]);
      for (const text of ["before", "during-1"]) assertEquals(await isThere(scene, text), true);
    });
  });
}

Deno.test("KeptPacks.makeDurable() writes a pack anew whose .keep somebody removed beside a git gc", async () => {
  await withPacks(async (scene) => {
    place(scene.packs, "A", "before");
    for (const keep of files(scene, ".keep")) {
      await Deno.remove(`${scene.layout.objectsDir}/pack/${keep}`);
    }
    await gitPausedAfterEnumeration(scene.path, ["gc", "-q", "--prune=now"], async () => {
      await publish(scene, "before");
      await scene.packs.makeDurable();
    });
    assertEquals(await isThere(scene, "before"), true);
    await assertFsckClean(scene.path);
  });
});

Deno.test("KeptPacks.foldSmall() bounds the packs that git meets, and loses none of them", async () => {
  await withPacks(async (scene) => {
    for (let n = 0; n < 300; n += 1) {
      place(scene.packs, `T${n}`, `text ${n}`);
      scene.packs.release(`T${n}`);
      scene.packs.foldSmall();
    }
    assertEquals(files(scene, ".pack").length < 48, true);
    assertEquals(files(scene, ".keep").length, files(scene, ".pack").length);
    const ids = Array.from({ length: 300 }, (_, n) => oid(`text ${n}`)).join("\n");
    const found = await git(scene.path, ["cat-file", "--batch-check=%(objecttype)"], {
      input: ids,
    });
    assertEquals(new Set(found.split("\n")), new Set(["blob"]));
    await scene.packs.makeDurable();
    assertEquals(files(scene, ".pack").length, 1);
    await assertFsckClean(scene.path);
  });
});

Deno.test("KeptPacks.makeDurable() names what is durable, and what somebody removed it does not", async () => {
  await withPacks(async (scene) => {
    place(scene.packs, "A", "one");
    place(scene.packs, "B", "two");
    const [pack] = files(scene, ".pack");
    const gone = scene.packs.find(oid("one"))?.path.endsWith(pack ?? "") ? "one" : "two";
    const left = gone === "one" ? "two" : "one";
    await Deno.remove(`${scene.layout.objectsDir}/pack/${pack}`);
    const { objects: durable } = await scene.packs.makeDurable();
    assertEquals([durable.has(oid(gone)), durable.has(oid(left))], [false, true]);
  });
});

Deno.test("KeptPacks.makeDurable() gives nothing up when the disk fails, and succeeds later", async () => {
  const failing = new (class extends DenoFileSystem {
    fails = true;
    override syncFile(path: string): Promise<void> {
      if (this.fails) throw new FileSystemError("EIO", "fsync", path);
      return super.syncFile(path);
    }
  })();
  await withPacks(async (scene) => {
    place(scene.packs, "A", "one");
    scene.packs.release("A");
    place(scene.packs, "B", "two");
    await assertRejects(() => scene.packs.makeDurable(), FileSystemError, "EIO");
    assertEquals(await isThere(scene, "one"), true);
    failing.fails = false;
    scene.packs.place([{ holder: "B", objects: [object("two")] }]);
    scene.packs.release("B");
    const { objects: durable } = await scene.packs.makeDurable();
    assertEquals([durable.has(oid("one")), durable.has(oid("two"))], [true, true]);
  }, failing);
});

Deno.test("KeptPacks.adopt() takes over whole packs of a dead process and removes torn ones", async () => {
  await withPacks(async (scene) => {
    await new KeptPackFiles(fileSystem, clock, scene.layout, "0123456789ab").prepare();
    place(scene.packs, "A", "whole");
    place(scene.packs, "A", "torn");
    const torn = scene.packs.find(oid("torn"))?.path ?? "";
    await Deno.chmod(torn, 0o644);
    await Deno.truncate(torn, 0);
    await Deno.writeTextFile(`${scene.layout.objectsDir}/pack/pack-${"1".repeat(40)}.keep`, "mine");
    const next = packsIn(scene.layout);
    next.adopt();
    assertEquals(next.find(oid("torn")), null);
    assertEquals(next.find(oid("whole"))?.type, "blob");
    await next.makeDurable();
    assertEquals(files(scene, ".keep"), [`pack-${"1".repeat(40)}.keep`], "a user's own stays");
    assertEquals(await isThere(scene, "whole"), true);
    await Deno.remove(`${scene.layout.objectsDir}/pack/pack-${"1".repeat(40)}.keep`);
    await assertFsckClean(scene.path);
  });
});

Deno.test("KeptPacks.adopt() makes a pack durable before a checkpoint lets it stand", async () => {
  const synced: string[] = [];
  class NotingFileSystem extends DenoFileSystem {
    override async syncFile(path: string): Promise<void> {
      synced.push(path);
      await super.syncFile(path);
    }
  }
  await withPacks(async (scene) => {
    place(scene.packs, "A", "of a killed process");
    const { path } = scene.packs.find(oid("of a killed process")) ?? {};
    const next = packsIn(scene.layout, new NotingFileSystem());
    next.adopt();
    place(next, "promise", "of a killed process");
    await next.makeDurable();
    assertEquals(synced.includes(path ?? ""), true);
  });
});

Deno.test("KeptPacks.place() never gives a pack a name that one had before", async () => {
  await withPacks(async (scene) => {
    const names = new Set<string>();
    for (let round = 0; round < 3; round += 1) {
      place(scene.packs, "A", "the same object");
      for (const name of scene.packs.names()) names.add(name);
      scene.packs.release("A");
      await scene.packs.makeDurable();
      for (const name of files(scene, ".pack")) names.add(name.replace(".pack", ""));
    }
    assertEquals(names.size, 6);
    await assertFsckClean(scene.path);
  });
});

Deno.test("KeptPacks folds packs that a multi-pack index names", async () => {
  await withPacks(async (scene) => {
    place(scene.packs, "A", "one");
    place(scene.packs, "B", "two");
    await git(scene.path, ["multi-pack-index", "write"]);
    for (const holder of ["A", "B"]) scene.packs.release(holder);
    await scene.packs.makeDurable();
    for (const text of ["one", "two"]) assertEquals(await isThere(scene, text), true);
    await assertFsckClean(scene.path);
  });
});

Deno.test("KeptPacks takes no pack away beneath a running git gc", async () => {
  await withPacks(async (scene) => {
    const pid = `${scene.path}/.git/gc.pid`;
    await Deno.writeTextFile(pid, "1 host");
    for (let n = 0; n < 40; n += 1) {
      place(scene.packs, "A", `text ${n}`);
      scene.packs.release("A");
      scene.packs.foldSmall();
    }
    const { objects: durable } = await scene.packs.makeDurable();
    assertEquals([files(scene, ".pack").length, durable.size], [40, 40]);
    // It was killed long ago.
    await Deno.utime(pid, 1_000_000, 1_000_000);
    await scene.packs.makeDurable();
    assertEquals([files(scene, ".pack").length, files(scene, ".keep").length], [1, 0]);
  });
});

/** Runs `afterCall` after each file that is written and each disk that is waited for. */
class WatchedFileSystem extends DenoFileSystem {
  afterCall: () => void = () => {};

  override writeNewFile(path: string, bytes: Uint8Array, mode: number): void {
    super.writeNewFile(path, bytes, mode);
    this.afterCall();
  }

  override async syncFile(path: string): Promise<void> {
    await super.syncFile(path);
    this.afterCall();
  }

  override async syncDirectory(path: string): Promise<void> {
    await super.syncDirectory(path);
    this.afterCall();
  }
}

for (const fold of ["foldSmall", "makeDurable"] as const) {
  Deno.test(`takes no pack away beneath a git gc that begins meanwhile: KeptPacks.${fold}()`, async () => {
    let isReached = true;
    for (let begin = 1; isReached; begin += 1) {
      const watched = new WatchedFileSystem();
      await withPacks(async (scene) => {
        const texts = Array.from({ length: 20 }, (_, n) => `text ${n}`);
        for (const text of texts) {
          place(scene.packs, "A", text);
          scene.packs.release("A");
        }
        const pid = `${scene.path}/.git/gc.pid`;
        let listed: string[] = [];
        let calls = 0;
        watched.afterCall = () => {
          calls += 1;
          if (calls !== begin) return;
          Deno.writeTextFileSync(pid, "1 host");
          listed = files(scene, ".idx");
        };
        await scene.packs[fold]();
        watched.afterCall = () => {};
        const left = files(scene, ".idx");
        assertEquals(listed.filter((name) => !left.includes(name)), [], `call ${begin}`);
        isReached = listed.length > 0;
        assertEquals(isReached || begin > 1, true);
        if (isReached) await Deno.remove(pid);
        // What stands under two names is given to git at last, and nothing is lost with it.
        await scene.packs.makeDurable();
        assertEquals([files(scene, ".keep"), scene.packs.names().size], [[], 0]);
        for (const text of texts) assertEquals(await isThere(scene, text), true);
      }, watched);
    }
  });
}

Deno.test("KeptPacks.makeDurable() never believes what a failed run was about to give", async () => {
  const failing = new (class extends DenoFileSystem {
    fails = true;
    override syncFile(path: string): Promise<void> {
      if (this.fails) throw new FileSystemError("EIO", "fsync", path);
      return super.syncFile(path);
    }
  })();
  await withPacks(async (scene) => {
    place(scene.packs, "A", "one");
    const before = files(scene, ".pack");
    await assertRejects(() => scene.packs.makeDurable(), FileSystemError, "EIO");
    failing.fails = false;
    const { objects: durable } = await scene.packs.makeDurable();
    assertEquals(durable.has(oid("one")), true);
    assertNotEquals(files(scene, ".pack"), before, "the file itself is never fsynced again");
    scene.packs.release("A");
    await scene.packs.makeDurable();
    assertEquals(files(scene, ".keep"), []);
    assertEquals(await isThere(scene, "one"), true);
  }, failing);
});

Deno.test("KeptPacks.makeDurable() clears what is left of a pack that somebody removed", async () => {
  await withPacks(async (scene) => {
    place(scene.packs, "A", "one");
    for (const suffix of [".pack", ".idx"]) {
      for (const name of files(scene, suffix)) {
        await Deno.remove(`${scene.layout.objectsDir}/pack/${name}`);
      }
    }
    assertEquals((await scene.packs.makeDurable()).objects.has(oid("one")), false);
    assertEquals(files(scene, ""), []);
  });
});

Deno.test("packObject() makes streams that zlib reads, stored and compressed", () => {
  for (const length of [0, 1, 255, 256, 511, 512, 513, 70_000]) {
    const body = Uint8Array.from({ length }, (_, at) => (at * 31) % 251);
    const packed = packObject(objectId("blob", body), "blob", body);
    assertEquals([packed.size, unpackBody(packed.bytes)], [length, body]);
  }
});
