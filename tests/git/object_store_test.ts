import { assert, assertEquals, assertRejects } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { type ObjectId, parseObjectId } from "../../src/core/ids.ts";
import { loosePath } from "../../src/git/loose_objects.ts";
import { objectId } from "../../src/git/object_codec.ts";
import type { NewObject } from "../../src/git/repository.ts";
import { git } from "../harness/git.ts";
import { assertFsckClean, makeRepository } from "../harness/repositories.ts";
import { fileSystem, inRepository, inScene, withObjects } from "./repository_scene.ts";

function blob(text: string): NewObject & { readonly body: Uint8Array } {
  const body = new TextEncoder().encode(text);
  return { oid: objectId("blob", body), type: "blob", body };
}

async function idOf(path: string, revision: string): Promise<ObjectId> {
  return parseObjectId(await git(path, ["rev-parse", revision]));
}

/** More objects than go loose. */
function many(): NewObject[] {
  return Array.from({ length: 300 }, (_, n) => blob(`many ${n}`));
}

function names(directory: string): string[] {
  return [...Deno.readDirSync(directory)].map((entry) => entry.name).sort();
}

Deno.test("RepositoryObjects.read() reads loose and packed objects of every type", async () => {
  await inRepository(async ({ path, objects }) => {
    await git(path, ["tag", "-a", "-m", "annotated", "v1"]);
    const wanted = ["v1", "HEAD", "HEAD^{tree}", "HEAD:readme"];
    const ids = await Promise.all(wanted.map((revision) => idOf(path, revision)));
    for (const place of ["loose", "packed"]) {
      if (place === "packed") await git(path, ["gc", "-q", "--prune=now"]);
      const types = [];
      for (const oid of ids) {
        const object = await objects.read(oid);
        assert(object !== null);
        assertEquals(objectId(object.type, object.body), oid);
        assertEquals(await objects.header(oid), { type: object.type, size: object.body.length });
        types.push(object.type);
      }
      assertEquals(types, ["tag", "commit", "tree", "blob"], place);
    }
    assertEquals(await objects.read(parseObjectId("1".repeat(40))), null);
    assertEquals(await objects.header(parseObjectId("1".repeat(40))), null);
  });
});

Deno.test("RepositoryObjects.read() looks into alternates, loose and packed", async () => {
  await inScene(async (directory) => {
    const origin = await makeRepository(`${directory}/origin`);
    await git(directory, ["clone", "-q", "--shared", "origin", "clone"]);
    const oid = await idOf(origin, "HEAD");
    await withObjects(`${directory}/clone`, async (_, objects) => {
      assertEquals((await objects.read(oid))?.type, "commit");
      await git(origin, ["gc", "-q"]);
      assertEquals((await objects.read(oid))?.type, "commit");
    });
  });
});

Deno.test("RepositoryObjects.read() finds an object while git repack moves it", async () => {
  await inRepository(async ({ path, objects }) => {
    const oid = await idOf(path, "HEAD");
    for (let round = 0; round < 4; round += 1) {
      await git(path, ["commit", "-q", "--allow-empty", "-m", `round ${round}`]);
      await git(path, ["repack", "-adfq"]);
      assertEquals((await objects.read(oid))?.type, "commit");
      assertEquals((await objects.read(await idOf(path, "HEAD")))?.type, "commit");
    }
  });
});

Deno.test("RepositoryObjects.read() says where a damaged object is, unless a pack has it", async () => {
  await inRepository(async ({ path, layout, objects }) => {
    const oid = await idOf(path, "HEAD:readme");
    const loose = loosePath(layout.objectsDir, oid);
    const whole = await Deno.readFile(loose);
    await Deno.chmod(loose, 0o644);
    await Deno.writeFile(loose, whole.subarray(0, 4));
    const error = await assertRejects(() => objects.read(oid), LayerdError, loose);
    assertEquals(error.code, "git_error");
    await Deno.writeFile(loose, whole);
    await git(path, ["repack", "-aq"]);
    await Deno.writeFile(loose, new Uint8Array(0));
    assertEquals((await objects.read(oid))?.type, "blob");
  });
});

Deno.test("RepositoryObjects reads a repository with large packs through git cat-file", async () => {
  await inRepository(async ({ path, objects }) => {
    const noise = new Uint8Array(9 * 1024 * 1024);
    for (let at = 0; at < noise.length; at += 65_536) {
      crypto.getRandomValues(noise.subarray(at, at + 65_536));
    }
    await Deno.writeFile(`${path}/noise`, noise);
    await git(path, ["add", "noise"]);
    await git(path, ["commit", "-q", "-m", "large"]);
    await git(path, ["gc", "-q", "--prune=now"]);
    const ids = await Promise.all(
      ["HEAD", "HEAD:noise", "HEAD~1"].map((revision) => idOf(path, revision)),
    );
    const read = await Promise.all(ids.map((oid) => objects.read(oid)));
    assertEquals(read.map((object) => object?.type), ["commit", "blob", "commit"]);
    assertEquals(read[1]?.body.length, noise.length);
    assertEquals(await objects.header(await idOf(path, "HEAD:noise")), {
      type: "blob",
      size: noise.length,
    });
    assertEquals(await objects.read(parseObjectId("1".repeat(40))), null);
    const before = (await objects.read(await idOf(path, "HEAD")))?.type;
    await git(path, ["commit", "-q", "--allow-empty", "-m", "after"]);
    await git(path, ["repack", "-adq"]);
    assertEquals([before, (await objects.read(await idOf(path, "HEAD")))?.type], [
      "commit",
      "commit",
    ]);
  });
});

