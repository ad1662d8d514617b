import { assert, assertEquals } from "@std/assert";
import { parseFilePath, parseLayerName, parseObjectId } from "../../src/core/ids.ts";
import { git } from "../harness/git.ts";
import { loosenPacks } from "../harness/loose_objects.ts";
import {
  app,
  create,
  createFrom,
  dropLayer,
  move,
  put,
  remove,
  withEngine,
} from "./engine_scene.ts";
import { refusalOf } from "./refusals.ts";

const a = parseLayerName("a");

Deno.test("layers() pages in name order below a prefix", () =>
  withEngine(async (scene) => {
    const names = ["a", "team/base", "team/x", "team-b", "user"];
    await scene.run(...names.map(create));
    const page = async (prefix: string, limit: number, after: string | null) => {
      const { layers, more } = await scene.reader.layers(app, prefix, limit, after);
      return [layers.map(({ name }) => name), more];
    };
    assertEquals(await page("", 10, null), [["a", "team-b", "team/base", "team/x", "user"], false]);
    assertEquals(await page("", 2, "a"), [["team-b", "team/base"], true]);
    assertEquals(await page("team", 10, null), [["team-b", "team/base", "team/x"], false]);
    assertEquals(await page("team/", 10, null), [["team/base", "team/x"], false]);
    const { layers } = await scene.reader.layers(app, "user", 1, null);
    const age = Date.now() - Date.parse(layers[0]?.updated_at ?? "");
    assert(age >= 0 && age < 60_000);
  }));

Deno.test("tree() lists files in git's order with sizes, staged and stored", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "z", "1"), put("a", "b/c", "22"), put("a", "b.d", "333"));
    const id = await scene.openTransaction({
      operations: [put("a", "b/c", "4444"), put("a", "\u{1f600}", "5"), put("a", "\uffee", "6")],
    });
    const { files } = await scene.reader.tree({
      repository: app,
      layer: a,
      transaction: id,
      at: null,
    });
    assertEquals(files.map(({ path, size }) => [path, size]), [
      ["b.d", 3],
      ["b/c", 4],
      ["z", 1],
      ["\uffee", 1],
      ["\u{1f600}", 1],
    ]);
    assertEquals(await scene.paths("a"), ["b.d", "b/c", "z"]);
  }));

Deno.test("file() reads a commit with `at`, and names what is missing", () =>
  withEngine(async (scene) => {
    const first = await scene.run(create("a"), put("a", "f", "1"));
    await scene.run(put("a", "f", "2"));
    const point = { repository: app, layer: a, transaction: null };
    const at = parseObjectId(first.results[0]?.new ?? "");
    const path = parseFilePath("f");
    const old = await scene.reader.file({ ...point, at }, path);
    assertEquals(new TextDecoder().decode(old.bytes), "1");
    assertEquals(await scene.text("a", "f"), "2");
    const unknown = scene.reader.file({ ...point, at: parseObjectId("1".repeat(40)) }, path);
    assertEquals((await refusalOf(unknown)).details.field, "at");
    assertEquals((await refusalOf(scene.text("a", "g"))).code, "file_not_found");
    assertEquals((await refusalOf(scene.text("b", "g"))).code, "layer_not_found");
  }));

Deno.test("log() names the transaction of each commit, or none for native ones", () =>
  withEngine(async (scene) => {
    const made = await scene.run(createFrom("a", "refs/heads/main"), put("a", "f", "1"));
    const log = await scene.reader.log(app, a, 10);
    assertEquals(log.map(({ transaction_id }) => transaction_id), [made.id, null]);
    assertEquals(log.map(({ author }) => author.name), ["layerd", "Native"]);
    assertEquals((await scene.reader.log(app, a, 1)).length, 1);
  }));

Deno.test("diff() shows the same changes staged and committed", () =>
  withEngine(async (scene) => {
    await scene.run(
      create("a"),
      put("a", "keep", "1"),
      put("a", "edit", "1"),
      put("a", "gone", "1"),
      put("a", "from", "2"),
      create("b"),
      put("b", "x", "1"),
    );
    const id = await scene.openTransaction({
      operations: [
        put("a", "keep", "1"),
        put("a", "edit", "2"),
        remove("a", "gone"),
        move("a", "from", "to"),
        put("a", "new", "3"),
        put("a", "passing", "4"),
        remove("a", "passing"),
        dropLayer("b"),
        createFrom("c", "a"),
      ],
    });
    const staged = await scene.manager.diff(id);
    const short = staged.map(({ layer, path, status }) => `${layer} ${path} ${status}`);
    assertEquals(short, [
      "a edit modified",
      "a from deleted",
      "a gone deleted",
      "a new added",
      "a to added",
      "b x deleted",
      "c edit added",
      "c keep added",
      "c new added",
      "c to added",
    ]);
    await scene.manager.commit(id);
    assertEquals(await scene.manager.diff(id), staged);
    const undone = await scene.openTransaction({ operations: [put("a", "edit", "9")] });
    await scene.manager.rollback(undone);
    assertEquals(await scene.manager.diff(undone), []);
  }));

Deno.test("health() finds a damaged object, and nothing where native git moved the ref", () =>
  withEngine(async (scene) => {
    const done = scene.idOf(await scene.run(create("a"), put("a", "f", "some text")));
    assertEquals(await scene.manager.health(done), { health: "healthy", findings: [] });
    const path = scene.path("app");
    const blob = await git(path, ["rev-parse", "refs/layers/a:f"]);
    await scene.restart();
    await loosenPacks(path, `${path}/.git`);
    await Deno.remove(`${path}/.git/objects/${blob.slice(0, 2)}/${blob.slice(2)}`);
    const report = await scene.manager.health(done);
    assertEquals([report.health, report.findings.map(({ code }) => code)], [
      "corrupted",
      ["object_missing"],
    ]);
    await git(path, ["update-ref", "-d", "refs/layers/a"]);
    assertEquals(await scene.manager.health(done), { health: "healthy", findings: [] });
  }));
