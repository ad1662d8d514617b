import { assertEquals, assertRejects } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import type { Operation } from "../../src/core/operations.ts";
import { git } from "../harness/git.ts";
import { assertFsckClean, readRef } from "../harness/repositories.ts";
import {
  create,
  createFrom,
  type EngineScene,
  merge,
  patch,
  put,
  remove,
  withEngine,
} from "./engine_scene.ts";

const SETTINGS = '{\n  // a\n  "a": 1,\n  "b": 1,\n  "c": { "x": 1 }\n}\n';

/** Layer `a` with these files, and layer `b` made from it. */
async function twoLayers(scene: EngineScene, ...files: (readonly [string, string])[]) {
  await scene.run(create("a"), ...files.map(([path, text]) => put("a", path, text)));
  await scene.run(createFrom("b", "a"));
}

async function conflicts(scene: EngineScene, ...operations: Operation[]) {
  const error = await assertRejects(() => scene.run(...operations), LayerdError);
  assertEquals(error.code, "merge_conflict", error.message);
  return (error.details.conflicts ?? []).map(({ path, key, reason }) =>
    [path, key, reason].filter((part) => part !== undefined).join(" ")
  );
}

Deno.test("merge_layer makes one commit with both parents and the transaction's trailer", () =>
  withEngine(async (scene) => {
    await twoLayers(scene, ["x", "1\n2\n3\n4\n5\n6\n7\n"], ["gone", "1"], ["d/kept", "1"]);
    await scene.run(put("a", "x", "one\n2\n3\n4\n5\n6\n7\n"), put("a", "mine", "m"));
    const theirs = await scene.run(
      put("b", "x", "1\n2\n3\n4\n5\n6\nseven\n"),
      remove("b", "gone"),
      put("b", "d/new", "n"),
    );
    const done = await scene.run(merge("a", "b"), put("a", "beside", "the merge"));
    const path = scene.path("app");
    assertEquals(await readRef(path, "refs/layers/a^2"), theirs.results[0]?.new);
    assertEquals(await readRef(path, "refs/layers/a^1"), done.results[0]?.old);
    assertEquals(await scene.paths("a"), ["beside", "d/kept", "d/new", "mine", "x"]);
    assertEquals(await scene.text("a", "x"), "one\n2\n3\n4\n5\n6\nseven\n");
    assertEquals((await scene.run(merge("a", "b"))).results, []);
    await assertFsckClean(path);
  }));

Deno.test("merge_layer merges two keys that two people changed, with the comments of both", () =>
  withEngine(async (scene) => {
    await twoLayers(scene, ["s.json", SETTINGS], ["t.toml", "# t\na = 1\nb = 1\n"]);
    await scene.run(
      patch("a", "s.json", { a: 2, c: { x: null } }),
      put("a", "t.toml", "# t\na = 2\nb = 1\n# added here\nc = 1\n"),
    );
    await scene.run(
      put("b", "s.json", SETTINGS.replace('"b": 1', '"b": 2').replace("{\n", "{\n  // top\n")),
      put("b", "t.toml", "# t\na = 1\n# why\nb = 2\n"),
    );
    await scene.run(merge("a", "b"));
    assertEquals(
      await scene.text("a", "s.json"),
      '{\n  // top\n  // a\n  "a": 2,\n  "b": 2,\n  "c": {  }\n}\n',
    );
    assertEquals(
      await scene.text("a", "t.toml"),
      "# t\na = 2\n# why\nb = 2\n# added here\nc = 1\n",
    );
  }));

Deno.test("merge_layer lists conflicts by path and key and stages nothing", () =>
  withEngine(async (scene) => {
    await twoLayers(
      scene,
      ["s.json", SETTINGS],
      ["t", "1\n"],
      ["gone", "1"],
      ["e/x", "1"],
      ["bin", "\0a"],
      ["clean", "1"],
    );
    await scene.run(
      patch("a", "s.json", { a: 2, c: { x: 2 } }),
      put("a", "t", "2\n"),
      remove("a", "gone"),
      put("a", "e/x", "2"),
      put("a", "bin", "\0b"),
    );
    await scene.run(
      patch("b", "s.json", { a: 3, b: 3, c: { x: 3 } }),
      put("b", "t", "3\n"),
      put("b", "gone", "2"),
      remove("b", "e/x"),
      put("b", "e", "a file now"),
      put("b", "bin", "\0c"),
      put("b", "clean", "2"),
    );
    const tip = await readRef(scene.path("app"), "refs/layers/a");
    assertEquals(await conflicts(scene, merge("a", "b")), [
      "bin binary",
      "e/x deleted",
      "gone deleted",
      "s.json a content",
      "s.json c.x content",
      "t content",
    ]);
    assertEquals(await readRef(scene.path("app"), "refs/layers/a"), tip);
  }));

Deno.test("merge_layer finds files where the other side has directories", () =>
  withEngine(async (scene) => {
    await twoLayers(scene, ["e/x", "1"], ["f", "1"]);
    await scene.run(put("a", "e/new", "1"), remove("a", "f"), put("a", "f/deep", "1"));
    await scene.run(remove("b", "e/x"), put("b", "e", "file"));
    assertEquals(await conflicts(scene, merge("a", "b")), ["e name"]);
    await scene.run(createFrom("c", "a"), remove("c", "f/deep"), put("c", "f", "file"));
    await scene.run(put("a", "f/deeper", "2"));
    assertEquals(await conflicts(scene, merge("a", "c")), ["f name"]);
    assertEquals(await conflicts(scene, merge("c", "a")), ["f/deeper name"]);
  }));

