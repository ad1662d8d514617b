import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { LayerdError } from "../../src/core/errors.ts";
import { parseObjectId, parseRefName, type RefName } from "../../src/core/ids.ts";
import { type PackedEntry, PackedRefs } from "../../src/git/packed_refs.ts";
import { compareRefNames } from "../../src/git/ref_names.ts";
import { RefsScene } from "./refs_scene.ts";

const A = parseObjectId("a".repeat(40));
const B = parseObjectId("b".repeat(40));
const HEADER = "# pack-refs with: peeled fully-peeled sorted \n";

function parse(text: string): PackedRefs {
  return PackedRefs.parse(new TextEncoder().encode(text), "packed-refs");
}

function textOf(packed: PackedRefs): string {
  return new TextDecoder().decode(packed.bytes);
}

function changes(
  ...edits: readonly (readonly [string, PackedEntry | null])[]
): Map<RefName, PackedEntry | null> {
  return new Map(edits.map(([name, entry]) => [parseRefName(name), entry]));
}

Deno.test("PackedRefs.get() finds each ref, its peeled value, and nothing between", () => {
  const packed = parse(
    `${HEADER}${A} refs/heads/a\n${B} refs/tags/v1\n^${A}\n${A} refs/tags/v2\n`,
  );
  assertEquals(packed.get("refs/heads/a"), { oid: A, peeled: null });
  assertEquals(packed.get("refs/tags/v1"), { oid: B, peeled: A });
  assertEquals(packed.get("refs/tags/v2"), { oid: A, peeled: null });
  for (const name of ["refs/heads/", "refs/heads/aa", "refs/tags/v", "refs/tags/v3", "refs/a"]) {
    assertEquals(packed.get(name), null);
    assertEquals(packed.has(name), false);
  }
});

Deno.test("PackedRefs.rewrite() keeps every other byte, peeled lines and traits", () => {
  const packed = parse(
    `# pack-refs with: peeled odd sorted    \n${A} refs/heads/a\n${B} refs/tags/v1\n^${A}\n`,
  );
  const next = packed.rewrite(
    changes(["refs/layers/x", { oid: A, peeled: null }], ["refs/tags/v2", { oid: B, peeled: A }]),
    () => 3,
  );
  assertEquals(
    textOf(next),
    `# pack-refs with: peeled odd sorted    \n${A} refs/heads/a\n${A} refs/layers/x\n` +
      `${B} refs/tags/v1\n^${A}\n${B} refs/tags/v2\n^${A}\n`,
  );
});

Deno.test("PackedRefs.rewrite() removes a ref with its peeled line, down to an empty file", () => {
  const packed = parse(`${HEADER}${B} refs/tags/v1\n^${A}\n${A} refs/tags/v2\n`);
  const less = packed.rewrite(changes(["refs/tags/v1", null]), () => 0);
  assertEquals(textOf(less), `${HEADER}${A} refs/tags/v2\n`);
  const none = less.rewrite(changes(["refs/tags/v2", null], ["refs/tags/v9", null]), () => 0);
  assertEquals(textOf(none), HEADER);
});

Deno.test("PackedRefs.rewrite() gives a file without header no claim but its order", () => {
  const packed = parse(`${B} refs/heads/b\n${A} refs/heads/a\n`);
  assertEquals([...packed.entries("refs/")].map(([name]) => name), [
    "refs/heads/a",
    "refs/heads/b",
  ]);
  assertEquals(
    textOf(packed.rewrite(new Map(), () => 0)),
    `# pack-refs with: sorted \n${A} refs/heads/a\n${B} refs/heads/b\n`,
  );
});

Deno.test("PackedRefs.parse() sorts a file that lies about its order, tags with their peels", () => {
  const packed = parse(`${HEADER}${B} refs/tags/v1\n^${A}\n${A} refs/heads/a\n`);
  assertEquals(packed.get("refs/tags/v1"), { oid: B, peeled: A });
  assertEquals(textOf(packed), `${HEADER}${A} refs/heads/a\n${B} refs/tags/v1\n^${A}\n`);
});

