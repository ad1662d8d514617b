import { assertEquals } from "@std/assert";
import { ERROR_CODES, LayerdError } from "../../src/core/errors.ts";
import { problem, problemDocument } from "../../src/protocol/problem.ts";

Deno.test("problemDocument() has the members of the wire contract and the details", () => {
  const error = new LayerdError("write_conflict", "Layer moved", {
    transaction_id: "T",
    conflicts: [{ repository: "a", ref: "refs/layers/b", layer: "b", expected: null, actual: "c" }],
  });
  assertEquals<unknown>(problemDocument(error, "R"), {
    type: "urn:layerd:error:write_conflict",
    title: "Write conflict",
    status: 409,
    detail: "Layer moved",
    code: "write_conflict",
    retryable: true,
    request_id: "R",
    transaction_id: "T",
    conflicts: [{ repository: "a", ref: "refs/layers/b", layer: "b", expected: null, actual: "c" }],
  });
});

Deno.test("problem describes the document of every code", () => {
  for (const code of ERROR_CODES) {
    const document = problemDocument(new LayerdError(code, "x", { limit: 3, field: "f" }), "R");
    assertEquals<unknown>(problem.parse(document), document);
  }
});
