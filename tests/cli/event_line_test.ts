import { assertEquals } from "@std/assert";
import { eventLine } from "../../src/cli/event_line.ts";

const AT = "2026-01-02T03:04:05.678Z";

function what(type: string, data: Readonly<Record<string, unknown>>): string {
  const [id, at, typed, text = ""] = eventLine({ id: "1-7", at: AT, type, data }).split("\t");
  assertEquals([id, at, typed], ["1-7", AT, type]);
  return text;
}

Deno.test("eventLine() names a moved layer, and who moved it", () => {
  const [old, now] = ["a".repeat(40), "b".repeat(40)];
  const data = { repository: "app", layer: "team/base", ref: "refs/layers/team/base", old };
  const made = what("layer.changed", { ...data, old: null, new: now, transaction_id: "T1" });
  assertEquals(made, "app team/base -..bbbbbbb transaction_id=T1");
  const native = what("layer.changed", { ...data, new: now, transaction_id: null });
  assertEquals(native, "app team/base aaaaaaa..bbbbbbb");
});

Deno.test("eventLine() names a transaction by its id and subject, and why it was refused", () => {
  const transaction = { id: "T1", message: "raise the timeout\n\nlong text", problem: null };
  assertEquals(what("transaction.committed", { transaction }), 'T1 "raise the timeout"');
  const problem = { code: "write_conflict" };
  const refused = { transaction: { ...transaction, problem } };
  assertEquals(
    what("transaction.rolled_back", refused),
    'T1 "raise the timeout" problem=write_conflict',
  );
});

Deno.test("eventLine() keeps a line one line whatever is in an event", () => {
  const text = what("health.changed", { repository: "app", detail: "two\nlines", list: [1] });
  assertEquals(text, 'app detail="two\\nlines" list=[1]');
});
