import { assert, assertEquals } from "@std/assert";
import { mergeContent } from "../../src/structured/merge_content.ts";

const encoder = new TextEncoder();

/** The merged text, or the reason and keys of the conflict. */
function merged(path: string, base: string | null, ours: string, theirs: string): string {
  const outcome = mergeContent(path, {
    base: base === null ? null : encoder.encode(base),
    ours: encoder.encode(ours),
    theirs: encoder.encode(theirs),
  });
  if (outcome.kind === "conflict") return `! ${[outcome.reason, ...outcome.keys].join(" ")}`;
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(outcome.bytes);
}

const LINES = "1\n2\n3\n4\n5\n";

Deno.test("mergeContent() merges lines that an unchanged unique line keeps apart", () => {
  assertEquals(
    merged("t", LINES, "one\n2\n3\n4\n5\n", "1\n2\nthree\n4\n5\n"),
    "one\n2\nthree\n4\n5\n",
  );
  assertEquals(merged("t", LINES, "1\n2\n3\n4\n5\n6\n", "0\n1\n2\n3\n4\n5\n"), `0\n${LINES}6\n`);
  assertEquals(merged("t", LINES, "1\n2\n3\n", "1\nTWO\n3\n4\n5\n"), "1\nTWO\n3\n");
  // The same change of both sides is one change.
  assertEquals(merged("t", LINES, "1\n2\n3\n4\nV\n", "I\n2\n3\n4\nV\n"), "I\n2\n3\n4\nV\n");
});

Deno.test("mergeContent() conflicts where changes touch, overlap or could stand in one place", () => {
  assertEquals(merged("t", LINES, "one\n2\n3\n4\n5\n", "1\ntwo\n3\n4\n5\n"), "! content");
  assertEquals(merged("t", LINES, "1\n2\n4\n5\n", "1\n2\nthree\n4\n5\n"), "! content");
  assertEquals(merged("t", "x\nx\nx\n", "a\nx\nx\nx\n", "x\nx\nx\nb\n"), "! content");
  assertEquals(merged("t", "1", "1\n2", "1\n3"), "! content");
  assertEquals(merged("t", null, "1\n", "2\n"), "! content");
});

Deno.test("mergeContent() takes nothing for text that is none, and bounds what it compares", () => {
  assertEquals(merged("t", "a", "a\0", "b"), "! binary");
  const bytes = { base: null, ours: new Uint8Array([0xff]), theirs: new Uint8Array([0x61]) };
  assertEquals(mergeContent("t", bytes), { kind: "conflict", reason: "binary", keys: [] });
  const from = performance.now();
  const many = "x\n".repeat(50_000);
  assertEquals(merged("t", many, `a\n${many}`, `${many}b\n`), "! too_large");
  assert(performance.now() - from < 2_000);
});

Deno.test("mergeContent() merges keys where lines touch, in every format", () => {
  assertEquals(
    merged(
      "s.json",
      '{\n  "a": 1,\n  "b": 1\n}\n',
      '{\n  "a": 2,\n  "b": 1\n}\n',
      '{\n  "a": 1,\n  "b": 2\n}\n',
    ),
    '{\n  "a": 2,\n  "b": 2\n}\n',
  );
  assertEquals(merged("s.yaml", "a: 1\nb: 1\n", "a: 2\nb: 1\n", "a: 1\nb: 2\n"), "a: 2\nb: 2\n");
  assertEquals(
    merged("s.toml", "a = 1\nb = 1\n", "a = 2\nb = 1\n", "a = 1\nb = 2\n"),
    "a = 2\nb = 2\n",
  );
  assertEquals(
    merged("s.ini", "a=1\r\nb=1\r\n", "a=2\r\nb=1\r\n", "a=1\r\nb=2\r\n"),
    "a=2\r\nb=2\r\n",
  );
  assertEquals(merged("s.json", "{}", '\ufeff{"a":1}', '{"b":1}'), '\ufeff{"a":1, "b": 1}');
});

Deno.test("mergeContent() names the keys that both sides changed", () => {
  assertEquals(
    merged("s.json", '{"a":{"x":1},"b":1}', '{"a":{"x":2},"b":2}', '{"a":{"x":3},"b":3}'),
    "! content a.x b",
  );
  // One side removes what the other changes, also where the lines would merge.
  assertEquals(merged("s.json", '{"a":{"x":1}}', "{}", '{"a":{"x":2}}'), "! content a");
  // Each adds the key at another place: the lines merge to a file with the key twice.
  const base = "a: 1\nb: 1\nc: 1\nd: 1\n";
  assertEquals(merged("s.yaml", base, `k: 1\n${base}`, `${base}k: 2\n`), "! content k");
});

Deno.test("mergeContent() loses no comment of either side", () => {
  const base = '{\n  "a": 1,\n  "b": 1\n}\n';
  const ours = '{\n  // mine\n  "a": 2,\n  "b": 1\n}\n';
  const theirs = '{\n  "a": 1,\n  "b": 2 // theirs\n}\n';
  assertEquals(merged("s.json", base, ours, theirs), "! comments");
  // A comment above a key that comes along is carried with it.
  assertEquals(
    merged(
      "s.json",
      base,
      '{\n  "a": 2,\n  "b": 1\n}\n',
      '{\n  "a": 1,\n  "b": 1,\n  // new\n  "c": 1\n}\n',
    ),
    '{\n  "a": 2,\n  "b": 1,\n  // new\n  "c": 1\n}\n',
  );
  assertEquals(
    merged("s.toml", "# x\na = 1\nb = 1\n", "a = 1\nb = 1\n", "# x\na = 1\nb = 2\n"),
    "a = 1\nb = 2\n",
  );
});
