import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { assertFsckClean, readRef } from "../harness/repositories.ts";
import { git } from "../harness/git.ts";
import {
  create,
  createFrom,
  dropLayer,
  type EngineScene,
  move,
  put,
  remove,
  updateRef,
  withEngine,
} from "./engine_scene.ts";
import type { Operation } from "../../src/core/operations.ts";

/** The code that staging these operations is refused with. */
async function refusal(scene: EngineScene, ...operations: Operation[]): Promise<string> {
  const error = await assertRejects(() => scene.run(...operations), LayerdError);
  return error.code;
}

Deno.test("create_layer alone points at one empty-tree commit, or at its origin", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"));
    await scene.run(createFrom("b", "refs/heads/main"));
    await scene.run(createFrom("c", "b"));
    const path = scene.path("app");
    assertEquals(await git(path, ["ls-tree", "-r", "refs/layers/a"]), "");
    assertEquals(await git(path, ["rev-list", "--count", "refs/layers/a"]), "1");
    const main = await readRef(path, "refs/heads/main");
    assertEquals(await readRef(path, "refs/layers/b"), main);
    assertEquals(await readRef(path, "refs/layers/c"), main);
    await assertFsckClean(path);
  }));

Deno.test("create_layer with other changes makes one commit on its origin", () =>
  withEngine(async (scene) => {
    await scene.run(createFrom("b", "refs/heads/main"), put("b", "x/y", "1\n"));
    await scene.run(create("a"), put("a", "z", "2\n"), put("a", "z", "3\n"));
    const path = scene.path("app");
    assertEquals(
      await readRef(path, "refs/layers/b^"),
      await readRef(path, "refs/heads/main"),
    );
    assertEquals(await git(path, ["rev-list", "--count", "refs/layers/a"]), "1");
    assertEquals(await git(path, ["show", "refs/layers/a:z"]), "3");
    assertEquals(
      await git(path, ["ls-tree", "-r", "--name-only", "refs/layers/b"]),
      "readme\nx/y",
    );
    await assertFsckClean(path);
  }));

Deno.test("create_layer from a layer that the transaction changed copies what it sees", () =>
  withEngine(async (scene) => {
    const done = await scene.run(create("a"), put("a", "f", "1"), createFrom("b", "a"));
    assertEquals(done.results.map(({ layer }) => layer), ["a", "b"]);
    assertEquals(done.results[0]?.new, done.results[1]?.new);
    const again = await scene.run(createFrom("c", "a"), put("a", "f", "2"));
    assertEquals(await scene.text("c", "f"), "1");
    assertEquals(again.results.length, 2);
  }));

Deno.test("staging refuses names that cannot stand beside each other", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), create("t/x"), put("a", "d/f", "1"), put("a", "g", "1"));
    assertEquals(await refusal(scene, create("a")), "layer_exists");
    assertEquals(await refusal(scene, create("a/b")), "name_conflict");
    assertEquals(await refusal(scene, create("t")), "name_conflict");
    assertEquals(await refusal(scene, create("n"), create("n/m")), "name_conflict");
    assertEquals(await refusal(scene, create("n/m"), create("n")), "name_conflict");
    assertEquals(await refusal(scene, put("a", "d", "1")), "name_conflict");
    assertEquals(await refusal(scene, put("a", "g/h", "1")), "name_conflict");
    assertEquals(await refusal(scene, put("a", "n/o", "1"), put("a", "n", "1")), "name_conflict");
    assertEquals(await refusal(scene, put("a", "n", "1"), put("a", "n/o", "1")), "name_conflict");
    assertEquals(await refusal(scene, move("a", "g", "d/f")), "name_conflict");
    assertEquals(await refusal(scene, move("a", "g", "g")), "name_conflict");
    assertEquals(await refusal(scene, move("a", "g", "d")), "name_conflict");
  }));

Deno.test("staging refuses a .gitmodules that is a symbolic link, which fsck calls damage", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"));
    const file = put("a", "deep/.gitmodules", "elsewhere");
    assert(file.op === "put_file");
    assertEquals(await refusal(scene, { ...file, mode: "120000" }), "invalid_request");
    assertEquals((await scene.run(file)).state, "committed");
  }));

Deno.test("staging refuses what is not there", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "d/f", "1"));
    assertEquals(await refusal(scene, put("none", "f", "1")), "layer_not_found");
    assertEquals(await refusal(scene, dropLayer("none")), "layer_not_found");
    assertEquals(await refusal(scene, createFrom("b", "none")), "layer_not_found");
    assertEquals(await refusal(scene, createFrom("b", "refs/heads/none")), "invalid_request");
    assertEquals(await refusal(scene, remove("a", "d/g")), "file_not_found");
    assertEquals(await refusal(scene, remove("a", "d")), "file_not_found");
    assertEquals(await refusal(scene, remove("a", "d/f/g")), "file_not_found");
    assertEquals(await refusal(scene, move("a", "d", "e")), "file_not_found");
    assertEquals(await refusal(scene, remove("a", "d/f"), remove("a", "d/f")), "file_not_found");
    assertEquals(await refusal(scene, dropLayer("a"), put("a", "d/f", "1")), "layer_not_found");
  }));

