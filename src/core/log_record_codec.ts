/**
 * Bytes of a log record.
 *
 *   u8   format version of records, 1
 *   u32  length of the head, little-endian
 *   ...  the head: the record as JSON, UTF-8; an object's file is {"oid", "bytes": <length>}
 *   ...  the files' bytes, one after the other, in the order in which the head names them
 *
 * The frame around a record (wal room) has checked every byte, so that a record that cannot
 * be decoded was written by a newer layerd or by a bug: the error says which.
 */
import type { LogRecord, LooseFile, RepositoryPart, WrittenObjects } from "./log_record.ts";
import { parseObjectId } from "./ids.ts";

const VERSION = 1;
const HEAD_START = 5;

const KINDS: Record<LogRecord["kind"], true> = {
  incarnation: true,
  fencing_range: true,
  repository_added: true,
  repository_removed: true,
  commit: true,
  prepared: true,
  rolled_back: true,
  applied: true,
  failed: true,
  resolved: true,
  checkpoint: true,
};

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
  const files = part.objects.files.map(({ oid, bytes }) => {
    binary.push(bytes);
    return { oid, bytes: bytes.length };
  });
  return { ...part, objects: { kind: "loose", files } };
}

/** Throws an Error that says what is wrong; never a TypeError, whatever the bytes. */
export function decodeRecord(payload: Uint8Array): LogRecord {
  if (payload[0] !== VERSION) {
    throw new Error(`Log record has format version ${payload[0]}, this layerd knows ${VERSION}`);
  }
  if (payload.length < HEAD_START) throw new Error("Log record has no head");
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const headEnd = HEAD_START + view.getUint32(1, true);
  if (headEnd > payload.length) throw new Error("Log record's head is longer than the record");
  const head = parseHead(payload.subarray(HEAD_START, headEnd));
  const rest = new Cursor(payload, headEnd);
  const record = head.kind === "commit" || head.kind === "prepared"
    ? { ...head, parts: listOf(head["parts"], "parts").map((part) => decodePart(part, rest)) }
    : head;
  rest.end();
  // The frame's checksum vouches that encodeRecord() wrote these bytes.
  return record as unknown as LogRecord;
}

class Cursor {
  readonly #payload: Uint8Array;
  #at: number;

  constructor(payload: Uint8Array, at: number) {
    this.#payload = payload;
    this.#at = at;
  }

  take(length: unknown): Uint8Array {
    if (typeof length !== "number" || !Number.isSafeInteger(length) || length < 0) {
      throw new Error(`Log record has an object of length ${length}`);
    }
    const end = this.#at + length;
    if (end > this.#payload.length) throw new Error("Log record ends inside an object");
    const bytes = this.#payload.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }

  end(): void {
    if (this.#at !== this.#payload.length) throw new Error("Log record has bytes to spare");
  }
}

function parseHead(bytes: Uint8Array): Record<string, unknown> & { kind: LogRecord["kind"] } {
  let head: unknown;
  try {
    head = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new Error("Log record's head is not JSON", { cause: error });
  }
  const fields = fieldsOf(head, "head");
  const kind = fields["kind"];
  if (typeof kind !== "string" || !isKind(kind)) {
    throw new Error(`Log record has the unknown kind ${kind}`);
  }
  return { ...fields, kind };
}

function isKind(kind: string): kind is LogRecord["kind"] {
  return Object.hasOwn(KINDS, kind);
}

function decodePart(part: unknown, rest: Cursor): { objects: WrittenObjects } {
  const fields = fieldsOf(part, "part");
  const objects = fieldsOf(fields["objects"], "objects");
  if (objects["kind"] === "pack") {
    return { ...fields, objects: { kind: "pack", name: String(objects["name"]) } };
  }
  const files = listOf(objects["files"], "files").map((file): LooseFile => {
    const { oid, bytes } = fieldsOf(file, "file");
    return { oid: parseObjectId(String(oid)), bytes: rest.take(bytes) };
  });
  return { ...fields, objects: { kind: "loose", files } };
}

function fieldsOf(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Error(`Log record's ${name} is not an object`);
  }
  return { ...value };
}

function listOf(value: unknown, name: string): unknown[] {
  if (!Array.isArray(value)) throw new Error(`Log record's ${name} is not a list`);
  return value;
}
