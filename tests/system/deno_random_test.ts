import { assert, assertEquals, assertMatch } from "@std/assert";
import { DenoRandom } from "../../src/system/deno_random.ts";

Deno.test("DenoRandom.ulid() rises within one millisecond and when the clock steps back", () => {
  const random = new DenoRandom();
  const now = Date.UTC(2025, 0, 1);
  const ids = Array.from({ length: 2_000 }, () => random.ulid(now));
  ids.push(random.ulid(now - 5_000), random.ulid(now + 1));
  for (const id of ids) assertMatch(id, /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
  assertEquals(ids, ids.toSorted());
  assertEquals(new Set(ids).size, ids.length);
});

Deno.test("DenoRandom.uniform() stays in [0, 1) and bytes() fills any length", () => {
  const random = new DenoRandom();
  const draws = Array.from({ length: 1_000 }, () => random.uniform());
  assert(draws.every((x) => x >= 0 && x < 1));
  assert(Math.min(...draws) < 0.1 && Math.max(...draws) > 0.9);
  const bytes = random.bytes(200_000);
  assertEquals(bytes.length, 200_000);
  assert(bytes.subarray(199_000).some((x) => x !== 0));
});
