/**
 * Bytes of a log record.
 *
 *   u8   format version of records, 2 (1 had objects as loose files)
 *   u32  length of the head, little-endian
 *   ...  the head: the record as JSON, UTF-8; an object's "bytes" is their length
 *   ...  the objects' bytes, one after the other, in the order in which the head names them
 *
 * The frame around a record (wal room) has checked every byte, so that a record that cannot
 * be decoded was written by a newer layerd or by a bug: the error says what it met.
 */
import type { LogRecord, RepositoryPart } from "./log_record.ts";
import { recordOf } from "./record_shape.ts";

const VERSION = 2;
/** Its records are read as long as they hold no objects, as after a clean stop. */
const VERSION_OF_LOOSE_FILES = 1;
const HEAD_START = 5;

/** The bytes of a record. */
export function encodeRecord(record: LogRecord): Uint8Array {
  const binary: Uint8Array[] = [];
  const withLengths = record.kind === "commit" || record.kind === "prepared"
    ? { ...record, parts: record.parts.map((part) => encodePart(part, binary)) }
    : record;
  const head = new TextEncoder().encode(JSON.stringify(withLengths));
  const length = binary.reduce((sum, bytes) => sum + bytes.length, HEAD_START + head.length);
  const payload = new Uint8Array(length);
  payload[0] = VERSION;
  new DataView(payload.buffer).setUint32(1, head.length, true);
  payload.set(head, HEAD_START);
  let at = HEAD_START + head.length;
  for (const bytes of binary) {
    payload.set(bytes, at);
    at += bytes.length;
  }
  return payload;
}

function encodePart(part: RepositoryPart, binary: Uint8Array[]) {
  if (part.objects.kind === "pack") return part;
  const objects = part.objects.objects.map((object) => {
    binary.push(object.bytes);
    return { ...object, bytes: object.bytes.length };
  });
  return { ...part, objects: { kind: "recorded", objects } };
}

/** Throws an Error that says what is wrong; never a TypeError, whatever the bytes. */
export function decodeRecord(payload: Uint8Array): LogRecord {
  if (payload[0] !== VERSION && payload[0] !== VERSION_OF_LOOSE_FILES) {
    throw new Error(`Log record has format version ${payload[0]}, this layerd knows ${VERSION}`);
  }
  if (payload.length < HEAD_START) throw new Error("Log record has no head");
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const headEnd = HEAD_START + view.getUint32(1, true);
  if (headEnd > payload.length) throw new Error("Log record's head is longer than the record");
  // Copied: a record may be kept for days, and `payload` is a window on a whole segment.
  const binary = payload.slice(headEnd);
  let end = 0;
  const record = recordOf(parseHead(payload.subarray(HEAD_START, headEnd)), (length) => {
    const start = end;
    end += length;
    if (end > binary.length) throw new Error("Log record ends inside an object");
    return binary.subarray(start, end);
  });
  if (end !== binary.length) throw new Error("Log record has bytes to spare");
  return record;
}

function parseHead(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    throw new Error("Log record's head is not JSON", { cause: error });
  }
}
