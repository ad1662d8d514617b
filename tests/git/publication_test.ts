import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { parseObjectId } from "../../src/core/ids.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import {
  type FileHandle,
  FileSystemError,
  type OpenOptions,
} from "../../src/system/file_system.ts";
import { tryGit } from "../harness/git.ts";
import { edit, layer, NOTE, publishEdits, ref, RefsScene } from "./refs_scene.ts";

Deno.test("RefPublisher.stage() shows nothing before publish(), and publish() everything", () =>
  RefsScene.run(async (scene) => {
    await scene.git("update-ref", "refs/layers/a", scene.commit(0));
    await scene.git("update-ref", "refs/layers/gone/x", scene.commit(0));
    await scene.git("update-ref", "refs/layers/loose", scene.commit(0));
    const open = scene.open();
    const { publisher } = open;
    const edits = [
      edit(layer("a"), scene.commit(0), scene.commit(1)),
      edit(layer("gone/x"), scene.commit(0), null),
      edit(layer("new/y"), null, scene.commit(2)),
    ];
    const refs = edits.map((each) => each.ref);
    publisher.lockRefs(refs, "T");
    publisher.lockPackedRefs();
    const before = await scene.nativeRefs();
    const staged = await publisher.stage(edits, NOTE);
    assertEquals(await scene.nativeRefs(), before);
    staged.publish();
    const { "refs/layers/gone/x": _, ...rest } = before;
    const after = {
      ...rest,
      "refs/layers/a": scene.commit(1),
      "refs/layers/new/y": scene.commit(2),
    };
    assertEquals(await scene.nativeRefs(), after);
    assertEquals(Object.fromEntries(open.refs.snapshot().entries("refs/")), after);
    await staged.settle();
    publisher.unlockRefs(refs);
    publisher.unlockPackedRefs();
    assertEquals(await scene.leftovers(), []);
    assertEquals(
      [...Deno.readDirSync(scene.path("refs/layers"))].map((entry) => entry.name),
      ["loose"],
    );
  }));

Deno.test("RefPublisher.stage() folds only the loose files of its refs, with their old values", () =>
  RefsScene.run(async (scene) => {
    await scene.git("update-ref", "refs/layers/a", scene.commit(0));
    await scene.git("pack-refs", "--all");
    await scene.git("update-ref", "refs/layers/a", scene.commit(1));
    await scene.git("update-ref", "refs/layers/b", scene.commit(1));
    await scene.agePackedRefs();
    const { publisher } = scene.open();
    publisher.lockRefs([layer("a")], "T");
    publisher.lockPackedRefs();
    const staged = await publisher.stage(
      [edit(layer("a"), scene.commit(1), scene.commit(2))],
      NOTE,
    );
    assertEquals(await scene.git("rev-parse", "refs/layers/a"), scene.commit(1));
    assertEquals(publisher.readLocked().value(layer("a")), scene.commit(1));
    assert(Deno.readTextFileSync(scene.path("packed-refs")).includes(`${scene.commit(1)} refs/`));
    assertEquals(
      [...Deno.readDirSync(scene.path("refs/layers"))].map((entry) => entry.name).sort(),
      ["a.lock", "b"],
    );
    staged.discard();
    publisher.unlockRefs([layer("a")]);
    publisher.unlockPackedRefs();
    assertEquals(await scene.leftovers(), []);
    assertEquals(await scene.git("rev-parse", "refs/layers/a"), scene.commit(1));
  }));

Deno.test("RefPublisher.stage() keeps the mode of the file replaced; a first one has git's", () =>
  RefsScene.run(async (scene) => {
    const open = scene.open();
    await publishEdits(open, [edit(layer("a"), null, scene.commit(0))]);
    const path = scene.path("packed-refs");
    const native = Deno.statSync(scene.path("HEAD")).mode;
    assertEquals(Deno.statSync(path).mode, native);
    Deno.chmodSync(path, 0o664);
    await publishEdits(open, [edit(layer("a"), scene.commit(0), scene.commit(1))]);
    assertEquals((Deno.statSync(path).mode ?? 0) & 0o777, 0o664);
  }));

Deno.test("RefPublisher makes files and directories as core.sharedRepository=group has native git make them", () =>
  RefsScene.run(async (scene) => {
    await scene.git("config", "core.sharedRepository", "group");
    await scene.git("config", "core.logAllRefUpdates", "always");
    await scene.git("update-ref", "refs/native/a/b", scene.commit(0));
    scene.shared = { kind: "add", bits: 0o660 };
    scene.logAllRefUpdates = "always";
    const { publisher } = scene.open();
    publisher.lockRefs([layer("a/b")], "T");
    publisher.lockPackedRefs();
    const staged = await publisher.stage([edit(layer("a/b"), null, scene.commit(0))], NOTE);
    staged.publish();
    await staged.settle();
    await publisher.pin([layer("a/b")]);
    const mode = (name: string) => (Deno.statSync(scene.path(name)).mode ?? 0) & 0o7777;
    for (const name of ["refs/*", "refs/*/a", "refs/*/a/b", "logs/refs/*/a", "logs/refs/*/a/b"]) {
      assertEquals(mode(name.replace("*", "layers")), mode(name.replace("*", "native")), name);
    }
    assertEquals(mode("packed-refs"), mode("refs/native/a/b"));
    publisher.unlockPackedRefs();
    publisher.unlockRefs([layer("a/b")]);
  }));

