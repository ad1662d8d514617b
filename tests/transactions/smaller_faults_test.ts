/** Smaller faults that reviews found; each test is named for what happened. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { git, tryGit } from "../harness/git.ts";
import { makeRepository } from "../harness/repositories.ts";
import { create, type EngineScene, move, put, withEngine } from "./engine_scene.ts";
import { refusalOf } from "./refusals.ts";

Deno.test("the key of a begin whose transaction is prepared answers it over a restart", () =>
  withEngine(async (scene) => {
    const idempotency = { route: "POST /v1/transactions", key: "k", requestHash: "h" };
    const request = { operations: [create("a")], idempotency };
    const id = await scene.openTransaction(request);
    await scene.manager.prepare(id);
    await scene.restart();
    assertEquals((await scene.begin(request)).id, id);
    await scene.manager.commit(id);
    // The key has ended with its transaction, and the layer is there by now.
    assertEquals((await refusalOf(scene.begin(request))).code, "layer_exists");
  }));

Deno.test("a .gitmodules that git fsck calls an error is refused, a harmless one is not", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"));
    const section = (lines: string) => `[submodule "s"]\n${lines}\n`;
    const harmful = [
      section("url = --foo"),
      section("path = -x"),
      section("update = !touch /tmp/x"),
      section("url = ../../:evil"),
      section("url = https:///no-host"),
      section('url = "https://host/%0ahost=other"'),
      '[submodule "../s"]\nurl = u\n',
      section("url = --foo") + "not configuration =====[\n",
    ];
    for (const text of harmful) {
      const refused = await refusalOf(scene.run(put("a", "deep/.gitmodules", text)));
      assertEquals([refused.code, text], ["invalid_content", text]);
    }
    await scene.run(put("a", "plain", harmful[0] ?? ""));
    assertEquals(
      (await refusalOf(scene.run(move("a", "plain", ".gitmodules")))).code,
      "invalid_content",
    );
    const harmless = [
      section("path = s\nurl = https://example.org/s.git\nupdate = rebase"),
      section("url = ../s.git") + "no configuration",
      "url = --foo\n",
    ];
    for (const text of harmless) await scene.run(put("a", ".gitmodules", text));
    // Native git is of the same mind about each of them.
    for (const [texts, code] of [[harmful, 1], [harmless, 0]] as const) {
      for (const text of texts) {
        assertEquals([text, await nativeVerdict(scene, text)], [text, code]);
      }
    }
  }));

Deno.test("an upload that breaks off leaves no directory in the spool", () =>
  withEngine(async (scene) => {
    const id = await scene.openTransaction();
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new Uint8Array(10));
        controller.error(new Error("gone"));
      },
    });
    assertStringIncludes((await refusalOf(scene.manager.addBlob(id, body))).message, "broke off");
    assertEquals([...Deno.readDirSync(`${scene.directory}/state/spool`)], []);
  }));

/** 0 where `git fsck --strict` takes the text as a `.gitmodules`, else 1. */
async function nativeVerdict(scene: EngineScene, text: string): Promise<number> {
  const path = await makeRepository(await Deno.makeTempDir({ dir: scene.directory }));
  await Deno.writeTextFile(`${path}/.gitmodules`, text);
  await git(path, ["add", ".gitmodules"]);
  await git(path, ["commit", "-q", "-m", "modules"]);
  return (await tryGit(path, ["fsck", "--strict"])).code === 0 ? 0 : 1;
}
