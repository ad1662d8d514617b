import { assertEquals, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import type { RefName } from "../../src/core/ids.ts";
import type { OpenRefs } from "../../src/git/open_refs.ts";
import { layer, ref, RefsScene } from "./refs_scene.ts";

const NONE: ReadonlySet<RefName> = new Set();

function lockedBy({ publisher }: OpenRefs, ...refs: RefName[]) {
  assertEquals(publisher.lockRefs(refs, "T"), { kind: "locked" });
  assertEquals(publisher.lockPackedRefs(), { kind: "locked" });
  return publisher.readLocked();
}

Deno.test("LockedRefs.value() does not believe the stat of packed-refs", () =>
  RefsScene.run(async (scene) => {
    await scene.git("update-ref", "refs/layers/a", scene.commit(0));
    await scene.git("pack-refs", "--all");
    await scene.agePackedRefs();
    const open = scene.open();
    assertEquals(open.refs.read(layer("a")), scene.commit(0));
    const path = scene.path("packed-refs");
    const before = Deno.statSync(path);
    const text = Deno.readTextFileSync(path);
    Deno.writeTextFileSync(path, text.replace(scene.commit(0), scene.commit(1)));
    Deno.utimeSync(path, before.mtime ?? 0, before.mtime ?? 0);
    assertEquals(lockedBy(open, layer("a")).value(layer("a")), scene.commit(1));
  }));

Deno.test("LockedRefs.value() is the loose value, else the packed one, else null", () =>
  RefsScene.run(async (scene) => {
    await scene.git("update-ref", "refs/layers/a", scene.commit(0));
    await scene.git("update-ref", "refs/layers/b", scene.commit(0));
    await scene.git("pack-refs", "--all");
    await scene.git("update-ref", "refs/layers/a", scene.commit(1));
    await Deno.mkdir(scene.path("refs/layers/b"), { recursive: true });
    const locked = lockedBy(scene.open(), layer("a"), layer("b"), layer("c"));
    assertEquals(
      [layer("a"), layer("b"), layer("c")].map((name) => locked.value(name)),
      [scene.commit(1), scene.commit(0), null],
    );
  }));

Deno.test("LockedRefs.value() throws git_error on damaged and on symbolic refs", () =>
  RefsScene.run(async (scene) => {
    await scene.git("symbolic-ref", "refs/layers/s", "refs/heads/main");
    await Deno.writeTextFile(scene.path("refs/layers/zero"), "");
    const locked = lockedBy(scene.open(), layer("s"), layer("zero"));
    assertThrows(() => locked.value(layer("s")), LayerdError, "is symbolic");
    assertThrows(() => locked.value(layer("zero")), LayerdError, "is empty");
  }));

Deno.test("LockedRefs.nameConflict() finds ancestors and descendants, loose and packed", () =>
  RefsScene.run(async (scene) => {
    await scene.git("update-ref", "refs/layers/packed/x", scene.commit(0));
    await scene.git("update-ref", "refs/layers/p", scene.commit(0));
    await scene.git("pack-refs", "--all");
    await scene.git("update-ref", "refs/layers/loose/x", scene.commit(0));
    const locked = lockedBy(scene.open(), layer("packed"), layer("loose"), layer("p/q"));
    const conflict = (name: string, gone = NONE) => locked.nameConflict(layer(name), gone);
    assertEquals(conflict("packed"), "refs/layers/packed/x");
    assertEquals(conflict("packed", new Set([layer("packed/x")])), null);
    assertEquals(conflict("loose"), "refs/layers/loose/x");
    assertEquals(conflict("loose", new Set([layer("loose/x")])), null);
    assertEquals(conflict("p/q"), "refs/layers/p");
    assertEquals(conflict("p/q", new Set([layer("p")])), null);
    assertEquals(conflict("loose/x/y/z"), "refs/layers/loose/x");
    assertEquals(conflict("other"), null);
    assertEquals(conflict("pack"), null);
  }));

Deno.test("LockedRefs.nameConflict() counts other people's lock files as names, and not ours", () =>
  RefsScene.run(async (scene) => {
    const open = scene.open();
    const locked = lockedBy(open, layer("a"), layer("a/b"), layer("c/d"));
    assertEquals(locked.nameConflict(layer("a"), NONE), null);
    assertEquals(locked.nameConflict(layer("a/b"), NONE), null);
    await Deno.writeTextFile(scene.path("refs/layers/a/n.lock"), "");
    await Deno.writeTextFile(scene.path("refs/layers/c.lock"), "");
    assertEquals(locked.nameConflict(layer("a"), NONE), "refs/layers/a/n.lock");
    assertEquals(locked.nameConflict(layer("c/d"), NONE), "refs/layers/c.lock");
  }));

Deno.test("LockedRefs.nameConflict() sees a ref that is called like the kind of refs", () =>
  RefsScene.run(async (scene) => {
    await Deno.writeTextFile(scene.path("refs/odd"), `${scene.commit(0)}\n`);
    const open = scene.open();
    assertEquals(open.publisher.lockRefs([ref("refs/odd/x")], "T"), {
      kind: "name_conflict",
      ref: ref("refs/odd/x"),
      other: "refs/odd",
    });
  }));
