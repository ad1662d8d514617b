import { assertEquals, assertRejects } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { parseObjectId } from "../../src/core/ids.ts";
import { isAncestor, readHistory } from "../../src/git/history.ts";
import { git } from "../harness/git.ts";
import { inRepository } from "./repository_scene.ts";

/** A history with merges, criss-cross, equal and falling dates. */
async function branchOut(path: string): Promise<void> {
  const dates = [100, 100, 50, 200, 200, 150];
  for (const [index, date] of dates.entries()) {
    const stamp = `@${1_700_000_000 + date} +0000`;
    const environment = { GIT_COMMITTER_DATE: stamp, GIT_AUTHOR_DATE: stamp };
    await git(path, ["switch", "-q", "-C", `side${index}`, index % 2 === 0 ? "main" : "HEAD"]);
    await git(path, ["commit", "-q", "--allow-empty", "-m", `side ${index}`], { environment });
    await git(path, ["switch", "-q", "main"]);
    await git(path, ["merge", "-q", "--no-ff", "-m", `merge ${index}`, `side${index}`], {
      environment,
    });
  }
}

Deno.test("readHistory() lists what git log lists, in its order, each commit once", async () => {
  await inRepository(async ({ path, objects }) => {
    await branchOut(path);
    const tip = parseObjectId(await git(path, ["rev-parse", "HEAD"]));
    const expected = (await git(path, ["log", "--format=%H %ct %s"])).split("\n");
    const ours: string[] = [];
    for await (const { oid, fields } of readHistory(objects, tip, Infinity)) {
      ours.push(`${oid} ${fields.committer.atSeconds} ${fields.message.split("\n")[0]}`);
    }
    assertEquals(ours, expected);
    const few = [];
    for await (const { oid } of readHistory(objects, tip, 3)) few.push(oid as string);
    assertEquals(few, expected.slice(0, 3).map((line) => line.slice(0, 40)));
    for await (const _ of readHistory(objects, tip, 0)) throw new Error("BUG: limit 0");
  });
});

Deno.test("readHistory() reads no further than it must", async () => {
  await inRepository(async ({ path, objects }) => {
    const missing = "1".repeat(40);
    const tree = await git(path, ["rev-parse", "HEAD^{tree}"]);
    const text = `tree ${tree}\nparent ${missing}\nauthor A <a> 1 +0000\n` +
      `committer A <a> 1 +0000\n\nshallow\n`;
    const tip = parseObjectId(
      await git(path, ["hash-object", "-t", "commit", "-w", "--stdin"], { input: text }),
    );
    for await (const { oid } of readHistory(objects, tip, 1)) assertEquals(oid, tip);
    await assertRejects(
      async () => {
        for await (const entry of readHistory(objects, tip, 2)) assertEquals(entry.oid, tip);
      },
      LayerdError,
      `Commit ${missing} is missing`,
    );
  });
});

Deno.test("isAncestor() agrees with git merge-base --is-ancestor", async () => {
  await inRepository(async ({ path, objects }) => {
    const first = parseObjectId(await git(path, ["rev-parse", "HEAD"]));
    await branchOut(path);
    const tip = parseObjectId(await git(path, ["rev-parse", "HEAD"]));
    const side = parseObjectId(await git(path, ["rev-parse", "side5"]));
    assertEquals(await isAncestor(objects, first, tip), true);
    assertEquals(await isAncestor(objects, side, tip), true);
    assertEquals(await isAncestor(objects, tip, tip), true);
    assertEquals(await isAncestor(objects, tip, side), false);
  });
});
