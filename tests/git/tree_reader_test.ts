import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { LayerdError } from "../../src/core/errors.ts";
import { type ObjectId, parseObjectId } from "../../src/core/ids.ts";
import { EMPTY_TREE_ID, objectId } from "../../src/git/object_codec.ts";
import type { NewObject, ObjectStore, TreeChange } from "../../src/git/repository.ts";
import { CachedTreeReader } from "../../src/git/tree_reader.ts";
import { git } from "../harness/git.ts";
import { inRepository } from "./repository_scene.ts";

/** Objects in memory: what rewrite() made is read back from here. */
class MemoryObjects implements Pick<ObjectStore, "read"> {
  readonly made = new Map<ObjectId, NewObject>();
  reads = 0;

  add(objects: readonly NewObject[]): void {
    for (const object of objects) this.made.set(object.oid, object);
  }

  read(oid: ObjectId) {
    this.reads += 1;
    const object = this.made.get(oid);
    return Promise.resolve(
      object !== undefined && "body" in object ? { type: object.type, body: object.body } : null,
    );
  }
}

const oid = (digit: number) => parseObjectId((digit % 16).toString(16).repeat(40));
const file = (digit: number) => ({ mode: "100644" as const, oid: oid(digit) });

async function filesOf(trees: CachedTreeReader, root: ObjectId): Promise<[string, string][]> {
  const files: [string, string][] = [];
  for await (const entry of trees.files(root)) files.push([entry.path, entry.oid]);
  return files;
}

Deno.test("rewrite() makes the trees that git makes, and git reads them", async () => {
  await inRepository(async ({ path, objects }) => {
    const trees = new CachedTreeReader(objects);
    const head = parseObjectId(await git(path, ["rev-parse", "HEAD"]));
    const blob = parseObjectId(await git(path, ["rev-parse", "HEAD:readme"]));
    const paths = ["a/b/c", "a/b.c", "a.b", "a/b0/x", "ü/ä"];
    const entry = { mode: "100755" as const, oid: blob };
    const { root, objects: made } = await trees.rewrite(
      await trees.rootOf(head),
      new Map(paths.map((name) => [name, entry])),
    );
    await objects.write(made);
    for (const name of paths) {
      await git(path, ["update-index", "--add", "--cacheinfo", `100755,${blob},${name}`]);
    }
    assertEquals(root, parseObjectId(await git(path, ["write-tree"])));
    const listed = await git(path, ["ls-tree", "-r", "-z", "--name-only", root]);
    assertEquals((await filesOf(trees, root)).map(([name]) => `${name}\0`).join(""), listed);
    assertEquals(await trees.lookup(root, "a/b/c"), { mode: "100755", oid: blob });
    assertEquals((await trees.lookup(root, "a/b"))?.mode, "40000");
    assertEquals(await trees.lookup(root, "a/none/c"), null);
    assertEquals(await trees.lookup(root, "readme/below"), null);
    assertEquals([...(await trees.directory(root, "a"))?.keys() ?? []], ["b.c", "b", "b0"]);
    assertEquals(await trees.directory(root, "readme"), null);
  });
});

Deno.test("rewrite() in any steps holds what a map of paths holds, and diff() tells the steps apart", async () => {
  const path = fc.constantFrom("a", "b", "d/a", "d/b", "d/e/f", "d/e/g", "d.x/y", "z/z/z");
  const step = fc.uniqueArray(
    fc.record({ path, digit: fc.option(fc.integer({ min: 1, max: 4 })) }),
    { selector: (change) => change.path },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step), async (steps) => {
      const store = new MemoryObjects();
      const trees = new CachedTreeReader(store);
      const model = new Map<string, ObjectId>();
      let root: ObjectId | null = null;
      for (const changes of steps) {
        const before = new Map(model);
        const change: TreeChange = new Map(
          changes.map((one) => [one.path, one.digit === null ? null : file(one.digit)]),
        );
        for (const [name, entry] of change) {
          if (entry === null) model.delete(name);
          else model.set(name, entry.oid);
        }
        const previous: ObjectId | null = root;
        const rewritten = await trees.rewrite(previous, change);
        store.add(rewritten.objects);
        root = rewritten.root;
        const expected = [...new Set([...before.keys(), ...model.keys()])]
          .filter((name) => before.get(name) !== model.get(name)).sort();
        const differences = await new CachedTreeReader(store).diff(previous, root);
        assertEquals(differences.map((one) => one.path), expected);
        for (const { path: name, before: was, after: is } of differences) {
          assertEquals([was?.oid, is?.oid], [before.get(name), model.get(name)]);
        }
        assertEquals(
          await filesOf(new CachedTreeReader(store), root),
          [...model].sort(([a], [b]) => (a < b ? -1 : 1)),
        );
      }
    }),
    { numRuns: 100 },
  );
});

