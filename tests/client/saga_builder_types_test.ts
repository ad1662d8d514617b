/** What the builder of sagas must not compile; as in sdk_types_test.ts, `deno check` runs it. */
import { assertEquals } from "@std/assert";
import { expression, saga } from "../../src/client/saga_builder.ts";

const shop = { kind: "http", base_url: "http://127.0.0.1:1" } as const;
const undo = { service_name: "shop", action: "do", compensation_action: "undo" } as const;
const last = { service_name: "shop", action: "do" } as const;

function doesNotCompile(): void {
  const one = saga().service("shop", shop);
  // @ts-expect-error -- a step names a service that was given
  one.compensatable("a", { ...undo, service_name: "bank" });
  // @ts-expect-error -- there is none yet
  saga().pivot("a", last);
  // @ts-expect-error -- a compensatable step says how it is undone, or null
  one.compensatable("a", last);
  // @ts-expect-error -- a pivot is never undone
  one.pivot("a", undo);
  // @ts-expect-error -- nor is what follows it
  one.retriable("a", undo);
  // @ts-expect-error -- nothing compensatable follows a pivot
  one.pivot("a", last).compensatable("b", undo);
  // @ts-expect-error -- there is one pivot
  one.pivot("a", last).pivot("b", last);
  // @ts-expect-error -- a retriable step is followed by such steps alone
  one.retriable("a", last).pivot("b", last);
  // @ts-expect-error -- a service is of a known kind
  saga().service("shop", { kind: "ftp" });
  // @ts-expect-error -- fields are spelled as the contract spells them
  one.pivot("a", { ...last, timeoutMs: 1 });
  // @ts-expect-error -- an input is JSON
  one.pivot("a", { ...last, input: () => 1 });
}

Deno.test("saga() builds the definition that it says, and never changes one it gave out", () => {
  assertEquals(typeof doesNotCompile, "function");
  const base = saga().service("shop", shop).compensatable("a", undo);
  const first = base.pivot("b", { ...last, input: { x: expression("input.x") } })
    .retriable("c", last).definition();
  const second = base.deadline(5).definition();
  assertEquals(first.steps.map(({ step_id, kind }) => [step_id, kind]), [
    ["a", "compensatable"],
    ["b", "pivot"],
    ["c", "retriable"],
  ]);
  assertEquals(first.steps[1]?.input, { x: { $: "input.x" } });
  assertEquals([second.steps.length, second.deadline_ms, first.deadline_ms], [1, 5, undefined]);
});