Deno.test("files take the place of emptied directories and the reverse", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "d/e/f", "1"), put("a", "g", "2"), put("a", "d/k", "3"));
    await scene.run(
      remove("a", "d/e/f"),
      remove("a", "d/k"),
      put("a", "d", "file"),
      move("a", "g", "g/inside"),
    );
    assertEquals(await scene.paths("a"), ["d", "g/inside"]);
    await scene.run(remove("a", "d"), put("a", "d/e", "back"), move("a", "g/inside", "g"));
    assertEquals(await scene.paths("a"), ["d/e", "g"]);
    // A file that stood only within the transaction leaves no trace.
    await scene.run(
      remove("a", "d/e"),
      put("a", "d", "1"),
      remove("a", "d"),
      put("a", "d/z", "new"),
    );
    assertEquals(await scene.paths("a"), ["d/z", "g"]);
    await assertFsckClean(scene.path("app"));
  }));

Deno.test("delete_layer then create_layer starts a new history", () =>
  withEngine(async (scene) => {
    const first = await scene.run(create("a"), put("a", "f", "1"));
    const second = await scene.run(dropLayer("a"), create("a"), put("a", "g", "2"));
    assertEquals(second.results[0]?.old, first.results[0]?.new);
    assertEquals(await git(scene.path("app"), ["rev-list", "--count", "refs/layers/a"]), "1");
    assertEquals(await scene.paths("a"), ["g"]);
    const third = await scene.run(dropLayer("a"), create("a/b"));
    assertEquals(third.results.map(({ layer, new: now }) => [layer, now === null]), [
      ["a", true],
      ["a/b", false],
    ]);
  }));

Deno.test("a transaction that changes nothing commits and moves nothing", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "f", "1"));
    const before = await readRef(scene.path("app"), "refs/layers/a");
    for (
      const operations of [
        [],
        [put("a", "f", "1")],
        [put("a", "f", "2"), put("a", "f", "1")],
        [put("a", "g", "1"), remove("a", "g")],
      ]
    ) {
      const done = await scene.run(...operations);
      assertEquals([done.state, done.results], ["committed", []]);
    }
    assertEquals(await readRef(scene.path("app"), "refs/layers/a"), before);
  }));

Deno.test("commits carry message, author and trailer as git reads them", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"));
    const author = { name: "Ann", email: "ann@example.org" };
    const message = "raise the timeout\n\nSigned-off-by: Ann <ann@example.org>";
    const done = await scene.begin({
      message,
      author,
      operations: [put("a", "f", "1")],
      commit: true,
    });
    const path = scene.path("app");
    const show = (format: string) =>
      git(path, ["log", "-1", `--format=${format}`, "refs/layers/a"]);
    assertEquals(await show("%an %ae %cn %ce"), "Ann ann@example.org layerd layerd@localhost");
    assertEquals(await show("%B"), `${message}\nLayerd-Transaction: ${done.id}\n`);
    assertEquals(await show("%(trailers:key=Layerd-Transaction,valueonly)"), `${done.id}\n`);
    const plain = await scene.run(put("a", "f", "2"));
    assertEquals(
      await show("%B"),
      `layerd transaction ${plain.id}\n\nLayerd-Transaction: ${plain.id}\n`,
    );
    assertMatch(await show("%(trailers)"), /^Layerd-Transaction: /);
  }));

Deno.test("update_ref checks what it is given", () =>
  withEngine(async (scene) => {
    const path = scene.path("app");
    const main = await git(path, ["rev-parse", "main"]);
    const tree = await git(path, ["rev-parse", "main^{tree}"]);
    assertEquals(await refusal(scene, updateRef("refs/heads/main", main)), "ref_checked_out");
    assertEquals(
      await refusal(scene, updateRef("refs/heads/x", "1".repeat(40))),
      "invalid_request",
    );
    assertEquals(await refusal(scene, updateRef("refs/heads/x", tree)), "invalid_request");
    const second = () => scene.run(create("a"), updateRef("refs/heads/x", tree));
    const { details } = await assertRejects(second, LayerdError);
    assertEquals(details.field, "operations[1].new");
    assertEquals(await refusal(scene, updateRef("refs/heads/main/x", main)), "name_conflict");
    const done = await scene.run(
      updateRef("refs/heads/x", main),
      updateRef("refs/tags/t", tree),
      updateRef("refs/layers/l", main),
      put("l", "f", "1"),
    );
    assertEquals(done.results.map(({ ref }) => ref), [
      "refs/heads/x",
      "refs/tags/t",
      "refs/layers/l",
    ]);
    assertEquals(await readRef(path, "refs/layers/l^"), main);
    await scene.run(updateRef("refs/heads/x", null));
    assertEquals(await readRef(path, "refs/heads/x"), null);
  }));