Deno.test("RefPublisher.stage() writes peeled lines for tags, also for tags of tags", () =>
  RefsScene.run(async (scene) => {
    await scene.git("-c", "user.name=N", "-c", "user.email=n@x", "tag", "-a", "-m", "1", "v1");
    await scene.git("-c", "user.name=N", "-c", "user.email=n@x", "tag", "-am", "2", "v2", "v1");
    const tag = parseObjectId(await scene.git("rev-parse", "v1"));
    const tagOfTag = parseObjectId(await scene.git("rev-parse", "v2"));
    await scene.git("tag", "-d", "v2");
    await scene.git("pack-refs", "--all");
    await scene.agePackedRefs();
    const open = scene.open();
    await publishEdits(open, [
      edit(ref("refs/tags/v1"), tag, tag),
      edit(ref("refs/tags/w"), null, tagOfTag),
      edit(layer("a"), null, tag),
    ]);
    const head = scene.commit(3);
    const text = Deno.readTextFileSync(scene.path("packed-refs"));
    for (const name of [`${tag} refs/tags/v1`, `${tagOfTag} refs/tags/w`, `${tag} refs/layers/a`]) {
      assert(text.includes(`${name}\n^${head}\n`), `${name} in ${text}`);
    }
    const native = await scene.git("show-ref", "-d");
    assert(native.includes(`${head} refs/tags/w^{}`), native);
  }));

Deno.test("StagedPublication.publish() refuses where a lock was removed by hand, and cleans up", () =>
  RefsScene.run(async (scene) => {
    await scene.git("update-ref", "refs/layers/a", scene.commit(0));
    await scene.git("pack-refs", "--all");
    const change = [edit(layer("a"), scene.commit(0), scene.commit(1))];
    const sabotage: readonly (() => Promise<unknown>)[] = [
      () => Deno.remove(scene.path("packed-refs.lock")),
      () => Deno.remove(scene.path("refs/layers/a.lock")),
      async () => {
        // Removed, used by native git, and taken again by hand: only the file tells.
        await Deno.remove(scene.path("packed-refs.lock"));
        await scene.git("pack-refs", "--all");
        await Deno.link(scene.path("layerd/owner"), scene.path("packed-refs.lock"));
      },
      async () => {
        await Deno.remove(scene.path("refs/layers/a.lock"));
        await scene.git("update-ref", "refs/layers/a", scene.commit(2));
        await Deno.link(scene.path("layerd/owner"), scene.path("refs/layers/a.lock"));
      },
    ];
    for (const act of sabotage) {
      await scene.git("update-ref", "refs/layers/a", scene.commit(0));
      await scene.git("pack-refs", "--all");
      await scene.agePackedRefs();
      const { publisher } = scene.open();
      publisher.lockRefs([layer("a")], "T");
      publisher.lockPackedRefs();
      const staged = await publisher.stage(change, NOTE);
      await act();
      const native = await scene.nativeRefs();
      assertThrows(() => staged.publish(), LayerdError);
      assertEquals(await scene.nativeRefs(), native);
      publisher.unlockRefs([layer("a")]);
      publisher.unlockPackedRefs();
      assertEquals(await scene.leftovers(), []);
    }
  }));

Deno.test("RefPublisher.stage() writes the file anew where nothing is left to change", () =>
  RefsScene.run(async (scene) => {
    const open = scene.open();
    await publishEdits(open, [edit(layer("a"), null, scene.commit(0))]);
    const before = Deno.statSync(scene.path("packed-refs"));
    await publishEdits(open, [edit(layer("a"), scene.commit(0), scene.commit(0))]);
    const after = Deno.statSync(scene.path("packed-refs"));
    assert(before.ino !== after.ino && before.size !== after.size, "another file");
    await publishEdits(open, [edit(layer("none"), null, null)]);
    await publishEdits(open, []);
    assertEquals(await scene.nativeRefs("refs/layers/"), { "refs/layers/a": scene.commit(0) });
  }));

Deno.test("RefPublisher.stage() removes the last refs and makes them again", () =>
  RefsScene.run(async (scene) => {
    const open = scene.open();
    const main = ref("refs/heads/main");
    await publishEdits(open, [edit(main, scene.commit(3), null)]);
    assertEquals(await scene.nativeRefs(), {});
    await publishEdits(open, [edit(main, null, scene.commit(3))]);
    assertEquals(await scene.nativeRefs(), { "refs/heads/main": scene.commit(3) });
  }));

Deno.test("RefPublisher.stage() takes the last value of a ref that comes twice", () =>
  RefsScene.run(async (scene) => {
    const { publisher } = scene.open();
    publisher.lockRefs([layer("a")], "T");
    publisher.lockPackedRefs();
    const staged = await publisher.stage([
      edit(layer("a"), null, scene.commit(0)),
      edit(layer("a"), scene.commit(0), scene.commit(1)),
    ], NOTE);
    staged.publish();
    assertEquals(await scene.git("rev-parse", "refs/layers/a"), scene.commit(1));
  }));