Deno.test("merge_layer merges unrelated layers where they do not contradict each other", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "s.json", '{ "a": 1, "same": 1 }'), put("a", "x", "1"));
    await scene.run(create("b"), put("b", "s.json", '{ "b": 2, "same": 1 }'), put("b", "y", "2"));
    await scene.run(merge("a", "b"));
    assertEquals(await scene.text("a", "s.json"), '{ "a": 1, "same": 1, "b": 2 }');
    assertEquals(await scene.paths("a"), ["s.json", "x", "y"]);
    await scene.run(create("c"), put("c", "x", "other"));
    assertEquals(await conflicts(scene, merge("a", "c")), ["x content"]);
    await scene.run(create("d"), merge("d", "a"));
    assertEquals(await scene.paths("d"), ["s.json", "x", "y"]);
  }));

Deno.test("merge_layer merges crossed histories where every base gives the same", () =>
  withEngine(async (scene) => {
    await twoLayers(scene, ["x", "0"], ["y", "0"]);
    const a1 = await scene.run(put("a", "x", "1"));
    const b1 = await scene.run(put("b", "y", "1"));
    await scene.run(merge("a", b1.results[0]?.new ?? ""));
    await scene.run(merge("b", a1.results[0]?.new ?? ""));
    const path = scene.path("app");
    const bases = await git(path, ["merge-base", "--all", "refs/layers/a", "refs/layers/b"]);
    assertEquals(bases.split("\n").length, 2);
    await scene.run(put("a", "mine", "1"));
    await scene.run(put("b", "yours", "1"));
    await scene.run(merge("a", "b"));
    assertEquals(await scene.paths("a"), ["mine", "x", "y", "yours"]);
  }));

Deno.test("merge_layer refuses crossed histories whose bases come to different files", () =>
  withEngine(async (scene) => {
    await twoLayers(scene, ["x", "0"], ["y", "0"]);
    const a1 = await scene.run(put("a", "x", "1"));
    const b1 = await scene.run(put("b", "y", "1"));
    await scene.run(merge("a", b1.results[0]?.new ?? ""));
    await scene.run(merge("b", a1.results[0]?.new ?? ""));
    // Against one base a took x back, against the other b has put it.
    await scene.run(put("a", "x", "0"));
    await scene.run(put("b", "yours", "1"));
    assertEquals(await conflicts(scene, merge("a", "b")), []);
    assertEquals(await scene.paths("a"), ["x", "y"]);
  }));

Deno.test("merge_layer conflicts where a link, a submodule or two modes meet another change", () =>
  withEngine(async (scene) => {
    const path = scene.path("app");
    const blob = async (text: string) => {
      await Deno.writeTextFile(`${path}/blob`, text);
      return await git(path, ["hash-object", "-w", "blob"]);
    };
    const [one, two, three] = [
      await blob("1\n2\n3\n"),
      await blob("x\n2\n3\n"),
      await blob("1\n2\nz\n"),
    ];
    const main = await git(path, ["rev-parse", "main"]);
    const commit = async (entries: string, parent: string | null) => {
      await Deno.writeTextFile(`${path}/entries`, entries);
      const { stdout } = await new Deno.Command("sh", {
        args: ["-c", "git mktree < entries"],
        cwd: path,
      }).output();
      const tree = new TextDecoder().decode(stdout).trim();
      return await git(path, [
        "commit-tree",
        tree,
        ...(parent === null ? [] : ["-p", parent]),
        "-m",
        "x",
      ]);
    };
    const line = (mode: string, oid: string, name: string) =>
      `${mode} ${mode === "160000" ? "commit" : "blob"} ${oid}\t${name}\n`;
    const base = await commit(line("120000", one, "l") + line("100644", one, "s"), null);
    const ours = await commit(line("120000", two, "l") + line("100644", two, "s"), base);
    const theirs = await commit(line("120000", three, "l") + line("160000", main, "s"), base);
    await git(path, ["update-ref", "refs/layers/a", ours]);
    assertEquals(await conflicts(scene, merge("a", theirs)), ["l type", "s type"]);
    const added = await commit(line("120000", two, "l") + line("160000", main, "new"), base);
    assertEquals(await conflicts(scene, merge("a", added)), ["new submodule", "s deleted"]);
  }));

Deno.test("merge_layer refuses what has no commit to merge", () =>
  withEngine(async (scene) => {
    await twoLayers(scene, ["x", "1"]);
    const code = async (...operations: Operation[]) =>
      (await assertRejects(() => scene.run(...operations), LayerdError)).code;
    assertEquals(await code(merge("a", "none")), "layer_not_found");
    assertEquals(await code(merge("none", "a")), "layer_not_found");
    assertEquals(await code(put("b", "y", "1"), merge("a", "b")), "invalid_request");
    const blob = await git(scene.path("app"), ["rev-parse", "refs/layers/a:x"]);
    assertEquals(await code(merge("a", blob)), "invalid_request");
  }));

Deno.test("merge_layer is taken back with its list and with a savepoint", () =>
  withEngine(async (scene) => {
    await twoLayers(scene, ["x", "1"]);
    const theirs = await scene.run(put("b", "y", "1"));
    const id = await scene.openTransaction({ operations: [put("a", "z", "1")] });
    await assertRejects(
      () => scene.manager.stage(id, [merge("a", "b"), remove("a", "none")]),
      LayerdError,
    );
    assertEquals(await scene.paths("a", id), ["x", "z"]);
    const done = await scene.manager.commit(id);
    assertEquals(await readRef(scene.path("app"), `${done.results[0]?.new}^2`), null);
    assertEquals(theirs.state, "committed");
  }));
