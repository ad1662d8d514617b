import { assert, assertEquals } from "@std/assert";
import { matchesGlob } from "../../src/core/glob.ts";
import {
  composeValues,
  REMOVED,
  stackFiles,
  strategyOf,
} from "../../src/core/layer_composition.ts";
import { type Json, valueOfJson } from "../../src/core/structured_value.ts";

/** Paths with the layers that show there, highest first; a layer is its index from below. */
function stacked(...layers: readonly (readonly string[])[]): string[] {
  const files = layers.map((paths, layer) => paths.map((path) => ({ path, layer })));
  return stackFiles(files).map(({ path, from }) =>
    `${path} ${from.map(({ layer }) => layer).join("")}`
  );
}

Deno.test("stackFiles() puts higher layers before lower ones", () => {
  assertEquals(stacked(["a", "b"], ["b", "c"], ["b"]), ["a 0", "b 210", "c 1"]);
});

Deno.test("stackFiles() removes files and directories that a higher layer whites out", () => {
  assertEquals(stacked(["a", "d/x", "d/y"], [".wh.a", "d/.wh.x"]), ["d/y 0"]);
  assertEquals(stacked(["d/x", "d/e/y"], [".wh.d", "d/z"], ["d/x"]), ["d/x 2", "d/z 1"]);
  // Not of its own layer or of those above, and a bare prefix is a file like any other.
  assertEquals(stacked([".wh.a", "a"], ["b", ".wh."]), [".wh. 1", "a 0", "b 1"]);
});

Deno.test("stackFiles() lets a file hide a directory and a directory a file", () => {
  assertEquals(stacked(["d/x", "f"], ["d", "f/y"]), ["d 1", "f/y 1"]);
  assertEquals(stacked(["d"], ["d/x"], ["d"]), ["d 2"]);
  assertEquals(stacked(["d/x"], ["d"], ["d/y"]), ["d/y 2"]);
});

/** Composes values, highest first; `[value, origins]` as short texts. */
function composed(...values: readonly Json[]): [Json, string[]] {
  const { value, origins } = composeValues(
    values.map((json, layer) => ({ layer, value: valueOfJson(json) })),
  );
  const plain = (one: typeof value): Json => {
    if (one.kind === "array") return one.items.map(plain);
    if (one.kind === "scalar") return one.type === "number" ? Number(one.text) : one.text;
    return Object.fromEntries([...one.members].map(([key, member]) => [key, plain(member)]));
  };
  return [
    plain(value),
    origins.map(({ key, layer, removed, hides }) =>
      `${key}${removed ? "-" : ""}=${layer}${hides.map((one) => `>${one.layer}`).join("")}`
    ),
  ];
}

Deno.test("composeValues() merges objects by key and names what is hidden", () => {
  assertEquals(composed({ a: 1, o: { x: 1 } }, { a: 2, o: { x: 2, y: 2 }, b: 2 }, { a: 3 }), [
    { a: 1, o: { x: 1, y: 2 }, b: 2 },
    ["a=0>1>2", "o.x=0>1", "o.y=1", "b=1"],
  ]);
});

Deno.test("composeValues() replaces lists, and objects where something else is above", () => {
  assertEquals(composed({ l: [1], o: 5 }, { l: [2, 3], o: { x: 1 } }), [
    { l: [1], o: 5 },
    ["l=0>1", "o=0>1"],
  ]);
  assertEquals(composed({ o: { x: 1 } }, { o: 5 }, { o: { y: 1 } }), [
    { o: { x: 1 } },
    ["o=0>1>2", "o.x=0"],
  ]);
});

Deno.test("composeValues() removes keys by the marker, also of several layers below", () => {
  assertEquals(composed({ a: REMOVED, o: { x: REMOVED } }, { a: 1, o: { x: 1, y: 1 } }, { a: 2 }), [
    { o: { y: 1 } },
    ["a-=0>1>2", "o.x-=0>1", "o.y=1"],
  ]);
  assertEquals(composed({ a: 1 }, { a: REMOVED }, { a: { x: 2 } })[0], { a: 1 });
});

Deno.test("strategyOf() takes the first rule that matches", () => {
  const rules = [
    { glob: "private/**", strategy: "replace" },
    { glob: "*.json", strategy: "deep" },
  ] as const;
  assertEquals(strategyOf(rules, "a/b/s.json"), "deep");
  assertEquals(strategyOf(rules, "private/s.json"), "replace");
  assertEquals(strategyOf(rules, "s.txt"), "replace");
});

Deno.test("matchesGlob() knows *, ?, ** and takes bounded time", () => {
  const yes = ["a", "**", "*", "?", "**/a", "a/**/**"];
  assertEquals(yes.map((glob) => matchesGlob(glob, "a")), yes.map(() => true));
  assert(matchesGlob("x/**/y/*.json", "x/y/a.json"));
  assert(matchesGlob("x/**/y/*.json", "x/1/2/y/a.json"));
  assert(!matchesGlob("x/*/y", "x/1/2/y"));
  assert(!matchesGlob("x/**", "y/x"));
  assert(!matchesGlob("*.json", "a.jsonc"));
  const from = performance.now();
  assert(!matchesGlob("*a".repeat(400) + "b", "a".repeat(2_000)));
  assert(!matchesGlob("**/a/".repeat(150) + "b", "a/".repeat(1_000) + "c"));
  assert(performance.now() - from < 1_000);
});
