import { assert, assertEquals } from "@std/assert";
import { DenoClock } from "../../src/system/deno_clock.ts";

Deno.test("DenoClock.after() calls back once, and never when it was cancelled", async () => {
  const clock = new DenoClock();
  const calls: string[] = [];
  const cancelled = clock.after(1, () => calls.push("cancelled"));
  cancelled.cancel();
  cancelled.cancel();
  const { promise, resolve } = Promise.withResolvers<void>();
  const before = clock.monotonic();
  clock.after(5, () => {
    calls.push("kept");
    resolve();
  });
  // Timers of after() keep nothing alive; the sleep does.
  await Promise.all([promise, clock.sleep(10)]);
  assertEquals(calls, ["kept"]);
  assert(clock.monotonic() - before >= 5);
});