Deno.test("rewrite() leaves submodules and odd modes alone and reads only changed directories", async () => {
  const store = new MemoryObjects();
  const trees = new CachedTreeReader(store);
  const first = await trees.rewrite(null, new Map([["deep/x", file(1)], ["other/y", file(2)]]));
  store.add(first.objects);
  const tree = store.made.get(first.root);
  assert(tree !== undefined && "body" in tree);
  const submodule = [...new TextEncoder().encode("160000 sub\0"), ...Array(20).fill(9)];
  const body = new Uint8Array([...tree.body, ...submodule]);
  const root = objectId("tree", body);
  store.add([{ oid: root, type: "tree", body }]);
  const fresh = new CachedTreeReader(store);
  store.reads = 0;
  const after = await fresh.rewrite(root, new Map([["deep/x", file(3)]]));
  assertEquals(store.reads, 2);
  assertEquals(after.objects.length, 2);
  assertEquals((await fresh.lookup(after.root, "sub"))?.mode, "160000");
  assertEquals(await fresh.diff(root, after.root), [
    { path: "deep/x", before: file(1), after: file(3) },
  ]);
});

Deno.test("rewrite() of the last file ends in the empty tree, which is among the objects", async () => {
  const store = new MemoryObjects();
  const trees = new CachedTreeReader(store);
  const { root, objects } = await trees.rewrite(null, new Map([["a/b/c", file(1)]]));
  store.add(objects);
  const emptied = await trees.rewrite(root, new Map([["a/b/c", null]]));
  assertEquals([emptied.root, emptied.objects.length], [EMPTY_TREE_ID, 1]);
  assertEquals(await trees.rewrite(root, new Map([["a/none", null]])), { root, objects: [] });
  assertEquals((await trees.rewrite(null, new Map())).root, EMPTY_TREE_ID);
});

Deno.test("a tree reader forgets tiny trees by what they take, not by the length of their bytes", async () => {
  const store = new MemoryObjects();
  const trees = new CachedTreeReader(store);
  const made = 40_000;
  const roots: ObjectId[] = [];
  for (let number = 0; number < made; number += 1) {
    const { root, objects } = await trees.rewrite(null, new Map([[`f${number}`, file(1)]]));
    store.add(objects);
    roots.push(root);
  }
  store.reads = 0;
  // The youngest first: from the oldest on, each miss would push out what is looked at next.
  for (const root of roots.reverse()) await trees.lookup(root, "none");
  const kept = made - store.reads;
  assert(kept > 10_000 && kept < 30_000, `${kept} of ${made} trees were kept`);
});

Deno.test("rewrite() refuses a path that is a file and a directory", async () => {
  const store = new MemoryObjects();
  const trees = new CachedTreeReader(store);
  const { root, objects } = await trees.rewrite(null, new Map([["a", file(1)], ["d/x", file(1)]]));
  store.add(objects);
  const conflicts: [string, ReturnType<typeof file> | null][][] = [
    [["a/b", file(2)]],
    [["d", file(2)]],
    [["n", file(1)], ["n/m", file(2)]],
  ];
  for (const changes of conflicts) {
    const error = await assertRejects(() => trees.rewrite(root, new Map(changes)), LayerdError);
    assertEquals(error.code, "name_conflict");
  }
  const replaced = await trees.rewrite(
    root,
    new Map([["a", null], ["a/b", file(2)], ["d/x", null], ["d", file(3)]]),
  );
  assertEquals(await filesOf(trees, replaced.root), [["a/b", oid(2)], ["d", oid(3)]]);
});

Deno.test("rootOf() and lookup() name what is missing or no tree", async () => {
  const trees = new CachedTreeReader(new MemoryObjects());
  await assertRejects(() => trees.rootOf(oid(1)), LayerdError, `Commit ${oid(1)} is missing`);
  await assertRejects(() => trees.lookup(oid(1), "a"), LayerdError, `Tree ${oid(1)} is missing`);
});
