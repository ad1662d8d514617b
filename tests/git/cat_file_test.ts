import { assert, assertEquals, assertRejects } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { parseObjectId } from "../../src/core/ids.ts";
import { CatFile } from "../../src/git/cat_file.ts";
import { resolveLayout } from "../../src/git/gate.ts";
import { loosePath } from "../../src/git/loose_objects.ts";
import { git } from "../harness/git.ts";
import { fileSystem, inRepository } from "./repository_scene.ts";

Deno.test("CatFile.ask() answers many questions at once, each with its own object", async () => {
  await inRepository(async ({ path, layout }) => {
    const ids = await Promise.all(
      Array.from(
        { length: 20 },
        (_, n) => git(path, ["hash-object", "-w", "--stdin"], { input: `blob ${n}\n\n` }),
      ),
    );
    const cat = new CatFile(layout, "batch");
    try {
      const answers = await Promise.all(ids.map((oid) => cat.ask(parseObjectId(oid))));
      answers.forEach((answer, n) => {
        assert(answer.kind === "found");
        assertEquals(new TextDecoder().decode(answer.body), `blob ${n}\n\n`);
      });
      assertEquals(await cat.ask(parseObjectId("1".repeat(40))), { kind: "missing" });
    } finally {
      await cat.close();
    }
  });
});

Deno.test("CatFile.ask() starts a new child after a damaged object killed the old one", async () => {
  await inRepository(async ({ path, layout }) => {
    const good = parseObjectId(await git(path, ["rev-parse", "HEAD"]));
    const noise = crypto.getRandomValues(new Uint8Array(50_000));
    const bad = parseObjectId(
      await git(path, ["hash-object", "-w", "--stdin"], { input: noise }),
    );
    const loose = loosePath(layout.objectsDir, bad);
    await Deno.chmod(loose, 0o644);
    await Deno.truncate(loose, 20_000);
    const cat = new CatFile(layout, "batch");
    try {
      const error = await assertRejects(() => cat.ask(bad), LayerdError, bad);
      assertEquals(error.code, "git_error");
      assertEquals((await cat.ask(good)).kind, "found");
    } finally {
      await cat.close();
    }
  });
});

Deno.test("CatFile.ask() is not misled by replacement refs", async () => {
  await inRepository(async ({ path, layout }) => {
    const real = await git(path, ["rev-parse", "HEAD:readme"]);
    const other = await git(path, ["hash-object", "-w", "--stdin"], { input: "something else" });
    await git(path, ["replace", real, other]);
    const cat = new CatFile(layout, "batch");
    try {
      const answer = await cat.ask(parseObjectId(real));
      assert(answer.kind === "found");
      assertEquals(new TextDecoder().decode(answer.body), "a native file\n");
    } finally {
      await cat.close();
    }
  });
});

Deno.test("CatFile.ask() says that git is unavailable where it refuses the repository", async () => {
  await inRepository(async ({ path }) => {
    const layout = resolveLayout(fileSystem, path);
    await Deno.writeTextFile(`${path}/.git/config`, "[core]\n\trepositoryformatversion = 9\n");
    const cat = new CatFile(layout, "batch-check");
    assertEquals(await cat.ask(parseObjectId("1".repeat(40))), { kind: "unavailable" });
    await cat.close();
  });
});
