/** The README's section on two-phase commit, run word for word with a real PostgreSQL. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { blocksUnder, runBlocks } from "../harness/readme.ts";
import type { PostgresServer } from "../participants/postgres.ts";

export async function playReadme(postgres: PostgresServer): Promise<void> {
  const blocks = await blocksUnder("Git and something else, together");
  assertEquals(blocks.length, 5);
  const [, registered, applied, doubted, back] = await runBlocks(blocks, {
    PGHOST: postgres.socketDirectory,
    PGUSER: "layerd",
    PGDATABASE: "postgres",
  });
  assertMatch(
    registered ?? "",
    /^pg\tpostgres\t.*\nflags\thttp\t.*\npattern\ttwo_phase_commit\n/,
  );
  assertMatch(applied ?? "", /^app\trefs\/layers\/team\/base\t.*\n2\n\{"model": "v2"\}$/);
  assertMatch(doubted ?? "", /\tflags\tcommitted\t.*\nflags\n {2}decided {2}committed by layerd/);
  assertStringIncludes(back ?? "", 'committed\n{"model": "off"}');
}
