import { assert, assertEquals, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import { FileSystemError } from "../../src/system/file_system.ts";
import { tryGit } from "../harness/git.ts";
import { layer, ref, RefsScene } from "./refs_scene.ts";

Deno.test("RefPublisher.lockRefs() takes lock files that native git respects, and gives them back", () =>
  RefsScene.run(async (scene) => {
    const { publisher } = scene.open();
    await scene.git("update-ref", "refs/layers/a/b", scene.commit(0));
    const refs = [layer("a/b"), layer("new/deep")];
    assertEquals(publisher.lockRefs(refs, "T"), { kind: "locked" });
    assertEquals(Deno.statSync(scene.path("layerd/owner")).nlink, 3);
    for (const name of refs) {
      const result = await tryGit(scene.directory, ["update-ref", name, scene.commit(1)]);
      assert(result.code !== 0 && result.stderr.includes("Unable to create"), result.stderr);
    }
    assertEquals(publisher.stillHeld(refs), true);
    publisher.unlockRefs(refs);
    assertEquals(await scene.leftovers(), []);
    assertEquals(publisher.stillHeld(refs), false);
    await scene.git("update-ref", "refs/layers/a/b", scene.commit(1));
  }));

Deno.test("RefPublisher.lockRefs() takes nothing where one of the locks is somebody else's", () =>
  RefsScene.run(async (scene) => {
    const { publisher } = scene.open();
    await Deno.mkdir(scene.path("refs/layers"));
    const foreign = scene.path("refs/layers/m.lock");
    await Deno.writeTextFile(foreign, "");
    const past = Date.now() / 1000 - 100;
    await Deno.utime(foreign, past, past);
    const outcome = publisher.lockRefs([layer("z"), layer("m"), layer("x/a")], "T");
    assert(outcome.kind === "blocked", outcome.kind);
    assertEquals([outcome.path, outcome.ref, outcome.holder], [foreign, layer("m"), null]);
    assert(outcome.ageMs > 99_000 && outcome.ageMs < 110_000, `${outcome.ageMs} ms`);
    assertEquals(await scene.leftovers(), [foreign]);
    assertEquals(publisher.lockRefs([layer("z")], "U"), { kind: "locked" });
  }));

Deno.test("RefPublisher.lockRefs() names the transaction of ours that holds a lock", () =>
  RefsScene.run((scene) => {
    const { publisher } = scene.open();
    publisher.lockRefs([layer("a")], "T");
    const outcome = publisher.lockRefs([layer("0"), layer("a")], "U");
    assert(outcome.kind === "blocked" && outcome.holder === "T", outcome.kind);
    assertEquals(publisher.lockRefs([layer("a"), layer("a")], "T"), { kind: "locked" });
    publisher.unlockRefs([layer("a")]);
    assertEquals(publisher.lockRefs([layer("a")], "U"), { kind: "locked" });
  }));

Deno.test("RefPublisher.lockRefs() reports a name conflict where a directory would be a ref's file", () =>
  RefsScene.run(async (scene) => {
    const { publisher } = scene.open();
    await scene.git("update-ref", "refs/layers/a", scene.commit(0));
    assertEquals(publisher.lockRefs([layer("0"), layer("a/b/c")], "T"), {
      kind: "name_conflict",
      ref: layer("a/b/c"),
      other: "refs/layers/a",
    });
    assertEquals(await scene.leftovers(), []);
  }));

Deno.test("RefPublisher.lockRefs() makes directories again that native git prunes meanwhile", () =>
  RefsScene.run((scene) => {
    class Pruning extends DenoFileSystem {
      left = 2;
      override link(existing: string, path: string): void {
        if (path.endsWith("/b.lock") && this.left-- > 0) {
          Deno.removeSync(scene.path("refs/layers"), { recursive: true });
        }
        super.link(existing, path);
      }
    }
    const fileSystem = new Pruning();
    Deno.mkdirSync(scene.path("refs/layers/a"), { recursive: true });
    assertEquals(scene.open(fileSystem).publisher.lockRefs([layer("a/b")], "T").kind, "locked");
    fileSystem.left = 3;
    Deno.mkdirSync(scene.path("refs/layers/c"), { recursive: true });
    const error = assertThrows(
      () => scene.open(fileSystem).publisher.lockRefs([layer("c/b")], "T"),
      FileSystemError,
    );
    assertEquals(error.code, "ENOENT");
  }));

Deno.test("RefPublisher.lockRefs() says that the file system allows no more links, and takes none", () =>
  RefsScene.run(async (scene) => {
    class Full extends DenoFileSystem {
      override link(existing: string, path: string): void {
        if (path.endsWith("c.lock")) throw new FileSystemError("EMLINK", "link", path);
        super.link(existing, path);
      }
    }
    const { publisher } = scene.open(new Full());
    const error = assertThrows(
      () => publisher.lockRefs([layer("a"), layer("b"), layer("c")], "T"),
      LayerdError,
    );
    assertEquals([error.code, typeof error.details.limit], ["invalid_request", "number"]);
    assertEquals(await scene.leftovers(), []);
  }));

Deno.test("RefPublisher.lockRefs() makes no lock that could not be recognised as ours", () =>
  RefsScene.run((scene) => {
    const { publisher } = scene.open();
    Deno.renameSync(scene.path("layerd/owner"), scene.path("layerd/old"));
    Deno.writeTextFileSync(scene.path("layerd/owner"), "another\n");
    assertThrows(() => publisher.lockRefs([layer("a")], "T"), LayerdError, "replaced");
    assertThrows(() => publisher.lockPackedRefs(), LayerdError, "replaced");
  }));

Deno.test("RefPublisher.unlockRefs() leaves a lock alone that is somebody else's by now", () =>
  RefsScene.run(async (scene) => {
    const { publisher } = scene.open();
    publisher.lockRefs([layer("a")], "T");
    publisher.lockPackedRefs();
    for (const name of ["refs/layers/a.lock", "packed-refs.lock"]) {
      Deno.removeSync(scene.path(name));
      Deno.writeTextFileSync(scene.path(name), "native");
    }
    assertEquals(publisher.stillHeld([layer("a")]), false);
    publisher.unlockRefs([layer("a")]);
    publisher.unlockPackedRefs();
    assertEquals(await scene.leftovers(), [
      scene.path("packed-refs.lock"),
      scene.path("refs/layers/a.lock"),
    ]);
  }));

Deno.test("RefPublisher.unlockRefs() keeps as its own what it cannot remove; the next one takes it over", () =>
  RefsScene.run(async (scene) => {
    class ReadOnly extends DenoFileSystem {
      on = true;
      override unlink(path: string): void {
        if (this.on) throw new FileSystemError("EROFS", "unlink", path);
        super.unlink(path);
      }
    }
    const fileSystem = new ReadOnly();
    const { publisher } = scene.open(fileSystem);
    publisher.lockRefs([layer("a")], "T");
    publisher.lockPackedRefs();
    publisher.unlockRefs([layer("a")]);
    publisher.unlockPackedRefs();
    assertEquals((await scene.leftovers()).length, 2);
    fileSystem.on = false;
    assertEquals(publisher.lockRefs([layer("a")], "U"), { kind: "locked" });
    assertEquals(publisher.lockPackedRefs(), { kind: "locked" });
    publisher.unlockRefs([layer("a")]);
    publisher.unlockPackedRefs();
    assertEquals(await scene.leftovers(), []);
  }));

Deno.test("RefPublisher gives back later what it unlocked while the repository was away", () =>
  RefsScene.run(async (scene) => {
    const { publisher } = scene.open();
    const refs = [layer("a"), layer("b")];
    assertEquals(publisher.lockRefs(refs, "T"), { kind: "locked" });
    assertEquals(publisher.lockPackedRefs(), { kind: "locked" });
    Deno.renameSync(scene.commonDir, `${scene.commonDir}.away`);
    publisher.unlockRefs(refs);
    publisher.unlockPackedRefs();
    Deno.renameSync(`${scene.commonDir}.away`, scene.commonDir);
    assertEquals(publisher.leftovers().length, 3);
    await publisher.tidy();
    assertEquals([publisher.leftovers(), await scene.leftovers()], [[], []]);
  }));

Deno.test("RefPublisher.unlockRefs() removes empty directories, but none above a kind of refs", () =>
  RefsScene.run((scene) => {
    const { publisher } = scene.open();
    const refs = [layer("a/b/c"), layer("a/d"), ref("refs/heads/x/y"), layer("top")];
    publisher.lockRefs(refs, "T");
    publisher.unlockRefs([layer("a/b/c"), layer("top")]);
    assertEquals([...Deno.readDirSync(scene.path("refs/layers/a"))].length, 1);
    publisher.unlockRefs(refs);
    assertEquals([...Deno.readDirSync(scene.path("refs/layers"))].length, 0);
    assertEquals([...Deno.readDirSync(scene.path("refs/heads"))].map((e) => e.name), ["main"]);
  }));

Deno.test("RefPublisher.lockPackedRefs() is blocked by native git's lock, with path and age", () =>
  RefsScene.run((scene) => {
    const { publisher } = scene.open();
    const path = scene.path("packed-refs.lock");
    Deno.writeTextFileSync(path, "");
    const outcome = publisher.lockPackedRefs();
    assert(outcome.kind === "blocked" && outcome.path === path, outcome.kind);
    assertEquals([outcome.ref, outcome.holder], [null, null]);
    publisher.unlockPackedRefs();
    assertEquals(Deno.statSync(path).size, 0);
  }));

Deno.test("RefPublisher.adoptLocks() finds the links of a killed process, and only those", () =>
  RefsScene.run(async (scene) => {
    const dead = scene.open().publisher;
    dead.lockRefs([layer("a/b"), ref("refs/heads/x"), layer("c")], "T");
    dead.lockPackedRefs();
    Deno.removeSync(scene.path("refs/layers/c.lock"));
    Deno.writeTextFileSync(scene.path("refs/layers/c.lock"), "native");
    const { publisher } = scene.open();
    assertEquals(publisher.adoptLocks(), {
      refs: [ref("refs/heads/x"), layer("a/b")],
      packedRefs: true,
    });
    assertEquals(publisher.lockRefs([layer("a/b")], "U"), { kind: "locked" });
    assertEquals(publisher.lockRefs([layer("a/b")], "V").kind, "blocked");
    assertEquals(publisher.lockPackedRefs(), { kind: "locked" });
    publisher.unlockRefs([layer("a/b"), ref("refs/heads/x"), layer("c")]);
    publisher.unlockPackedRefs();
    assertEquals(await scene.leftovers(), [scene.path("refs/layers/c.lock")]);
    assertEquals(publisher.adoptLocks(), { refs: [], packedRefs: false });
  }));

Deno.test("RefPublisher.lockRefs() gives adopted locks back to nobody when it fails", () =>
  RefsScene.run((scene) => {
    scene.open().publisher.lockRefs([layer("a")], "T");
    const { publisher } = scene.open();
    publisher.adoptLocks();
    Deno.writeTextFileSync(scene.path("refs/layers/b.lock"), "native");
    assertEquals(publisher.lockRefs([layer("a"), layer("b")], "U").kind, "blocked");
    assertEquals(publisher.lockRefs([layer("a")], "V"), { kind: "locked" });
  }));

Deno.test("RefPublisher.sweep() removes what a dead process left in layerd/tmp, and nothing newer", () =>
  RefsScene.run((scene) => {
    Deno.mkdirSync(scene.path("layerd/tmp"));
    for (const name of ["ref.1", "spool.1"]) {
      Deno.writeTextFileSync(scene.path(`layerd/tmp/${name}`), "x");
    }
    Deno.utimeSync(scene.path("layerd/tmp/spool.1"), 1_000, 1_000);
    const { publisher } = scene.open();
    const fresh = scene.path("layerd/tmp/spool.2");
    Deno.writeTextFileSync(fresh, "x");
    const soon = Date.now() / 1000 + 1;
    Deno.utimeSync(fresh, soon, soon);
    publisher.sweep();
    assertEquals([...Deno.readDirSync(scene.path("layerd/tmp"))].map((e) => e.name), ["spool.2"]);
  }));

Deno.test("RefPublisher.stillHeld() misses one of many locks that was removed or replaced", () =>
  RefsScene.run(async (scene) => {
    const { publisher } = scene.open();
    const refs = Array.from({ length: 40 }, (_, i) => layer(`many/r${i}`));
    publisher.lockRefs(refs, "T");
    assertEquals(publisher.stillHeld(refs), true);
    const removed = scene.path("refs/layers/many/r7.lock");
    await Deno.remove(removed);
    assertEquals(publisher.stillHeld(refs), false);
    await Deno.writeTextFile(removed, "");
    assertEquals(publisher.stillHeld(refs), false);
    await Deno.remove(removed);
    await Deno.link(scene.path("layerd/owner"), removed);
    await Deno.link(removed, scene.path("a backup"));
    assertEquals(publisher.stillHeld(refs), true);
  }));
