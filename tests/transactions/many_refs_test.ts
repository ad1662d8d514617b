/** Transactions over many refs: what one more ref costs. */
import { assert, assertEquals } from "@std/assert";
import { git } from "../harness/git.ts";
import { updateRef, withEngine } from "./engine_scene.ts";

Deno.test("a transaction over many refs looks at each of them a fixed number of times", () =>
  withEngine(async (scene) => {
    const head = await git(scene.path("app"), ["rev-parse", "HEAD"]);
    const looksAt = async (from: number, count: number) => {
      const before = scene.fileSystem.looks;
      const refs = Array.from({ length: count }, (_, i) => `refs/heads/many/r${from + i}`);
      const committed = await scene.run(...refs.map((ref) => updateRef(ref, head)));
      assertEquals(committed.results.length, count);
      return scene.fileSystem.looks - before;
    };
    const [few, many] = [await looksAt(0, 100), await looksAt(100, 400)];
    const each = (many - few) / 300;
    assert(each < 12, `${each} looks for one more ref`);
  }));

Deno.test("many refs of one directory are compared with what native git wrote there", () =>
  withEngine(async (scene) => {
    const path = scene.path("app");
    const head = await git(path, ["rev-parse", "HEAD"]);
    const names = Array.from({ length: 40 }, (_, i) => `refs/layers/many/r${i}`);
    await scene.run(...names.map((ref) => updateRef(ref, head)));
    const next = await git(path, ["commit-tree", "-m", "next", "-p", head, "HEAD^{tree}"]);
    const id = await scene.openTransaction({
      operations: names.map((ref) => updateRef(ref, next)),
    });
    const native = await git(path, ["commit-tree", "-m", "native", "-p", head, "HEAD^{tree}"]);
    await git(path, ["update-ref", "refs/layers/many/r7", native]);
    const refused = await scene.manager.commit(id).catch((error) => error.details.conflicts);
    assertEquals(refused.map(({ ref, actual }: { ref: string; actual: string }) => [ref, actual]), [
      ["refs/layers/many/r7", native],
    ]);
  }));
