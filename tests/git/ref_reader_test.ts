import { assert, assertEquals, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { git } from "../harness/git.ts";
import { layer, ref, RefsScene } from "./refs_scene.ts";

Deno.test("RefReader.read() takes the loose value before the packed one", () =>
  RefsScene.run(async (scene) => {
    const { refs } = scene.open();
    await scene.git("update-ref", "refs/layers/a", scene.commit(0));
    await scene.git("pack-refs", "--all");
    assertEquals(refs.read(layer("a")), scene.commit(0));
    await scene.git("update-ref", "refs/layers/a", scene.commit(1));
    assertEquals(refs.read(layer("a")), scene.commit(1));
    await scene.git("update-ref", "-d", "refs/layers/a");
    assertEquals(refs.read(layer("a")), null);
  }));

Deno.test("RefReader.read() sees each of 60 native packings and changes at once", () =>
  RefsScene.run(async (scene) => {
    const { refs } = scene.open();
    for (let round = 0; round < 60; round++) {
      const oid = scene.commit(round % 4);
      await scene.git("update-ref", "refs/layers/a", oid);
      if (round % 2 === 0) await scene.git("pack-refs", "--all", "--prune");
      assertEquals(refs.read(layer("a")), oid);
    }
  }));

Deno.test("RefReader.read() throws on a zero-byte, torn or null ref and does not call it absent", () =>
  RefsScene.run(async (scene) => {
    await scene.git("update-ref", "refs/layers/a", scene.commit(0));
    await scene.git("pack-refs", "--all");
    const { refs } = scene.open();
    await Deno.mkdir(scene.path("refs/layers"), { recursive: true });
    for (const content of ["", "abc", "0".repeat(40), `${scene.commit(0)}x`, "ref: nowhere"]) {
      await Deno.writeTextFile(scene.path("refs/layers/a"), content);
      assertThrows(() => refs.read(layer("a")), LayerdError, "is damaged");
    }
  }));

Deno.test("RefReader.read() follows symbolic refs and ends a loop of them", () =>
  RefsScene.run(async (scene) => {
    const { refs } = scene.open();
    await scene.git("symbolic-ref", "refs/heads/alias", "refs/heads/main");
    assertEquals(refs.read(ref("refs/heads/alias")), scene.commit(3));
    await Deno.symlink("refs/heads/main", scene.path("refs/heads/link"));
    assertEquals(refs.read(ref("refs/heads/link")), scene.commit(3));
    await scene.git("symbolic-ref", "refs/heads/x", "refs/heads/y");
    assertEquals(refs.read(ref("refs/heads/x")), null);
    await scene.git("symbolic-ref", "refs/heads/y", "refs/heads/x");
    assertThrows(() => refs.read(ref("refs/heads/x")), LayerdError, "more than 5");
  }));

Deno.test("RefReader.snapshot() holds what for-each-ref lists and stays as it was", () =>
  RefsScene.run(async (scene) => {
    for (const name of ["b", "a/x", "a-b", "a/y/z"]) {
      await scene.git("update-ref", `refs/layers/${name}`, scene.commit(0));
    }
    await scene.git("pack-refs", "--all");
    for (const name of ["b", "a/a", "c"]) {
      await scene.git("update-ref", `refs/layers/${name}`, scene.commit(1));
    }
    await Deno.writeTextFile(scene.path("refs/layers/b.lock"), "");
    const { refs } = scene.open();
    const snapshot = refs.snapshot();
    const native = await scene.nativeRefs();
    assertEquals([...snapshot.entries("refs/")].map(([name]) => name), Object.keys(native));
    assertEquals(Object.fromEntries(snapshot.entries("refs/")), native);
    await Deno.remove(scene.path("refs/layers/b.lock"));
    await scene.git("update-ref", "refs/layers/b", scene.commit(2));
    await scene.git("pack-refs", "--all");
    assertEquals(snapshot.get(layer("b")), scene.commit(1));
    assertEquals(refs.snapshot().get(layer("b")), scene.commit(2));
    assertEquals([...snapshot.entries("refs/layers/a/")].map(([name]) => name as string), [
      "refs/layers/a/a",
      "refs/layers/a/x",
      "refs/layers/a/y/z",
    ]);
  }));

Deno.test("RefReader.snapshot() of a prefix lists the same below it, symbolic refs followed", () =>
  RefsScene.run(async (scene) => {
    await scene.git("update-ref", "refs/layers/a", scene.commit(0));
    await scene.git("pack-refs", "--all");
    await scene.git("update-ref", "refs/layers/b/c", scene.commit(1));
    await scene.git("update-ref", "refs/heads/far", scene.commit(2));
    await scene.git("symbolic-ref", "refs/layers/s", "refs/layers/t");
    await scene.git("symbolic-ref", "refs/layers/t", "refs/heads/far");
    const { refs } = scene.open();
    for (const prefix of ["refs/layers/", "refs/layers/b/", "refs/layers/none/"]) {
      assertEquals(
        [...refs.snapshot(prefix).entries(prefix)],
        [...refs.snapshot().entries(prefix)],
      );
    }
    assertEquals(refs.snapshot("refs/layers/").get(layer("s")), scene.commit(2));
  }));

Deno.test("RefReader.snapshot() keeps one damaged ref from hiding the others", () =>
  RefsScene.run(async (scene) => {
    await scene.git("update-ref", "refs/layers/a", scene.commit(0));
    await Deno.writeTextFile(scene.path("refs/heads/broken"), "");
    const snapshot = scene.open().refs.snapshot();
    assertEquals([...snapshot.entries("refs/layers/")].length, 1);
    assertThrows(() => snapshot.get(ref("refs/heads/broken")), LayerdError, "is empty");
    assertThrows(() => [...snapshot.entries("refs/heads/")], LayerdError, "is empty");
  }));

Deno.test("RefReader.checkedOut() names branches of all work trees, rebased and bisected ones", () =>
  RefsScene.run(async (scene) => {
    const { refs } = scene.open();
    await git(scene.directory, ["checkout", "-q", "main"]);
    for (const name of ["linked", "rebased", "stacked", "bisected", "free"]) {
      await scene.git("branch", name);
    }
    const linked = `${scene.directory}/linked`;
    await scene.git("worktree", "add", "-q", linked, "linked");
    assertEquals(
      refs.checkedOut(),
      new Set([ref("refs/heads/main"), ref("refs/heads/linked")]),
    );
    const rebase = scene.path("worktrees/linked/rebase-merge");
    await Deno.mkdir(rebase);
    await Deno.writeTextFile(`${rebase}/head-name`, "refs/heads/rebased\n");
    const stacked = `refs/heads/stacked\n${scene.commit(0)}\n${"0".repeat(40)}\n`;
    await Deno.writeTextFile(`${rebase}/update-refs`, stacked);
    await Deno.writeTextFile(scene.path("BISECT_START"), "bisected\n");
    const names = refs.checkedOut();
    for (const name of ["main", "linked", "rebased", "stacked", "bisected"]) {
      assert(names.has(ref(`refs/heads/${name}`)), name);
    }
    assertEquals(names.has(ref("refs/heads/free")), false);
    await scene.git("checkout", "-q", "--detach");
    await Deno.remove(scene.path("BISECT_START"));
    assertEquals(refs.checkedOut().has(ref("refs/heads/main")), false);
  }, { bare: false }));

Deno.test("RefReader.checkedOut() follows a HEAD to the branch behind a symbolic one", () =>
  RefsScene.run(async (scene) => {
    await scene.git("symbolic-ref", "refs/heads/alias", "refs/heads/main");
    await scene.git("symbolic-ref", "HEAD", "refs/heads/alias");
    assertEquals(
      scene.open().refs.checkedOut(),
      new Set([ref("refs/heads/alias"), ref("refs/heads/main")]),
    );
  }, { bare: false }));

Deno.test("RefReader.checkedOut() does not count the HEAD of a bare repository", () =>
  RefsScene.run((scene) => {
    assertEquals(scene.open().refs.checkedOut(), new Set());
  }));
