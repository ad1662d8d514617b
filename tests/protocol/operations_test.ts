import { assertEquals, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { OPERATIONS_PER_REQUEST_MAX } from "../../src/core/limits.ts";
import { decode } from "../../src/protocol/decode.ts";
import { stageBody } from "../../src/protocol/transactions.ts";

const OID = "0123456789abcdef0123456789abcdef01234567";
const on = { repository: "app", layer: "team/base" };

function decoded(operation: unknown): unknown {
  // By way of JSON, so that a member can be left out by giving it no value.
  const body: unknown = JSON.parse(JSON.stringify({ operations: [operation] }));
  return decode(stageBody, body).operations[0];
}

function refusal(operation: unknown): LayerdError {
  const error = assertThrows(() => decoded(operation), LayerdError);
  assertEquals(error.code, "invalid_request");
  return error;
}

Deno.test("operation decodes every form of the wire contract", () => {
  const cases: [unknown, unknown][] = [
    [{ op: "create_layer", ...on }, { op: "create_layer", ...on, from: null }],
    [
      { op: "create_layer", ...on, from: "base" },
      { op: "create_layer", ...on, from: { kind: "layer", layer: "base" } },
    ],
    [
      { op: "create_layer", ...on, from: "refs/heads/main" },
      { op: "create_layer", ...on, from: { kind: "ref", ref: "refs/heads/main" } },
    ],
    [
      { op: "create_layer", ...on, from: OID },
      { op: "create_layer", ...on, from: { kind: "commit", commit: OID } },
    ],
    [
      { op: "put_file", ...on, path: "a/b", content: "ä" },
      {
        op: "put_file",
        ...on,
        path: "a/b",
        mode: "100644",
        content: { kind: "inline", bytes: new Uint8Array([0xc3, 0xa4]) },
      },
    ],
    [
      { op: "put_file", ...on, path: "a", content_base64: "AP8=", mode: "100755" },
      {
        op: "put_file",
        ...on,
        path: "a",
        mode: "100755",
        content: { kind: "inline", bytes: new Uint8Array([0, 255]) },
      },
    ],
    [
      { op: "put_file", ...on, path: "a", oid: OID, expect: { commit: null } },
      {
        op: "put_file",
        ...on,
        path: "a",
        mode: "100644",
        content: { kind: "object", oid: OID },
        expect: { commit: null },
      },
    ],
    [{ op: "delete_file", ...on, path: "a" }, { op: "delete_file", ...on, path: "a" }],
    [
      { op: "move_file", ...on, from: "a", to: "b" },
      { op: "move_file", ...on, from: "a", to: "b" },
    ],
    [
      { op: "delete_layer", ...on, expect: { commit: OID } },
      { op: "delete_layer", ...on, expect: { commit: OID } },
    ],
    [
      { op: "update_ref", repository: "app", ref: "refs/heads/x", new: null, expect: OID },
      { op: "update_ref", repository: "app", ref: "refs/heads/x", new: null, expect: OID },
    ],
    [
      { op: "verify", ...on, commit: null },
      { op: "verify", repository: "app", ref: "refs/layers/team/base", commit: null },
    ],
    [
      { op: "verify", repository: "app", ref: "refs/heads/x", commit: OID },
      { op: "verify", repository: "app", ref: "refs/heads/x", commit: OID },
    ],
  ];
  for (const [sent, expected] of cases) assertEquals(decoded(sent), expected);
});

Deno.test("operation names the field of what it refuses", () => {
  const put = { op: "put_file", ...on, path: "a", content: "" };
  const cases: [unknown, string][] = [
    [{ ...put, content: undefined }, "content"],
    [{ ...put, oid: OID }, "content"],
    [{ ...put, content: undefined, content_base64: "AP8" }, "content_base64"],
    [{ ...put, content: undefined, content_base64: "AP 8=" }, "content_base64"],
    [{ ...put, content: undefined, content_base64: "AP9=" }, "content_base64"],
    [{ ...put, content: undefined, content_base64: "_-8=" }, "content_base64"],
    [{ ...put, mode: "040000" }, "mode"],
    [{ ...put, path: "../a" }, "path"],
    [{ ...put, path: "a/.GIT/config" }, "path"],
    [{ ...put, layer: "a//b" }, "layer"],
    [{ ...put, layer: 7 }, "layer"],
    [{ ...put, repository: "a/b" }, "repository"],
    [{ ...put, expect: { commit: "HEAD" } }, "expect.commit"],
    [{ ...put, expect: {} }, "expect.commit"],
    [{ ...put, encoding: "utf-8" }, "encoding"],
    [{ op: "move_file", ...on, from: "a", to: "/b" }, "to"],
    [{ op: "create_layer", ...on, from: "refs/" }, "from"],
    [{ op: "update_ref", repository: "app", ref: "refs/remotes/o/x", new: null }, "ref"],
    [{ op: "update_ref", repository: "app", ref: "HEAD", new: null }, "ref"],
    [{ op: "update_ref", repository: "app", ref: "refs/heads/x" }, "new"],
    [{ op: "verify", ...on, ref: "refs/heads/x", commit: null }, "layer"],
    [{ op: "verify", repository: "app", commit: null }, "layer"],
    [{ op: "rename_layer", ...on }, "op"],
    [{ ...on }, "op"],
  ];
  for (const [sent, field] of cases) {
    assertEquals(refusal(sent).details.field, `operations[0].${field}`, JSON.stringify(sent));
  }
});

Deno.test("operation takes work at participants, which touches no repository", () => {
  const statement = { text: "SELECT $1::int", params: [1] };
  const operations = [
    { op: "sql", participant: "pg", statements: [statement] },
    { op: "http", participant: "flags", payload: { set: {} } },
  ];
  assertEquals<unknown>(decode(stageBody, { operations }).operations, operations);
  assertEquals(refusal({ ...operations[1], ...on }).details.field, "operations[0].repository");
});

Deno.test("operation refuses a list beyond the limit", () => {
  const operations = Array.from(
    { length: OPERATIONS_PER_REQUEST_MAX + 1 },
    () => ({ op: "delete_layer", ...on }),
  );
  const error = assertThrows(() => decode(stageBody, { operations }), LayerdError);
  assertEquals(error.details, { field: "operations", limit: OPERATIONS_PER_REQUEST_MAX });
});