Deno.test("RepositoryObjects.write() writes few objects loose, each once", async () => {
  await inRepository(async ({ path, layout, objects }) => {
    const one = blob("one");
    const written = await objects.write([one, one, blob("two")]);
    assert(written.kind === "loose");
    assertEquals(written.files.length, 2);
    assertEquals(await git(path, ["cat-file", "blob", one.oid]), "one");
    const before = fileSystem.lstat(loosePath(layout.objectsDir, one.oid)).inode;
    const again = await objects.write([one]);
    assertEquals(again, { kind: "loose", files: written.files.slice(0, 1) });
    assertEquals(fileSystem.lstat(loosePath(layout.objectsDir, one.oid)).inode, before);
    await assertFsckClean(path);
  });
});

Deno.test("RepositoryObjects.write() replaces an object that git left torn", async () => {
  await inRepository(async ({ path, layout, objects }) => {
    const one = blob("one");
    await git(path, ["hash-object", "-w", "--stdin"], { input: one.body });
    const loose = loosePath(layout.objectsDir, one.oid);
    await Deno.chmod(loose, 0o644);
    await Deno.writeFile(loose, new Uint8Array(0));
    await objects.write([one]);
    assertEquals(await git(path, ["cat-file", "blob", one.oid]), "one");
  });
});

Deno.test("RepositoryObjects.write() refuses bytes that are not the object", async () => {
  await inRepository(async ({ objects }) => {
    const wrong = { ...blob("one"), oid: parseObjectId("1".repeat(40)) };
    await assertRejects(() => objects.write([wrong]), LayerdError, "hash");
  });
});

Deno.test("RepositoryObjects.write() writes many objects as one pack, kept by pending links", async () => {
  await inRepository(async ({ path, layout, objects }) => {
    const written = await objects.write(many());
    assert(written.kind === "pack");
    assertEquals(names(`${layout.commonDir}/layerd/pending`), [
      `${written.name}.idx`,
      `${written.name}.pack`,
    ]);
    await assertFsckClean(path);
    // No ref reaches the objects: git drops the pack.
    await git(path, ["repack", "-adq"]);
    const last = blob("many 299");
    assertEquals(await objects.read(last.oid), null);
    await objects.restoreMissing(written);
    assertEquals((await objects.read(last.oid))?.type, "blob");
    await objects.makeDurable([written]);
    assertEquals(names(`${layout.commonDir}/layerd/pending`), []);
    assertEquals((await objects.read(last.oid))?.type, "blob");
    await objects.restore(written);
  });
});

Deno.test("RepositoryObjects.discard() gives up the links of a pack that nobody decided on", async () => {
  await inRepository(async ({ layout, objects }) => {
    objects.discard(await objects.write(many()));
    assertEquals(names(`${layout.commonDir}/layerd/pending`), []);
  });
});

Deno.test("RepositoryObjects.restore() writes again what is missing or damaged", async () => {
  await inRepository(async ({ path, layout, objects }) => {
    const [missing, damaged, sound] = [blob("missing"), blob("damaged"), blob("sound")];
    const written = await objects.write([missing, damaged, sound]);
    await Deno.remove(loosePath(layout.objectsDir, missing.oid));
    await Deno.chmod(loosePath(layout.objectsDir, damaged.oid), 0o644);
    await Deno.writeFile(loosePath(layout.objectsDir, damaged.oid), new Uint8Array(3));
    const untouched = fileSystem.lstat(loosePath(layout.objectsDir, sound.oid)).inode;
    await objects.restore(written);
    await objects.restore(written);
    assertEquals(fileSystem.lstat(loosePath(layout.objectsDir, sound.oid)).inode, untouched);
    await assertFsckClean(path);
    for (const one of [missing, damaged]) {
      assertEquals((await objects.read(one.oid))?.body, one.body);
    }
  });
});

Deno.test("RepositoryObjects.restoreMissing() brings back what git gc --prune=now deleted", async () => {
  await inRepository(async ({ path, objects }) => {
    const one = blob("one");
    const written = await objects.write([one]);
    await git(path, ["gc", "-q", "--prune=now"]);
    assertEquals(await objects.read(one.oid), null);
    await objects.restoreMissing(written);
    assertEquals((await objects.read(one.oid))?.body, one.body);
  });
});

Deno.test("RepositoryObjects.makeDurable() looks into packs before it writes again", async () => {
  await inRepository(async ({ path, layout, objects }) => {
    const [packed, pruned] = [blob("packed"), blob("pruned")];
    const written = await objects.write([packed, pruned]);
    await git(path, ["tag", "keep", packed.oid]);
    await git(path, ["gc", "-q", "--prune=now"]);
    await objects.makeDurable([written]);
    assertEquals(fileSystem.lstatIfAny(loosePath(layout.objectsDir, packed.oid)), null);
    assertEquals((await objects.read(pruned.oid))?.body, pruned.body);
    const more = [];
    for (let n = 0; n < 80; n += 1) more.push(await objects.write([blob(`one of many ${n}`)]));
    await Deno.remove(loosePath(layout.objectsDir, blob("one of many 7").oid));
    await objects.makeDurable(more);
    assertEquals((await objects.read(blob("one of many 7").oid))?.type, "blob");
    await objects.syncAll();
  });
});
