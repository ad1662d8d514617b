import { assertEquals } from "@std/assert";
import { graphLines } from "../../src/cli/graph.ts";

function drawn(history: Readonly<Record<string, readonly string[]>>): string[] {
  const commits = Object.entries(history).map(([oid, parents]) => ({ oid, parents }));
  return graphLines(commits, ({ oid }) => oid);
}

Deno.test("graphLines() draws a line of commits as one lane", () => {
  assertEquals(drawn({ c: ["b"], b: ["a"], a: [] }), ["* c", "* b", "* a"]);
});

Deno.test("graphLines() draws what was merged as a lane of its own until it comes together", () => {
  assertEquals(drawn({ m: ["b", "x"], x: ["a"], b: ["a"], a: [] }), [
    "* m",
    "|\\",
    "| * x",
    "* | b",
    "|/",
    "* a",
  ]);
});

Deno.test("graphLines() ends lanes at roots and goes on beside them", () => {
  assertEquals(drawn({ m: ["a", "x"], x: [], a: [] }), ["* m", "|\\", "| * x", "* a"]);
});
