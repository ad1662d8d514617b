/** Faults that reviews of the commit path proved; each test is named for what happened. */
import { assert, assertEquals } from "@std/assert";
import { git } from "../harness/git.ts";
import { parseLayerName, parseObjectId } from "../../src/core/ids.ts";
import { app, create, put, withEngine } from "./engine_scene.ts";
import { refusalOf } from "./refusals.ts";

const key = { route: "POST /v1/transactions", key: "k", requestHash: "h" };

Deno.test("the key of a one-shot that stalled answers its transaction after a restart", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "f", "0"));
    scene.fileSystem.refusesPublication = true;
    const request = { operations: [put("a", "f", "1")], commit: true, idempotency: key };
    const first = await scene.begin(request);
    assertEquals(first.state, "committing");
    await scene.restart();
    const repeat = scene.begin(request);
    scene.fileSystem.refusesPublication = false;
    assertEquals((await repeat).id, first.id);
    await scene.manager.waitFor(scene.idOf(first), "terminal", 15_000);
    assertEquals((await scene.begin(request)).id, first.id);
  }));

Deno.test("a damaged packed-refs leaves no packed-refs.lock behind once it is mended", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "f", "0"));
    const path = `${scene.path("app")}/.git/packed-refs`;
    const sound = await Deno.readFile(path);
    const id = await scene.openTransaction({ operations: [put("a", "f", "1")] });
    await Deno.writeTextFile(path, "no ref stands here\n");
    await refusalOf(scene.manager.commit(id));
    await Deno.writeFile(path, sound);
    assertEquals((await scene.run(put("a", "f", "2"))).state, "committed");
  }));

Deno.test("a promise whose lock file was removed by hand can still be kept", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "f", "0"));
    const id = await scene.openTransaction({ operations: [put("a", "f", "1")] });
    await scene.manager.prepare(id);
    await Deno.remove(`${scene.path("app")}/.git/refs/layers/a.lock`);
    assertEquals((await scene.manager.commit(id)).state, "committed");
    assertEquals(await scene.text("a", "f"), "1");
  }));

Deno.test("a promise keeps its other locks when one is foreign at the restart", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), create("b"));
    const id = await scene.openTransaction({
      operations: [put("a", "f", "1"), put("b", "f", "1")],
    });
    await scene.manager.prepare(id);
    await scene.close();
    const layers = `${scene.path("app")}/.git/refs/layers`;
    await Deno.remove(`${layers}/a.lock`);
    await Deno.writeTextFile(`${layers}/a.lock`, "");
    await scene.open();
    assert((await Deno.stat(`${layers}/b.lock`)).isFile);
    await Deno.remove(`${layers}/a.lock`);
    assertEquals((await scene.manager.commit(id)).state, "committed");
  }));

Deno.test("one damaged repository does not keep the daemon from serving another", () =>
  withEngine(async (scene) => {
    await scene.serveRepository("lib");
    await scene.run(create("a"));
    await scene.close();
    await Deno.writeTextFile(`${scene.path("lib")}/.git/packed-refs`, "no ref stands here\n");
    await scene.open();
    assertEquals((await scene.run(put("a", "f", "1"))).state, "committed");
  }));

Deno.test("a repository that is deleted from the disk does not keep the daemon from closing", () =>
  withEngine(async (scene) => {
    await scene.serveRepository("lib");
    await scene.run(create("a"));
    await Deno.remove(scene.path("lib"), { recursive: true });
    await scene.engine.checkpoint();
    await scene.restart();
    assertEquals((await scene.run(put("a", "f", "1"))).state, "committed");
  }));

Deno.test("a commit from a commit that git pruned meanwhile is refused, not published", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "f", "0"));
    const path = scene.path("app");
    const loose = await git(path, ["commit-tree", "-m", "loose", "HEAD^{tree}"]);
    const origin = { kind: "commit" as const, commit: parseObjectId(loose) };
    const b = { op: "create_layer" as const, repository: app, layer: parseLayerName("b") };
    const id = await scene.openTransaction({
      operations: [{ ...b, from: origin }],
    });
    await git(path, ["prune", "--expire=now"]);
    assertEquals((await refusalOf(scene.manager.commit(id))).code, "git_error");
    await git(path, ["fsck", "--strict"]);
  }));
