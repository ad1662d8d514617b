import { assertEquals, assertRejects } from "@std/assert";
import * as isomorphic from "isomorphic-git";
import { type ObjectId, parseObjectId, parseRefName, type RefName } from "../../src/core/ids.ts";
import type { RepositoryLayout } from "../../src/git/gate.ts";
import { FACADE_GIT_DIR, RepositoryFacade } from "../../src/git/isomorphic_facade.ts";
import { objectId } from "../../src/git/object_codec.ts";
import type { NewObject, ObjectStore } from "../../src/git/repository.ts";
import { git } from "../harness/git.ts";
import { assertFsckClean } from "../harness/repositories.ts";
import { fileSystem, inRepository } from "./repository_scene.ts";

const gitdir = FACADE_GIT_DIR;

function facadeOf(
  { layout, objects }: { layout: RepositoryLayout; objects: ObjectStore },
  refs: readonly (readonly [RefName, ObjectId])[],
  staged: readonly NewObject[] = [],
): RepositoryFacade {
  return new RepositoryFacade({ fileSystem, layout, objects, refs: new Map(refs), staged });
}

async function commitFile(path: string, branch: string, name: string): Promise<ObjectId> {
  await git(path, ["switch", "-q", "-C", branch, "main"]);
  await Deno.writeTextFile(`${path}/${name}`, `${name}\n`);
  await git(path, ["add", name]);
  await git(path, ["commit", "-q", "-m", name]);
  await git(path, ["switch", "-q", "main"]);
  return parseObjectId(await git(path, ["rev-parse", branch]));
}

const ours = parseRefName("refs/heads/ours");
const theirs = parseRefName("refs/heads/theirs");

Deno.test("isomorphic-git's merge through the facade is git's merge, and nothing is written", async () => {
  await inRepository(async (scene) => {
    const { path, objects } = scene;
    const tips = [
      [ours, await commitFile(path, "ours", "mine")],
      [theirs, await commitFile(path, "theirs", "yours")],
    ] as const;
    for (const place of ["loose", "packed"]) {
      if (place === "packed") await git(path, ["gc", "-q", "--prune=now"]);
      const before = await git(path, ["count-objects", "-v"]);
      const refsBefore = await git(path, ["for-each-ref"]);
      const facade = facadeOf(scene, tips);
      const result = await isomorphic.merge({
        fs: facade.fs,
        gitdir,
        cache: {},
        ours: "ours",
        theirs: "theirs",
        author: { name: "Ann", email: "ann@example.org", timestamp: 1_700_000_000 },
      });
      assertEquals(await git(path, ["count-objects", "-v"]), before, place);
      assertEquals(await git(path, ["for-each-ref"]), refsBefore, place);
      const merged = parseObjectId(result.oid ?? "");
      assertEquals([...facade.refs], [["refs/heads/ours", merged]]);
      const expected = await git(path, ["merge-tree", "--write-tree", "ours", "theirs"]);
      assertEquals(result.tree, expected);
    }
    const facade = facadeOf(scene, tips);
    const { oid } = await isomorphic.merge({
      fs: facade.fs,
      gitdir,
      cache: {},
      ours: "ours",
      theirs: "theirs",
      author: { name: "Ann", email: "ann@example.org" },
    });
    const written = await objects.write(facade.objects);
    objects.place([{ holder: "merge", written }]);
    await git(path, ["update-ref", "refs/heads/ours", oid ?? ""]);
    await assertFsckClean(path);
  });
});

Deno.test("RepositoryFacade shows staged objects before the repository's", async () => {
  await inRepository(async (scene) => {
    const body = new TextEncoder().encode("only staged");
    const oid = objectId("blob", body);
    const file = `${scene.path}/spooled`;
    await Deno.writeFile(file, body);
    for (
      const staged of [
        { oid, type: "blob", body } as const,
        { oid, type: "blob", file, size: body.length } as const,
      ]
    ) {
      const { fs } = facadeOf(scene, [], [staged]);
      const { blob } = await isomorphic.readBlob({ fs, gitdir, oid });
      assertEquals(new Uint8Array(blob), body);
    }
    const { fs } = facadeOf(scene, []);
    const error = await assertRejects(() => isomorphic.readBlob({ fs, gitdir, oid }));
    assertEquals("code" in error && error.code, "NotFoundError");
  });
});

Deno.test("RepositoryFacade captures what is written under refs/ and as objects, and no more", async () => {
  await inRepository(async (scene) => {
    const tip = parseObjectId(await git(scene.path, ["rev-parse", "HEAD"]));
    const facade = facadeOf(scene, [[ours, tip]]);
    const { fs } = facade;
    assertEquals(await isomorphic.listBranches({ fs, gitdir }), ["ours"]);
    const oid = await isomorphic.writeBlob({ fs, gitdir, blob: new Uint8Array([1, 2, 3]) });
    assertEquals(facade.objects.map((object) => object.oid as string), [oid]);
    await isomorphic.writeRef({ fs, gitdir, ref: "refs/tags/new", value: tip });
    await isomorphic.deleteRef({ fs, gitdir, ref: "refs/heads/ours" });
    assertEquals([...facade.refs], [["refs/tags/new", tip], ["refs/heads/ours", null]]);
    assertEquals(await isomorphic.listBranches({ fs, gitdir }), []);
    await assertRejects(() =>
      isomorphic.writeRef({ fs, gitdir, ref: "HEAD", value: "refs/heads/x", symbolic: true })
    );
    await assertRejects(() =>
      isomorphic.setConfig({ fs, gitdir, path: "user.name", value: "Mallory" })
    );
    assertEquals(await git(scene.path, ["rev-parse", "HEAD"]), tip);
    assertEquals(await git(scene.path, ["tag"]), "");
  });
});
