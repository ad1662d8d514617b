import { assertEquals } from "@std/assert";
import {
  checkEdges,
  checkLengths,
  checkStart,
  type Edge,
  LINES_MAX,
  roomOf,
} from "../../scripts/import_rules.ts";

function edge(from: string, to: string, kind: Edge["kind"] = "code"): Edge {
  return { from, to, kind };
}

Deno.test("checkEdges() accepts what the table lists", () => {
  assertEquals(
    checkEdges([
      edge("src/git/a.ts", "src/core/b.ts"),
      edge("src/git/a.ts", "src/git/c.ts"),
      edge("src/git/a.ts", "npm:/isomorphic-git@1.0.0"),
      edge("src/http/a.ts", "src/wal/b.ts", "type"),
      edge("main.ts", "src/cli/run.ts"),
    ]),
    [],
  );
});

Deno.test("checkEdges() refuses an import against the direction", () => {
  assertEquals(checkEdges([edge("src/core/a.ts", "src/git/b.ts")]), [
    "src/core/a.ts imports src/git/b.ts; core may not import git",
  ]);
  assertEquals(checkEdges([edge("src/cli/a.ts", "src/transactions/b.ts", "type")]), [
    "src/cli/a.ts imports src/transactions/b.ts; cli may not import transactions",
  ]);
});

Deno.test("checkEdges() refuses code where only types are allowed", () => {
  assertEquals(checkEdges([edge("src/http/a.ts", "src/wal/b.ts")]), [
    "src/http/a.ts imports src/wal/b.ts; http may import only its types",
  ]);
});

Deno.test("checkEdges() keeps the outside out of core", () => {
  assertEquals(checkEdges([edge("src/core/a.ts", "node:fs")]), [
    "src/core/a.ts imports node:fs; core imports nothing from outside",
  ]);
});

Deno.test("checkEdges() refuses a room that the table does not know, and source that imports tests", () => {
  assertEquals(checkEdges([edge("src/utils/a.ts", "src/core/b.ts")]), [
    "src/utils/a.ts is in no room of the table",
  ]);
  assertEquals(checkEdges([edge("src/git/a.ts", "tests/std_assert.ts")]), [
    "src/git/a.ts imports tests/std_assert.ts; git may not import tests/std_assert.ts",
  ]);
});

Deno.test("checkStart() refuses a package that no start needs, unless it is imported late", () => {
  const start = edge("src/http/serve.ts", "src/replicas/a.ts");
  assertEquals(checkStart([start, edge("src/replicas/a.ts", "npm:/yaml@2.0.0")]), [
    "A start loads yaml: src/http/serve.ts -> src/replicas/a.ts",
  ]);
  const late = edge("src/replicas/a.ts", "src/git/b.ts", "late");
  assertEquals(checkStart([start, late, edge("src/git/b.ts", "npm:/yaml@2.0.0")]), []);
  assertEquals(checkStart([start, edge("src/replicas/a.ts", "npm:/zod@2.0.0")]), []);
});

Deno.test("checkEdges() names a cycle, once", () => {
  assertEquals(
    checkEdges([
      edge("src/git/a.ts", "src/git/b.ts"),
      edge("src/git/b.ts", "src/git/c.ts", "type"),
      edge("src/git/c.ts", "src/git/a.ts"),
      edge("src/git/d.ts", "src/git/a.ts"),
    ]),
    ["Cycle: src/git/a.ts -> src/git/b.ts -> src/git/c.ts -> src/git/a.ts"],
  );
});

Deno.test("checkLengths() names files over the limit", () => {
  const files = new Map([
    ["src/core/fits.ts", "\n".repeat(LINES_MAX)],
    ["src/core/long.ts", "\n".repeat(LINES_MAX + 1)],
  ]);
  assertEquals(checkLengths(files), [
    `src/core/long.ts has ${LINES_MAX + 1} lines; ${LINES_MAX} are allowed`,
  ]);
});

Deno.test("roomOf() names the folder under src, or the file at the top", () => {
  assertEquals(roomOf("src/git/a.ts"), "git");
  assertEquals(roomOf("main.ts"), "main.ts");
});
