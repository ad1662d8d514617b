import fc from "fast-check";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { decodeRecord, encodeRecord } from "../../src/core/log_record_codec.ts";
import { commits, records } from "./arbitrary_records.ts";

/** A record with this head and no bytes behind it. */
function withHead(head: unknown): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(head));
  const payload = new Uint8Array(5 + json.length);
  payload[0] = 2;
  new DataView(payload.buffer).setUint32(1, json.length, true);
  payload.set(json, 5);
  return payload;
}

function headOf(payload: Uint8Array): { json: string; rest: Uint8Array } {
  const length = new DataView(payload.buffer).getUint32(1, true);
  const json = new TextDecoder().decode(payload.subarray(5, 5 + length));
  return { json, rest: payload.subarray(5 + length) };
}

/** Decodes; a refusal must be a plain error with a text, nothing that a slip would throw. */
function decodeOrRefuse(payload: Uint8Array): void {
  try {
    decodeRecord(payload);
  } catch (error) {
    assert(error instanceof Error);
    assertEquals(error.constructor, Error, `${error.name}: ${error.message}`);
    assert(error.message.startsWith("Log record"), error.message);
  }
}

Deno.test("decodeRecord() gives back what encodeRecord() took, for every kind of record", () => {
  fc.assert(
    fc.property(records, (record) => {
      assertEquals(decodeRecord(encodeRecord(record)), record);
    }),
    { numRuns: 300 },
  );
});

Deno.test("decodeRecord() keeps no hold on the bytes that it was given", () => {
  fc.assert(fc.property(commits, (record) => {
    const bytes = encodeRecord(record);
    const decoded = decodeRecord(bytes);
    bytes.fill(0);
    assertEquals(decoded, record);
  }));
});

Deno.test("encodeRecord() lays out version, length, JSON and bytes as its header says", () => {
  const bytes = encodeRecord({ kind: "fencing_range", upTo: 7 });
  const json = '{"kind":"fencing_range","upTo":7}';
  assertEquals([...bytes.subarray(0, 5)], [2, json.length, 0, 0, 0]);
  assertEquals(new TextDecoder().decode(bytes.subarray(5)), json);
});

Deno.test("decodeRecord() refuses any cut of a record", () => {
  fc.assert(fc.property(commits, fc.nat(), (record, cut) => {
    const bytes = encodeRecord(record);
    const error = assertThrows(() => decodeRecord(bytes.subarray(0, cut % bytes.length)));
    assertEquals(error.constructor, Error);
  }));
});

Deno.test("decodeRecord() refuses bytes behind a record", () => {
  const bytes = encodeRecord({ kind: "fencing_range", upTo: 1 });
  const longer = new Uint8Array(bytes.length + 1);
  longer.set(bytes);
  assertThrows(() => decodeRecord(longer), Error, "bytes to spare");
});

Deno.test("decodeRecord() names a format version that it does not know", () => {
  const bytes = encodeRecord({ kind: "fencing_range", upTo: 1 });
  bytes[0] = 9;
  assertThrows(() => decodeRecord(bytes), Error, "format version 9");
});

Deno.test("decodeRecord() reads version 1 as long as no objects stand in it", () => {
  const old = (head: unknown) => {
    const payload = withHead(head);
    payload[0] = 1;
    return payload;
  };
  fc.assert(fc.property(commits, (record) => {
    const parts = (files: readonly unknown[]) =>
      record.parts.map((part) => ({ ...part, objects: { kind: "loose", files } }));
    const decoded = decodeRecord(old({ ...record, parts: parts([]) }));
    assert(decoded.kind === "commit");
    for (const { objects } of decoded.parts) {
      assertEquals(objects, { kind: "recorded", objects: [] });
    }
    if (record.parts.length === 0) return;
    assertThrows(() => decodeRecord(old({ ...record, parts: parts([{}]) })), Error, "older layerd");
  }));
});

Deno.test("decodeRecord() names the field that is not as it must be", () => {
  const cases: [head: unknown, text: string][] = [
    [null, "head is not an object"],
    [{ kind: "vacuum" }, 'unknown kind "vacuum"'],
    [{ kind: "checkpoint", redoLsn: -1 }, "redoLsn is not a whole number"],
    [{ kind: "applied", transactionId: "x" }, "transactionId is not valid"],
    [{ kind: "commit", transaction: null, parts: [] }, "transaction is not an object"],
    [{ kind: "rolled_back", transaction: { id: "x" } }, "transaction.id is not valid"],
  ];
  for (const [head, text] of cases) assertThrows(() => decodeRecord(withHead(head)), Error, text);
});

Deno.test("decodeRecord() meets any wrong value in any field with a plain error", () => {
  fc.assert(
    fc.property(records, fc.nat(), fc.jsonValue(), (record, place, value) => {
      const { json, rest } = headOf(encodeRecord(record));
      const head: unknown = JSON.parse(json);
      const count = replaceNth(head, Infinity, value);
      replaceNth(head, place % count, value);
      const start = withHead(head);
      const payload = new Uint8Array(start.length + rest.length);
      payload.set(start);
      payload.set(rest, start.length);
      decodeOrRefuse(payload);
    }),
    { numRuns: 600 },
  );
});

Deno.test("decodeRecord() meets any flipped byte with a record or a plain error", () => {
  fc.assert(
    fc.property(records, fc.nat(), fc.integer({ min: 1, max: 255 }), (record, place, flip) => {
      const payload = encodeRecord(record);
      const index = place % payload.length;
      payload[index] = (payload[index] ?? 0) ^ flip;
      decodeOrRefuse(payload);
    }),
    { numRuns: 600 },
  );
});

/** Puts the value into the nth field of a tree of JSON; answers how many fields there are. */
function replaceNth(tree: unknown, nth: number, value: unknown): number {
  let seen = 0;
  const walk = (node: unknown) => {
    if (typeof node !== "object" || node === null) return;
    for (const [name, child] of Object.entries(node)) {
      if (seen++ === nth) Object.defineProperty(node, name, { value, enumerable: true });
      else walk(child);
    }
  };
  walk(tree);
  return seen;
}
