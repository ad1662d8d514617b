import { assertEquals, assertThrows } from "@std/assert";
import { z } from "zod";
import { LayerdError } from "../../src/core/errors.ts";
import { decode, fieldOf } from "../../src/protocol/decode.ts";

function refusalOf(schema: z.ZodType, value: unknown): [string | undefined, string] {
  const error = assertThrows(() => decode(schema, value), LayerdError);
  assertEquals(error.code, "invalid_request");
  return [error.details.field, error.message];
}

const list = z.strictObject({
  list: z.array(z.strictObject({ size: z.int().max(5), name: z.string().min(2) })),
});

Deno.test("decode() names the place of a problem and what is wrong there", () => {
  const cases: [unknown, string | undefined, string][] = [
    [{}, "list", "Field list is missing"],
    [3, undefined, "The request must be an object, not a number"],
    [null, undefined, "The request must be an object, not null"],
    [{ list: {} }, "list", "Field list must be an array, not an object"],
    [
      { list: [{ size: 1, name: "ab" }, { size: "1", name: "ab" }] },
      "list[1].size",
      "Field list[1].size must be a number, not a string",
    ],
    [
      { list: [{ size: 1.5, name: "ab" }] },
      "list[0].size",
      "Field list[0].size must be an integer, not a fraction",
    ],
    [
      { list: [{ size: 6, name: "ab" }] },
      "list[0].size",
      "Field list[0].size must be at most 5",
    ],
    [
      { list: [{ size: 1, name: "a" }] },
      "list[0].name",
      "Field list[0].name must have at least 2 characters",
    ],
  ];
  for (const [value, field, text] of cases) assertEquals(refusalOf(list, value), [field, text]);
});

Deno.test("decode() names an unknown field before the one that its misspelling left missing", () => {
  assertEquals(refusalOf(list, { list: [{ size: 1, nmae: "ab" }] }), [
    "list[0].nmae",
    "Field list[0].nmae is not known",
  ]);
});

Deno.test("decode() says the limit that was exceeded", () => {
  const error = assertThrows(
    () => decode(list, { list: [{ size: 6, name: "ab" }] }),
    LayerdError,
  );
  assertEquals(error.details.limit, 5);
});

Deno.test("decode() lets an error with another code through", () => {
  const schema = z.string().transform(() => {
    throw new LayerdError("transaction_not_found", "None");
  });
  assertEquals(
    assertThrows(() => decode(schema, "x"), LayerdError).code,
    "transaction_not_found",
  );
});

Deno.test("fieldOf() writes members and indexes as in JavaScript", () => {
  assertEquals(fieldOf(["operations", 3, "expect", "commit"]), "operations[3].expect.commit");
  assertEquals(fieldOf([]), "");
});
