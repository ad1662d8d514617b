import { assertEquals, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { LABELS_MAX, MESSAGE_BYTES_MAX } from "../../src/core/limits.ts";
import { decode } from "../../src/protocol/decode.ts";
import { beginBody, heartbeatBody, savepointBody } from "../../src/protocol/transactions.ts";

function fieldRefused(body: unknown): string | undefined {
  const error = assertThrows(() => decode(beginBody, body), LayerdError);
  assertEquals(error.code, "invalid_request");
  return error.details.field;
}

Deno.test("beginBody gives every field its default", () => {
  assertEquals(decode(beginBody, {}), {
    message: null,
    author: null,
    isolation: "locking",
    locks: [],
    lock_timeout_ms: 5_000,
    lease_ms: 30_000,
    tenant_id: null,
    operation_type: null,
    labels: {},
    pattern: "two_phase_commit",
    operations: [],
    commit: false,
  });
});

Deno.test("beginBody refuses by field", () => {
  const author = { name: "Ann", email: "ann@example.org" };
  const cases: [unknown, string][] = [
    [{ nonsense: 1 }, "nonsense"],
    [{ message: "a\0b" }, "message"],
    [{ message: "ä".repeat(MESSAGE_BYTES_MAX / 2 + 1) }, "message"],
    [{ author: { ...author, name: "Ann <x>" } }, "author.name"],
    [{ author: { ...author, name: "Ann\nx" } }, "author.name"],
    [{ author: { ...author, name: " " } }, "author.name"],
    [{ author: { ...author, email: "a\u0085b" } }, "author.email"],
    [{ author: { name: "Ann" } }, "author.email"],
    [{ isolation: "serializable" }, "isolation"],
    [{ lease_ms: 99 }, "lease_ms"],
    [{ lease_ms: 86_400_001 }, "lease_ms"],
    [{ lease_ms: 1_000.5 }, "lease_ms"],
    [{ lease_ms: "1000" }, "lease_ms"],
    [{ lock_timeout_ms: -1 }, "lock_timeout_ms"],
    [{ lock_timeout_ms: 2 ** 53 }, "lock_timeout_ms"],
    [{ locks: [{ repository: "app", layer: "a", mode: "write" }] }, "locks[0].mode"],
    [{ locks: [{ repository: "app", layer: "a/", mode: "shared" }] }, "locks[0].layer"],
    [{ labels: { a: 1 } }, "labels.a"],
    [{ labels: [] }, "labels"],
    [
      { labels: Object.fromEntries(Array.from({ length: LABELS_MAX + 1 }, (_, n) => [n, ""])) },
      "labels",
    ],
    [{ tenant_id: "" }, "tenant_id"],
    [{ pattern: "saga" }, "pattern"],
    [{ commit: "true" }, "commit"],
    [{ operations: [{ op: "put_file", repository: "app" }] }, "operations[0].layer"],
  ];
  for (const [body, field] of cases) assertEquals(fieldRefused(body), field, JSON.stringify(body));
});

Deno.test("beginBody takes a message of exactly the limit", () => {
  const message = "ä".repeat(MESSAGE_BYTES_MAX / 2);
  assertEquals(decode(beginBody, { message }).message, message);
});

Deno.test("heartbeatBody and savepointBody refuse by field", () => {
  assertEquals(decode(heartbeatBody, {}), {});
  assertEquals(
    assertThrows(() => decode(heartbeatBody, { lease_ms: 1 }), LayerdError).details.field,
    "lease_ms",
  );
  assertEquals(
    assertThrows(() => decode(savepointBody, { name: "a b" }), LayerdError).details.field,
    "name",
  );
});
