import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { LayerdError } from "../../src/core/errors.ts";
import { parseObjectId } from "../../src/core/ids.ts";
import { EMPTY_TREE_ID, objectId } from "../../src/git/object_codec.ts";
import { ParsedTree, type TreeSplice } from "../../src/git/parsed_tree.ts";
import { git } from "../harness/git.ts";
import { inScene } from "./repository_scene.ts";

function oidOf(digit: number): ReturnType<typeof parseObjectId> {
  return parseObjectId((digit % 16).toString(16).repeat(40));
}

function put(name: string, mode: string, digit = 1): TreeSplice {
  return { name, entry: { mode, oid: oidOf(digit) } };
}

/** What git mktree makes of the same entries. */
async function mktree(directory: string, entries: ReadonlyMap<string, TreeSplice>) {
  const lines = [...entries.values()].flatMap(({ name, entry }) => {
    if (entry === null) return [];
    const type = entry.mode === "40000" ? "tree" : entry.mode === "160000" ? "commit" : "blob";
    return [`${entry.mode.padStart(6, "0")} ${type} ${entry.oid}\t${name}`];
  });
  return await git(directory, ["mktree", "--missing"], {
    input: lines.map((line) => line + "\n").join(""),
  });
}

Deno.test("ParsedTree.spliced() makes the tree that git mktree makes, in git's order", async () => {
  await inScene(async (directory) => {
    await git(directory, ["init", "-q"]);
    const splices = [
      put("a", "40000"),
      put("a.b", "100644"),
      put("a0", "100755"),
      put("a-", "120000"),
      put("z", "160000"),
      put("ä", "100644"),
      put("\u{1f600}", "100644"),
      put("\uffee", "100644"),
    ];
    const tree = ParsedTree.empty.spliced(splices);
    const expected = await mktree(directory, new Map(splices.map((one) => [one.name, one])));
    assertEquals(objectId("tree", tree.body), parseObjectId(expected));
  });
});

Deno.test("ParsedTree.spliced() in any steps ends where one step ends", () => {
  const name = fc.constantFrom("a", "a.b", "a-b", "a0", "ab", "b", "b.", "ä", "A");
  const splice = fc.record({
    name,
    entry: fc.option(
      fc.record({
        mode: fc.constantFrom("100644", "100755", "40000", "160000"),
        oid: fc.integer({ min: 1, max: 5 }).map(oidOf),
      }, { noNullPrototype: true }),
      { nil: null },
    ),
  });
  fc.assert(
    fc.property(fc.array(fc.uniqueArray(splice, { selector: (one) => one.name })), (steps) => {
      const model = new Map<string, TreeSplice>();
      let tree = ParsedTree.empty;
      for (const step of steps) {
        tree = tree.spliced(step);
        for (const one of step) {
          if (one.entry === null) model.delete(one.name);
          else model.set(one.name, one);
        }
        const parsed = ParsedTree.parse(tree.body, EMPTY_TREE_ID);
        assertEquals(parsed.byteLength, tree.byteLength);
        assertEquals(tree.count, model.size);
        for (const one of model.values()) assertEquals(tree.find(one.name), one.entry);
      }
      const once = ParsedTree.empty.spliced([...model.values()]);
      assertEquals(once.body, tree.body);
    }),
    { numRuns: 300 },
  );
});

Deno.test("ParsedTree keeps entries that we would never write, byte for byte", () => {
  const odd = (mode: string, name: readonly number[]) => [
    ...new TextEncoder().encode(`${mode} `),
    ...name,
    0,
    ...Array(20).fill(7),
  ];
  // Group-writable as in old repositories, a directory with a leading zero, Latin-1.
  const body = Uint8Array.from([
    ...odd("100664", [0x62]),
    ...odd("040000", [0x63]),
    ...odd("100644", [0xfc]),
  ]);
  const tree = ParsedTree.parse(body, EMPTY_TREE_ID);
  const back = tree.spliced([put("a", "100644"), put("z", "100644")])
    .spliced([{ name: "a", entry: null }, { name: "z", entry: null }]);
  assertEquals(back.body, body);
  assertEquals(tree.find("c")?.mode, "040000");
});

Deno.test("ParsedTree.find() finds entries of a tree that is out of order", () => {
  const sorted = ParsedTree.empty.spliced([put("a", "100644", 1), put("b", "100644", 2)]);
  const half = sorted.body.length / 2;
  const body = new Uint8Array([...sorted.body.subarray(half), ...sorted.body.subarray(0, half)]);
  const tree = ParsedTree.parse(body, EMPTY_TREE_ID);
  assertEquals(tree.find("a")?.oid, oidOf(1));
  assertEquals(tree.find("b")?.oid, oidOf(2));
  assertEquals(tree.find("c"), null);
});

Deno.test("ParsedTree.parse() refuses bytes that are no tree", () => {
  const { body } = ParsedTree.empty.spliced([put("a", "100644")]);
  for (const bytes of [body.subarray(0, 5), body.subarray(0, body.length - 1)]) {
    assertThrows(() => ParsedTree.parse(bytes, EMPTY_TREE_ID), LayerdError, "is damaged");
  }
});

Deno.test("ParsedTree.spliced() answers itself where nothing changes", () => {
  const tree = ParsedTree.empty.spliced([put("a", "100644")]);
  assert(tree.spliced([put("a", "100644"), { name: "none", entry: null }]) === tree);
});