Deno.test("RefPublisher.stage() leaves no file behind when the disk is full", () =>
  RefsScene.run(async (scene) => {
    class FullDisk extends DenoFileSystem {
      override open(path: string, options: OpenOptions): FileHandle {
        const handle = super.open(path, options);
        if (!path.includes("/layerd/tmp/")) return handle;
        return new Proxy(handle, {
          get(target, key) {
            if (key === "sync") {
              return () => Promise.reject(new FileSystemError("EIO", "fsync", path));
            }
            if (key === "writeAt") {
              return () => {
                throw new FileSystemError("ENOSPC", "write", path);
              };
            }
            const value = Reflect.get(target, key);
            return typeof value === "function" ? value.bind(target) : value;
          },
        });
      }
    }
    await scene.git("update-ref", "refs/layers/a", scene.commit(0));
    const { publisher } = scene.open(new FullDisk());
    publisher.lockRefs([layer("a")], "T");
    publisher.lockPackedRefs();
    const error = await assertRejects(
      () => publisher.stage([edit(layer("a"), scene.commit(0), scene.commit(1))], NOTE),
      FileSystemError,
    );
    assertEquals(error.code, "ENOSPC");
    publisher.unlockRefs([layer("a")]);
    publisher.unlockPackedRefs();
    assertEquals(await scene.leftovers(), []);
    assertEquals(await scene.git("rev-parse", "refs/layers/a"), scene.commit(0));
  }));

Deno.test("RefPublisher.stage() refuses to fold a damaged ref", () =>
  RefsScene.run(async (scene) => {
    await Deno.mkdir(scene.path("refs/layers"));
    await Deno.writeTextFile(scene.path("refs/layers/a"), "");
    const { publisher } = scene.open();
    publisher.lockRefs([layer("a")], "T");
    publisher.lockPackedRefs();
    await assertRejects(
      () => publisher.stage([edit(layer("a"), null, scene.commit(1))], NOTE),
      LayerdError,
      "is empty",
    );
    assertEquals(Deno.statSync(scene.path("refs/layers/a")).size, 0);
  }));

Deno.test("RefPublisher.pin() makes packed refs loose, so that native deletion fails under our lock", () =>
  RefsScene.run(async (scene) => {
    await scene.git("branch", "b");
    await scene.git("branch", "unpinned");
    await scene.git("update-ref", "refs/layers/a/x", scene.commit(1));
    await scene.git("pack-refs", "--all");
    // An empty directory where the pin is to go.
    await Deno.mkdir(scene.path("refs/heads/b/empty"), { recursive: true });
    const { publisher } = scene.open();
    const refs = [ref("refs/heads/b"), layer("a/x"), layer("absent/y")];
    publisher.lockRefs([...refs, ref("refs/heads/unpinned")], "T");
    publisher.lockPackedRefs();
    await publisher.pin(refs);
    publisher.unlockPackedRefs();
    assertEquals(await Deno.readTextFile(scene.path("refs/heads/b")), `${scene.commit(3)}\n`);
    assertEquals(await Deno.readTextFile(scene.path("refs/layers/a/x")), `${scene.commit(1)}\n`);
    const pinned = await tryGit(scene.directory, ["branch", "-D", "b"]);
    assert(pinned.code !== 0, pinned.stdout);
    await tryGit(scene.directory, ["branch", "-D", "unpinned"]);
    const native = await scene.nativeRefs();
    assertEquals(native["refs/heads/b"], scene.commit(3));
    assertEquals(native["refs/heads/unpinned"], undefined);
    assertEquals(native["refs/layers/absent/y"], undefined);
    publisher.unlockRefs([...refs, ref("refs/heads/unpinned")]);
    assertEquals(await scene.leftovers(), []);
  }));

class FailingDirectory extends DenoFileSystem {
  fails = true;
  readonly synced: string[] = [];

  override syncDirectory(path: string): Promise<void> {
    if (this.fails && path.endsWith("/refs/layers")) {
      return Promise.reject(new FileSystemError("EIO", "fsync", path));
    }
    this.synced.push(path);
    return super.syncDirectory(path);
  }
}

Deno.test("RefPublisher.stage() first makes the removals durable at which one before it failed", () =>
  RefsScene.run(async (scene) => {
    await scene.git("update-ref", "refs/layers/a", scene.commit(0));
    const fileSystem = new FailingDirectory();
    const open = scene.open(fileSystem);
    const edits = [edit(layer("a"), scene.commit(0), scene.commit(1))];
    await assertRejects(() => publishEdits(open, edits), FileSystemError);
    // The file is folded by now.
    await assertRejects(() => publishEdits(open, edits), FileSystemError);
    fileSystem.fails = false;
    fileSystem.synced.length = 0;
    await publishEdits(open, edits);
    assertEquals(fileSystem.synced[0], `${scene.commonDir}/refs/layers`);
  }));
