import { assertEquals, assertThrows } from "@std/assert";
import type { z } from "zod";
import { type ErrorCode, LayerdError } from "../../src/core/errors.ts";
import { encodeCursor } from "../../src/protocol/cursor.ts";
import { decodeQuery } from "../../src/protocol/query.ts";
import {
  fileQuery,
  layersQuery,
  removeRepositoryQuery,
  repositoriesQuery,
} from "../../src/protocol/repositories.ts";
import { noQuery, transactionQuery, transactionsQuery } from "../../src/protocol/transactions.ts";

const ID = "01JZ0000000000000000000000";

Deno.test("decodeQuery() decodes escapes, plus signs and numbers", () => {
  assertEquals(decodeQuery(fileQuery, `layer=team%2Fbase&path=a+b%2Bc%C3%A4&transaction=${ID}`), {
    layer: "team/base",
    path: "a b+cä",
    transaction: ID,
  } as unknown as z.output<typeof fileQuery>);
  assertEquals(decodeQuery(layersQuery, ""), { prefix: "", limit: 100 });
  assertEquals(decodeQuery(layersQuery, "limit=1000&prefix=a"), { prefix: "a", limit: 1_000 });
  assertEquals(decodeQuery(removeRepositoryQuery, "abandon=true"), { abandon: true });
});

Deno.test("decodeQuery() refuses by parameter", () => {
  const cases: [z.ZodType, string, string][] = [
    [noQuery, "x=1", "x"],
    [layersQuery, "limit=1&limit=2", "limit"],
    [layersQuery, "limit=0", "limit"],
    [layersQuery, "limit=1001", "limit"],
    [layersQuery, "limit=1e2", "limit"],
    [layersQuery, "limit=+1", "limit"],
    [layersQuery, "limit=01", "limit"],
    [layersQuery, "limit=", "limit"],
    [layersQuery, "Limit=1", "Limit"],
    [layersQuery, "prefix=%ff", "prefix"],
    [layersQuery, "prefix=%zz", "prefix"],
    [layersQuery, "cursor=abc", "cursor"],
    [layersQuery, `cursor=${encodeCursor("transactions", ID)}`, "cursor"],
    [fileQuery, "layer=a", "path"],
    [fileQuery, `layer=a&path=b&at=${"a".repeat(40)}&transaction=${ID}`, "at"],
    [fileQuery, "layer=a&path=b&at=HEAD", "at"],
    [repositoriesQuery, "path=a/b", "path"],
    [removeRepositoryQuery, "abandon=yes", "abandon"],
    [transactionQuery, "timeout_ms=5", "timeout_ms"],
    [transactionQuery, "wait_for=done", "wait_for"],
    [transactionsQuery, "state=open", "state"],
    [transactionsQuery, "layer=refs/heads/", "layer"],
  ];
  for (const [schema, search, field] of cases) {
    const error = assertThrows(() => decodeQuery(schema, search), LayerdError);
    assertEquals<[ErrorCode, unknown]>([error.code, error.details.field], [
      "invalid_request",
      field,
    ], search);
  }
});

Deno.test("decodeQuery() takes a malformed transaction id for one that is not there", () => {
  const error = assertThrows(
    () => decodeQuery(fileQuery, "layer=a&path=b&transaction=nope"),
    LayerdError,
  );
  assertEquals(error.code, "transaction_not_found");
});

Deno.test("encodeCursor() round-trips through the query of its list", () => {
  const cursor = encodeCursor("layers", "team/bäse");
  assertEquals(/^[A-Za-z0-9_-]+$/.test(cursor), true);
  assertEquals(decodeQuery(layersQuery, `cursor=${cursor}`).cursor, "team/bäse");
});
