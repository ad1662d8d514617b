import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { parseRefName } from "../../src/core/ids.ts";
import { RefNameSet } from "../../src/core/ref_name_set.ts";

const names = fc.array(fc.constantFrom("a", "b", "ab"), { minLength: 1, maxLength: 4 })
  .map((parts) => parseRefName(`refs/heads/${parts.join("/")}`));

Deno.test("RefNameSet.clashes() names what stands above and below, as comparing all names does", () =>
  fc.assert(fc.property(
    fc.array(names),
    fc.array(names),
    names,
    (added, deleted, asked) => {
      const set = new RefNameSet(added);
      for (const name of deleted) set.delete(name);
      const left = new Set(added).difference(new Set(deleted));
      const expected = [...left].filter((name) =>
        name.startsWith(`${asked}/`) || asked.startsWith(`${name}/`)
      );
      assertEquals([...set.clashes(asked)].sort(), expected.sort());
    },
  )));
