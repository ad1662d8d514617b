import fc from "fast-check";
import { assertEquals, assertThrows } from "@std/assert";
import {
  parseObjectId,
  parseRefName,
  parseRepositoryId,
  parseRepositoryName,
  parseTransactionId,
} from "../../src/core/ids.ts";
import type { LogRecord } from "../../src/core/log_record.ts";
import { decodeRecord, encodeRecord } from "../../src/core/log_record_codec.ts";

const ulid = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
const oids = fc.string({
  unit: fc.constantFrom(..."0123456789abcdef"),
  minLength: 40,
  maxLength: 40,
})
  .map(parseObjectId);
const looseFiles = fc.array(fc.record({ oid: oids, bytes: fc.uint8Array({ maxLength: 300 }) }));
const objects = fc.oneof(
  looseFiles.map((files) => ({ kind: "loose" as const, files })),
  fc.constant({ kind: "pack" as const, name: "pack-1" }),
);
const parts = fc.array(
  fc.record({
    repositoryId: fc.constant(parseRepositoryId(ulid)),
    repository: fc.constant(parseRepositoryName("app")),
    edits: fc.array(
      fc.record({
        ref: fc.constant(parseRefName("refs/layers/a")),
        old: fc.option(oids),
        new: oids,
      }),
    ),
    checks: fc.constant([]),
    objects,
  }),
  { maxLength: 4 },
);
const commits = fc.record({ parts, message: fc.string({ unit: "grapheme" }) }).map((
  { parts, message },
): LogRecord => ({
  kind: "commit",
  transaction: {
    id: ulid,
    state: "committed",
    isolation: "locking",
    message,
    author: null,
    tenant_id: null,
    labels: {},
    created_at: "",
    updated_at: "",
    lease_expires_at: null,
    fencing_token: 1,
    operations: 0,
    savepoints: [],
    locks: [],
    snapshot: [],
    results: [],
    participants: [],
    problem: null,
  },
  parts,
  idempotency: null,
}));

Deno.test("decodeRecord() gives back what encodeRecord() took", () => {
  fc.assert(fc.property(commits, (record) => {
    assertEquals(JSON.stringify(decodeRecord(encodeRecord(record))), JSON.stringify(record));
  }));
  const applied: LogRecord = {
    kind: "applied",
    transactionId: parseTransactionId(ulid),
    repositoryId: parseRepositoryId(ulid),
  };
  assertEquals(decodeRecord(encodeRecord(applied)), applied);
});

Deno.test("decodeRecord() refuses any cut of a record with a text, not with a TypeError", () => {
  fc.assert(fc.property(commits, fc.nat(), (record, cut) => {
    const bytes = encodeRecord(record);
    const error = assertThrows(() => decodeRecord(bytes.subarray(0, cut % bytes.length)));
    assertEquals(error.constructor, Error);
  }));
});

Deno.test("decodeRecord() names a format version that it does not know", () => {
  const bytes = encodeRecord({ kind: "fencing_range", upTo: 1 });
  bytes[0] = 9;
  assertThrows(() => decodeRecord(bytes), Error, "format version 9");
});
