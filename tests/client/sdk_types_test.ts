/**
 * What must not compile: each `@ts-expect-error` is an error of its own where the line below
 * it does compile. `deno check` is what runs this test; the function is never called.
 */
import { assert } from "@std/assert";
import type { Committed, Layerd, Transaction } from "../../src/client/layerd.ts";
import { isProblem } from "../../src/client/layerd.ts";

async function doesNotCompile(layerd: Layerd, active: Transaction<"active">): Promise<void> {
  const done = await active.commit();
  // @ts-expect-error -- a finished transaction cannot be committed
  await done.commit();
  // @ts-expect-error -- nor staged into
  await done.stage();
  // @ts-expect-error -- nor rolled back: that is undo
  await done.rollback();
  // @ts-expect-error -- what may still be under publication has to be waited for
  await done.undo();
  if (done.state === "committed") await done.undo();

  const gone = await active.rollback();
  // @ts-expect-error -- a rolled-back transaction cannot be committed
  await gone.commit();
  // @ts-expect-error -- nor undone
  await gone.undo();

  const prepared = await active.prepare();
  // @ts-expect-error -- a prepared transaction takes no more operations
  await prepared.stage();
  await prepared.commit();

  // @ts-expect-error -- an active transaction has nothing to undo
  await active.undo();
  // @ts-expect-error -- a state is one of the contract's
  const _unknown: Transaction<"finished"> | null = null;
  // @ts-expect-error -- a handle is made by the daemon's answers: states cannot be claimed
  const _claimed: Transaction<"committed"> = active;
  // @ts-expect-error -- `begin` does not commit; `apply` does
  await layerd.begin({ commit: true });
  // @ts-expect-error -- an operation is one of the contract's
  await active.stage({ op: "put", repository: "app", layer: "a", path: "p", content: "" });
  // @ts-expect-error -- problem codes are a closed union
  isProblem(null, "write_conflit");
  const value = await layerd.transact(() => Promise.resolve(1));
  const _number: number = value.value;
  const _committed: Committed = value.transaction;
}

Deno.test("what a state forbids does not compile", () => {
  assert(typeof doesNotCompile === "function");
});
