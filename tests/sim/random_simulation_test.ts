/** A fixed batch of seeds; `deno task sim` runs thousands. */
import { assertEquals } from "@std/assert";
import { runSeeds } from "./run_seeds.ts";

const SEEDS = 200;

Deno.test(`random simulation: seeds 1 to ${SEEDS}`, async () => {
  const { failures } = await runSeeds(1, SEEDS);
  assertEquals(failures.map(({ where, error }) => `${where}: ${error}`), []);
});
