/** Folds of kept packs beside what else goes on: a checkpoint, borrowers, linked work trees. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { objectId } from "../../src/git/object_codec.ts";
import type { RepositoryObjects } from "../../src/git/object_store.ts";
import type { NewObject } from "../../src/git/repository.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import { FileSystemError } from "../../src/system/file_system.ts";
import { git } from "../harness/git.ts";
import { assertFsckClean, makeRepository } from "../harness/repositories.ts";
import { inScene, withObjects } from "./repository_scene.ts";

/** As many packs of one generation as are folded into one. */
const PACKS_PER_FOLD = 16;

function blob(text: string): NewObject & { readonly body: Uint8Array } {
  const body = new TextEncoder().encode(text);
  return { oid: objectId("blob", body), type: "blob", body };
}

/** One kept pack each, of transactions that are over. */
async function placeEach(objects: RepositoryObjects, texts: readonly string[]): Promise<void> {
  for (const text of texts) {
    objects.place([{ holder: text, written: await objects.write([blob(text)]) }]);
    objects.release(text);
  }
}

function texts(prefix: string): string[] {
  return Array.from({ length: PACKS_PER_FOLD }, (_, n) => `${prefix} ${n}`);
}

async function assertReadable(objects: RepositoryObjects, all: readonly string[]): Promise<void> {
  for (const text of all) {
    const object = await objects.read(blob(text).oid);
    assertEquals(object && new TextDecoder().decode(object.body), text);
  }
}

/** As native git finds them. */
async function assertNative(path: string, all: readonly string[]): Promise<void> {
  const input = all.map((text) => blob(text).oid).join("\n");
  const found = await git(path, ["cat-file", "--batch-check=%(objecttype)"], { input });
  assertEquals(found.split("\n"), all.map(() => "blob"));
}

function keptPacks(path: string): number {
  const names = [...Deno.readDirSync(`${path}/objects/pack`)].map(({ name }) => name);
  return names.filter((name) => name.endsWith(".keep")).length;
}

Deno.test("RepositoryObjects.tidyPacks() folds nothing beside a checkpoint, and folds after it", () =>
  inScene(async (directory) => {
    const path = await makeRepository(`${directory}/app`);
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    const held = new (class extends DenoFileSystem {
      override async syncFile(file: string): Promise<void> {
        if (file.includes("/objects/pack/")) {
          reached.resolve();
          await gate.promise;
        }
        await super.syncFile(file);
      }
    })();
    await withObjects(path, async (layout, objects) => {
      const [before, beside] = [texts("before"), texts("beside")];
      await placeEach(objects, before);
      const checkpoint = objects.makeDurable();
      await reached.promise;
      await placeEach(objects, beside);
      const standing = keptPacks(layout.commonDir);
      objects.tidyPacks();
      assertEquals(keptPacks(layout.commonDir), standing, "what the checkpoint listed is there");
      await assertNative(path, [...before, ...beside]);
      gate.resolve();
      const durable = await checkpoint;
      assert(before.every((text) => durable.objects.has(blob(text).oid)));
      assertEquals(keptPacks(layout.commonDir), PACKS_PER_FOLD, "only what it did not list");
      objects.tidyPacks();
      assertEquals(keptPacks(layout.commonDir), 1);
      await assertReadable(objects, [...before, ...beside]);
      await assertNative(path, [...before, ...beside]);
      await objects.makeDurable();
      await assertFsckClean(path);
    }, held);
  }));

Deno.test("a repository that borrows objects reads on while the lender folds and gives them away", () =>
  inScene(async (directory) => {
    const lender = await makeRepository(`${directory}/lender`);
    await git(directory, ["clone", "-q", "--shared", "lender", "borrower"]);
    await withObjects(
      lender,
      (_, lent) =>
        withObjects(`${directory}/borrower`, async (_, objects) => {
          const [one, two] = [texts("one"), texts("two")];
          await placeEach(lent, one);
          await assertReadable(objects, one);
          lent.tidyPacks();
          await assertReadable(objects, one);
          await assertNative(`${directory}/borrower`, one);
          await placeEach(lent, two);
          await assertReadable(objects, two);
          await lent.makeDurable();
          await assertReadable(objects, [...one, ...two]);
          await assertNative(`${directory}/borrower`, [...one, ...two]);
          await git(lender, ["repack", "-adkq"]);
          await assertReadable(objects, [...one, ...two]);
        }),
    );
  }));

Deno.test("folds through a linked work tree are those of the repository, for every work tree", () =>
  inScene(async (directory) => {
    const main = await makeRepository(`${directory}/main`);
    await git(main, ["worktree", "add", "-q", "--detach", `${directory}/linked`]);
    await withObjects(`${directory}/linked`, async (layout, objects) => {
      assertEquals(layout.commonDir, `${main}/.git`);
      const all = texts("text");
      await placeEach(objects, all);
      objects.tidyPacks();
      assertEquals(keptPacks(layout.commonDir), 1);
      for (const path of [main, `${directory}/linked`]) await assertNative(path, all);
      // Nothing reaches them: only the kept pack holds them against a gc of the other tree.
      await git(`${directory}/linked`, ["gc", "-q", "--prune=now"]);
      await assertNative(main, all);
      await objects.makeDurable();
      await assertReadable(objects, all);
      for (const path of [main, `${directory}/linked`]) await assertNative(path, all);
      await assertFsckClean(main);
    });
  }));

Deno.test("RepositoryObjects.place() makes the directory of packs again, and what a killed one leaves is git's to clean", () =>
  inScene(async (directory) => {
    const path = await makeRepository(`${directory}/app`);
    const killed = new (class extends DenoFileSystem {
      isKilled = false;
      override rename(from: string, to: string): void {
        if (this.isKilled && from.includes("/objects/pack/tmp_")) this.#die("rename", from);
        super.rename(from, to);
      }
      override unlink(name: string): void {
        if (this.isKilled) this.#die("unlink", name);
        super.unlink(name);
      }
      #die(call: string, name: string): never {
        throw new FileSystemError("EIO", call, name);
      }
    })();
    await withObjects(path, async (layout, objects) => {
      await Deno.remove(`${layout.objectsDir}/pack`, { recursive: true });
      await placeEach(objects, ["one"]);
      await assertNative(path, ["one"]);
      killed.isKilled = true;
      await assertRejects(() => placeEach(objects, ["two"]), FileSystemError);
      killed.isKilled = false;
      const temporaries = () =>
        [...Deno.readDirSync(`${layout.objectsDir}/pack`)].filter(({ name }) =>
          name.startsWith("tmp_")
        ).length;
      assertEquals(temporaries(), 1);
      await git(path, ["prune", "--expire=now"]);
      assertEquals(temporaries(), 0);
      await assertFsckClean(path);
    }, killed);
  }));
