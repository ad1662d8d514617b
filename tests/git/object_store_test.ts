import { assert, assertEquals, assertRejects } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { type ObjectId, parseObjectId } from "../../src/core/ids.ts";
import type { WrittenObjects } from "../../src/core/log_record.ts";
import type { RepositoryLayout } from "../../src/git/gate.ts";
import { loosePath } from "../../src/git/loose_objects.ts";
import { objectId } from "../../src/git/object_codec.ts";
import type { RepositoryObjects } from "../../src/git/object_store.ts";
import type { NewObject } from "../../src/git/repository.ts";
import { git } from "../harness/git.ts";
import { assertFsckClean, makeRepository } from "../harness/repositories.ts";
import { inRepository, inScene, withObjects } from "./repository_scene.ts";

function blob(text: string): NewObject & { readonly body: Uint8Array } {
  const body = new TextEncoder().encode(text);
  return { oid: objectId("blob", body), type: "blob", body };
}

async function idOf(path: string, revision: string): Promise<ObjectId> {
  return parseObjectId(await git(path, ["rev-parse", revision]));
}

/** More objects than stand in a record. */
function many(): NewObject[] {
  return Array.from({ length: 300 }, (_, n) => blob(`many ${n}`));
}

function packsOf(layout: RepositoryLayout): string[] {
  const { objectsDir } = layout;
  return names(`${objectsDir}/pack`).filter((name) => name.endsWith(".idx"))
    .map((name) => `${objectsDir}/pack/${name}`);
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

/** Writes and places objects for a transaction; answers what its record would hold. */
async function place(
  objects: RepositoryObjects,
  holder: string,
  ...all: NewObject[]
): Promise<WrittenObjects> {
  const written = await objects.write(all);
  objects.place([{ holder, written }]);
  return written;
}

function keeps(layout: RepositoryLayout): string[] {
  return names(`${layout.objectsDir}/pack`).filter((name) => name.endsWith(".keep"));
}

Deno.test("RepositoryObjects.place() makes one kept pack of what a group wrote", async () => {
  await inRepository(async ({ path, layout, objects }) => {
    const [one, two, three] = [blob("one"), blob("two"), blob("three")];
    const first = await objects.write([one, one, two]);
    const second = await objects.write([two, three]);
    objects.place([{ holder: "A", written: first }, { holder: "B", written: second }]);
    assertEquals(names(`${layout.objectsDir}/pack`).map((name) => name.replace(/.*\./, "")), [
      "idx",
      "keep",
      "pack",
    ]);
    for (const { oid, body } of [one, two, three]) {
      assertEquals((await objects.read(oid))?.body, body);
      assertEquals(await objects.header(oid), { type: "blob", size: body.length });
      assertEquals(await git(path, ["cat-file", "blob", oid]), new TextDecoder().decode(body));
    }
    await assertFsckClean(path);
    await git(path, ["verify-pack", ...packsOf(layout)]);
  });
});

Deno.test("RepositoryObjects.place() stands in for an object that git left torn", async () => {
  await inRepository(async ({ path, layout, objects }) => {
    const one = blob("one");
    await git(path, ["hash-object", "-w", "--stdin"], { input: one.body });
    const loose = loosePath(layout.objectsDir, one.oid);
    await Deno.chmod(loose, 0o644);
    await Deno.writeFile(loose, new Uint8Array(0));
    await place(objects, "A", one);
    assertEquals(await git(path, ["cat-file", "blob", one.oid]), "one");
    assertEquals((await objects.read(one.oid))?.body, one.body);
  });
});

Deno.test("RepositoryObjects.write() refuses bytes that are not the object", async () => {
  await inRepository(async ({ objects }) => {
    const wrong = { ...blob("one"), oid: parseObjectId("1".repeat(40)) };
    await assertRejects(() => objects.write([wrong]), LayerdError, "hash");
  });
});

Deno.test("RepositoryObjects.write() writes many objects as one pack that git leaves alone", async () => {
  await inRepository(async ({ path, layout, objects }) => {
    const written = await objects.write(many());
    assert(written.kind === "pack");
    assertEquals(names(`${layout.commonDir}/layerd/pending`), [
      `${written.name}.idx`,
      `${written.name}.pack`,
    ]);
    assertEquals(keeps(layout), [`${written.name}.keep`]);
    await assertFsckClean(path);
    objects.place([{ holder: "A", written }]);
    // No ref reaches the objects.
    await git(path, ["gc", "-q", "--prune=now"]);
    const last = blob("many 299");
    assertEquals((await objects.read(last.oid))?.type, "blob");
    for (const suffix of ["idx", "pack"]) {
      await Deno.remove(`${layout.objectsDir}/pack/${written.name}.${suffix}`);
    }
    objects.restoreMissing([written]);
    assertEquals((await objects.read(last.oid))?.type, "blob");
    await objects.makeDurable();
    assertEquals(keeps(layout), [`${written.name}.keep`], "its transaction is not over");
    objects.release("A");
    await objects.makeDurable();
    assertEquals(keeps(layout), []);
    assertEquals(names(`${layout.commonDir}/layerd/pending`), []);
    assertEquals((await objects.read(last.oid))?.type, "blob");
  });
});

Deno.test("RepositoryObjects.discard() gives up what kept a pack that nobody decided on", async () => {
  await inRepository(async ({ layout, objects }) => {
    objects.discard(await objects.write(many()));
    assertEquals(names(`${layout.commonDir}/layerd/pending`), []);
    assertEquals(keeps(layout), []);
  });
});

Deno.test("RepositoryObjects.restoreMissing() writes again what somebody removed", async () => {
  await inRepository(async ({ path, layout, objects }) => {
    const one = blob("one");
    const written = await place(objects, "A", one);
    for (const name of names(`${layout.objectsDir}/pack`)) {
      await Deno.remove(`${layout.objectsDir}/pack/${name}`);
    }
    assertEquals(await objects.read(one.oid), null);
    objects.restoreMissing([written]);
    assertEquals((await objects.read(one.oid))?.body, one.body);
    await git(path, ["gc", "-q", "--prune=now"]);
    assertEquals(await git(path, ["cat-file", "blob", one.oid]), "one");
  });
});

Deno.test("RepositoryObjects gives everything to git when its repository is left, beside a gc too", async () => {
  await inRepository(async ({ path, layout, objects }) => {
    await place(objects, "A", blob("one"));
    await Deno.writeTextFile(`${path}/.git/gc.pid`, "1 host");
    // A checkpoint under way and the removal must not take packs from each other.
    const checkpoint = objects.makeDurable();
    objects.tidyPacks();
    await Promise.all([checkpoint, objects.surrender()]);
    assertEquals(keeps(layout), []);
    assertEquals(packsOf(layout).length, 1);
    assertEquals(await git(path, ["cat-file", "blob", blob("one").oid]), "one");
  });
});
