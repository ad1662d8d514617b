import { assertEquals, assertRejects } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import type { Operation } from "../../src/core/operations.ts";
import { git } from "../harness/git.ts";
import { assertFsckClean } from "../harness/repositories.ts";
import { create, type EngineScene, patch, put, withEngine } from "./engine_scene.ts";

const SETTINGS = '{\n  // how wide\n  "tab": 4,\n  "id": 12345678901234567890\n}\n';

async function refusal(scene: EngineScene, ...operations: Operation[]) {
  const error = await assertRejects(() => scene.run(...operations), LayerdError);
  return [error.code, error.details.field];
}

Deno.test("patch_file changes keys and keeps comments, order and numbers it does not know", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"), put("a", "s.json", SETTINGS));
    await scene.run(patch("a", "s.json", { tab: 2, theme: { dark: true } }));
    assertEquals(
      await scene.text("a", "s.json"),
      '{\n  // how wide\n  "tab": 2,\n  "id": 12345678901234567890,\n  "theme": {\n    "dark": true\n  }\n}\n',
    );
    await scene.run(patch("a", "s.json", { theme: null, tab: 4 }));
    assertEquals(await scene.text("a", "s.json"), SETTINGS);
    await assertFsckClean(scene.path("app"));
  }));

Deno.test("patch_file sees what was staged before it and keeps the mode", () =>
  withEngine(async (scene) => {
    const file = put("a", "run.yaml", "a: 1\n");
    const executable: Operation = file.op === "put_file" ? { ...file, mode: "100755" } : file;
    await scene.run(create("a"), executable, patch("a", "run.yaml", { b: 2 }));
    await scene.run(patch("a", "run.yaml", { c: 3 }), patch("a", "run.yaml", { a: null }));
    assertEquals(await scene.text("a", "run.yaml"), "b: 2\nc: 3\n");
    const tree = await git(scene.path("app"), ["ls-tree", "refs/layers/a"]);
    assertEquals(tree.slice(0, 6), "100755");
  }));

Deno.test("patch_file refuses what is not there, not structured or not writable", () =>
  withEngine(async (scene) => {
    await scene.run(
      create("a"),
      put("a", "s.json", SETTINGS),
      put("a", "broken.json", '{"a": 1,, }'),
      put("a", "twice.json", '{"a": 1, "a": 2}'),
      put("a", "text.txt", "a"),
      put("a", "t.toml", "a = 1\n"),
    );
    assertEquals(await refusal(scene, patch("a", "none.json", {})), ["file_not_found", undefined]);
    assertEquals(await refusal(scene, patch("b", "s.json", {})), ["layer_not_found", undefined]);
    assertEquals(await refusal(scene, patch("a", "text.txt", {})), [
      "invalid_content",
      "operations[0].path",
    ]);
    for (const path of ["broken.json", "twice.json"]) {
      assertEquals(await refusal(scene, patch("a", path, { b: 1 })), [
        "invalid_content",
        undefined,
      ]);
    }
    assertEquals(await refusal(scene, patch("a", "t.toml", [1])), ["invalid_content", undefined]);
    assertEquals(await refusal(scene, patch("a", "t.toml", { b: [null] })), [
      "invalid_content",
      undefined,
    ]);
    assertEquals(await scene.text("a", "s.json"), SETTINGS);
  }));
