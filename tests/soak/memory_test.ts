/** The daemon's memory, idle and with many open transactions. */
import { assert } from "@std/assert";
import { report, scaled } from "../harness/scale.ts";
import { judge, measureMemory, OPEN_TRANSACTIONS } from "./memory.ts";

const OPEN = scaled({ reduced: 1_500, full: OPEN_TRANSACTIONS });

Deno.test("memory stays within its limits, idle and with many open transactions", async () => {
  const { line, within } = judge(await measureMemory(OPEN));
  report(`memory: ${line}`);
  assert(within, line);
});
