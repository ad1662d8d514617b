/** The checker must find each anomaly that it is there for, and nothing in a sound history. */
import { assert, assertEquals } from "@std/assert";
import { checkHistory, type HistoryTransaction, type Level } from "./history_checker.ts";

type Outcome = HistoryTransaction["outcome"];

/** `x+1` appends 1 to x, `x=12` reads x as [1, 2], `x=` reads it empty. */
function run(
  lines: readonly (readonly [ops: string, outcome?: Outcome, began?: number, ended?: number])[],
  finals: Readonly<Record<string, string>>,
  level: Level = "serializable",
): string[] {
  const transactions = lines.map(([ops, outcome = "committed", began = 0, ended = 99], index) => ({
    id: `T${index + 1}`,
    outcome,
    began,
    ended,
    operations: ops.split(" ").filter((op) => op !== "").map((op) => {
      const key = op.charAt(0);
      return op.charAt(1) === "+"
        ? { kind: "append" as const, key, value: op.slice(2) }
        : { kind: "read" as const, key, list: [...op.slice(2)] };
    }),
  }));
  const lists = Object.entries(finals).map(([key, list]) => [key, [...list]] as const);
  return checkHistory(transactions, new Map(lists), level);
}

function assertFinds(name: string, problems: string[]): void {
  assert(problems.length > 0 && problems.every((one) => one.startsWith(name)), problems.join("; "));
}

Deno.test("checkHistory() passes a serial history, and a read of nothing", () => {
  assertEquals(run([["x= x+1"], ["x=1 x+2 x=12"], ["y= x=12"]], { x: "12", y: "" }), []);
  assertEquals(run([["x+1", "unknown"], ["x+2", "unknown"]], { x: "2" }), []);
});

Deno.test("checkHistory() finds an acknowledged write that is lost", () => {
  assertFinds("lost write", run([["x+1"], ["x+2"]], { x: "1" }));
});

Deno.test("checkHistory() finds half a transaction", () => {
  assertFinds("torn transaction", run([["x+1 y+2", "unknown"]], { x: "1", y: "" }));
});

Deno.test("checkHistory() finds G1a: a read of what was rolled back", () => {
  assertFinds("G1a", run([["x+1", "rolled_back"], ["x=1"]], { x: "" }));
  assertFinds("G1a", run([["x+1", "rolled_back"]], { x: "1" }));
});

Deno.test("checkHistory() finds G1b: a read between two appends of one transaction", () => {
  assertFinds("G1b", run([["x+1 x+2"], ["x=1"]], { x: "12" }));
});

Deno.test("checkHistory() finds a transaction that does not see its own append", () => {
  assertFinds("internal", run([["x+1 x="]], { x: "1" }));
});

Deno.test("checkHistory() finds reads that contradict each other", () => {
  assertFinds("incompatible orders", run([["x+1"], ["x+2"], ["x=2"]], { x: "12" }));
});

Deno.test("checkHistory() finds G0: writes in opposite orders", () => {
  assertFinds("G0", run([["x+1 y+3"], ["x+2 y+4"]], { x: "12", y: "43" }));
});

Deno.test("checkHistory() finds G1c: two transactions that saw each other", () => {
  assertFinds("G1c", run([["x+1 y=2"], ["y+2 x=1"]], { x: "1", y: "2" }));
});

Deno.test("checkHistory() finds a lost update as G-single", () => {
  assertFinds("G-single", run([["x= x+1"], ["x= x+2"]], { x: "12" }, "snapshot"));
});

Deno.test("checkHistory() finds a read skew as G-single, in both levels", () => {
  const history = [["x+1 y+2"], ["x= y=2"]] as const;
  assertFinds("G-single", run(history, { x: "1", y: "2" }, "snapshot"));
  assertFinds("G-single", run(history, { x: "1", y: "2" }));
});

Deno.test("checkHistory() finds a write skew as G2, and allows it to snapshots", () => {
  const history = [["x= y= x+1"], ["x= y= y+2"]] as const;
  assertFinds("G2", run(history, { x: "1", y: "2" }));
  assertEquals(run(history, { x: "1", y: "2" }, "snapshot"), []);
});

Deno.test("checkHistory() finds a stale read: answered before, not seen after", () => {
  const history = [["x+1", "committed", 1, 2], ["x=", "committed", 3, 4]] as const;
  assertFinds("G-single", run(history, { x: "1" }));
  const beside = [["x+1", "committed", 1, 4], ["x=", "committed", 3, 5]] as const;
  assertEquals(run(beside, { x: "1" }), []);
});