Deno.test("PackedRefs.parse() refuses what git would not have written, naming the file", () => {
  for (
    const text of [
      `${HEADER}${A} refs/heads/a`,
      `${HEADER}${A}\n`,
      `${HEADER}${A} \n`,
      `${HEADER}zz refs/heads/a\n`,
      `${HEADER}^${A}\n`,
      `${HEADER}${A} refs/heads/a\n^${A}x\n`,
      `${HEADER}${A} refs/heads/a\n${B} refs/heads/a\n`,
      `${HEADER}${A} refs/heads/a\n${A} refs/heads/b\n${B} refs/heads/a\n`,
      `# something else\n`,
      "\0".repeat(300),
    ]
  ) {
    assertThrows(() => parse(text), LayerdError, "packed-refs is damaged");
  }
});

Deno.test("PackedRefs.entries() leaves out names that are not UTF-8 or not valid, and keeps them", () => {
  const bytes = new TextEncoder().encode(
    `${HEADER}${A} refs/heads/a?\n${A} refs/heads/b..c\n${A} refs/heads/c\n`,
  );
  bytes[bytes.indexOf("?".charCodeAt(0))] = 0xe9;
  const packed = PackedRefs.parse(bytes, "packed-refs");
  // The byte 0xe9 sorts behind every ASCII name, so the file was not in order.
  assertEquals([...packed.entries("refs/heads/")].map(([name]) => name), ["refs/heads/c"]);
  const next = packed.rewrite(changes(["refs/heads/c", null]), () => 0);
  assertEquals(next.bytes.includes(0xe9), true);
});

Deno.test("compareRefNames() orders names as git does, beyond the basic plane too", async () => {
  const names = ["z", "\u{1f600}", "\ufb01", "\u{10000}", "e", "\u00e9", "a-b", "a.b", "ab"]
    .map((name) => parseRefName(`refs/heads/x/${name}`));
  await RefsScene.run(async (scene) => {
    for (const name of names) await scene.git("update-ref", name, scene.commit(0));
    const native = Object.keys(await scene.nativeRefs("refs/heads/x/"));
    assertEquals([...names].sort(compareRefNames), native);
    await scene.git("pack-refs", "--all");
    const packed = PackedRefs.parse(await Deno.readFile(scene.path("packed-refs")), "packed-refs");
    assertEquals([...packed.entries("refs/heads/x/")].map(([name]) => name as string), native);
    for (const name of names) assert(packed.has(name), `${name} is found`);
  });
});

Deno.test("PackedRefs.rewrite() agrees with a map for any edits", () => {
  const name = fc.stringMatching(/^[a-c/]{1,6}$/).filter((text) => !/^\/|\/\/|\/$/.test(text))
    .map((text) => parseRefName(`refs/heads/${text}`));
  const entry = fc.constantFrom({ oid: A, peeled: null }, { oid: B, peeled: A });
  const edit = fc.tuple(name, fc.option(entry));
  fc.assert(fc.property(fc.array(fc.array(edit, { maxLength: 8 }), { maxLength: 6 }), (rounds) => {
    let packed = PackedRefs.EMPTY;
    const model = new Map<RefName, PackedEntry>();
    for (const edits of rounds) {
      packed = packed.rewrite(new Map(edits), (size) => size % 7);
      for (const [ref, value] of new Map(edits)) {
        if (value === null) model.delete(ref);
        else model.set(ref, value);
      }
      const read = PackedRefs.parse(packed.bytes, "packed-refs");
      const expected = [...model.keys()].sort(compareRefNames);
      assertEquals([...read.entries("refs/heads/")].map(([ref]) => ref), expected);
      for (const [ref, value] of model) assertEquals(read.get(ref), value);
    }
  }));
});
