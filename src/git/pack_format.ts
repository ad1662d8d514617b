/**
 * The bytes of packs and their indexes, both of version 2 (git's gitformat-pack): whole
 * objects, no deltas. What is in memory is encoded here; pack_writer.ts streams.
 */
import { createHash } from "node:crypto";
import { constants, crc32, deflateSync, inflateSync } from "node:zlib";
import type { ObjectId } from "../core/ids.ts";
import type { ObjectType, PackedObject } from "../core/log_record.ts";

/** Of one pack, before its last object: it is made in memory. */
export const PACK_BYTES_MAX = 16 * 1024 * 1024;

const TYPE_NUMBERS: Readonly<Record<ObjectType, number>> = { commit: 1, tree: 2, blob: 3, tag: 4 };
/** Offsets from here on stand in the index's second table. */
const LARGE_OFFSET = 2 ** 31;
const PACK_START_BYTES = 12;
const CHECKSUM_BYTES = 20;
/** Objects of up to so many bytes are not compressed: ids alone do not shrink anyway. */
const STORED_BYTES_MAX = 512;

/** One object's place in a pack, as its index has it. */
export interface IndexEntry {
  readonly oid: ObjectId;
  readonly offset: number;
  /** Of the entry's bytes, header and zlib stream. */
  readonly crc: number;
}

/** Where an object's zlib stream is within its pack. */
export interface PackPosition {
  readonly type: ObjectType;
  readonly size: number;
  readonly start: number;
  readonly length: number;
}

export interface EncodedPack {
  /** `pack-<checksum>`, the name of both files before their suffix. */
  readonly name: string;
  readonly pack: Uint8Array;
  readonly index: Uint8Array;
  readonly positions: ReadonlyMap<ObjectId, PackPosition>;
}

/** The object as it stands in a pack. */
export function packObject(oid: ObjectId, type: ObjectType, body: Uint8Array): PackedObject {
  const bytes = body.length <= STORED_BYTES_MAX
    ? storedStream(body)
    : new Uint8Array(deflateSync(body, { level: constants.Z_BEST_SPEED }));
  return { oid, type, size: body.length, bytes };
}

/**
 * A zlib stream (RFC 1950) of one stored block (RFC 1951, 3.2.4). To compress a commit's few
 * hundred bytes takes 45 us, most of it for zlib's own state, and spares a third of them.
 */
function storedStream(body: Uint8Array): Uint8Array {
  const { length } = body;
  const stream = new Uint8Array(2 + 5 + length + 4);
  // Deflate with a window of 32 KiB, fastest; the last block, stored; its length twice.
  stream.set([0x78, 0x01, 0x01, length & 0xff, length >> 8, ~length & 0xff, (~length >> 8) & 0xff]);
  stream.set(body, 7);
  new DataView(stream.buffer).setUint32(7 + length, adler32(body));
  return stream;
}

/** RFC 1950, section 8.2, of so few bytes that the sums need no reduction on the way. */
function adler32(bytes: Uint8Array): number {
  let low = 1;
  let high = 0;
  for (const byte of bytes) {
    low += byte;
    high += low;
  }
  return ((high % 65_521) * 65_536 + (low % 65_521)) >>> 0;
}

/** The body of a packed object; throws where the stream is damaged. */
export function unpackBody(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(inflateSync(bytes));
}

/** The signature, the version and the number of objects. */
export function packStart(count: number): Uint8Array {
  const start = new Uint8Array(PACK_START_BYTES);
  const view = new DataView(start.buffer);
  view.setUint32(0, 0x5041434b); // PACK
  view.setUint32(4, 2);
  view.setUint32(8, count);
  return start;
}

/** A pack of these objects with its index. No object may be there twice. */
export function encodePack(objects: readonly PackedObject[]): EncodedPack {
  const headers = objects.map(({ type, size }) => entryHeader(type, size));
  const length = objects.reduce(
    (sum, { bytes }, at) => sum + (headers[at]?.length ?? 0) + bytes.length,
    PACK_START_BYTES + CHECKSUM_BYTES,
  );
  const pack = new Uint8Array(length);
  pack.set(packStart(objects.length));
  const entries: IndexEntry[] = [];
  const positions = new Map<ObjectId, PackPosition>();
  let offset = PACK_START_BYTES;
  objects.forEach(({ oid, type, size, bytes }, at) => {
    const header = headers[at] ?? new Uint8Array(0);
    const start = offset + header.length;
    const end = start + bytes.length;
    pack.set(header, offset);
    pack.set(bytes, start);
    entries.push({ oid, offset, crc: crc32(pack.subarray(offset, end)) });
    positions.set(oid, { type, size, start, length: bytes.length });
    offset = end;
  });
  const checksum = createHash("sha1").update(pack.subarray(0, offset)).digest();
  pack.set(checksum, offset);
  return {
    name: `pack-${checksum.toString("hex")}`,
    pack,
    index: encodeIndex(entries, checksum),
    positions,
  };
}

/** Type and size: three bits of type and four of size, then seven bits of size a byte. */
export function entryHeader(type: ObjectType, size: number): Uint8Array {
  const bytes = [(TYPE_NUMBERS[type] << 4) | (size % 16)];
  for (let rest = Math.floor(size / 16); rest > 0; rest = Math.floor(rest / 128)) {
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) | 0x80;
    bytes.push(rest % 128);
  }
  return Uint8Array.from(bytes);
}

/** Fan-out, ids, CRCs, offsets (and large ones), the pack's checksum, our own. */
export function encodeIndex(entries: readonly IndexEntry[], packChecksum: Uint8Array): Uint8Array {
  const sorted = entries.toSorted((a, b) => (a.oid < b.oid ? -1 : 1));
  const large = sorted.filter((entry) => entry.offset >= LARGE_OFFSET);
  const idsAt = 8 + 256 * 4;
  const crcsAt = idsAt + sorted.length * 20;
  const offsetsAt = crcsAt + sorted.length * 4;
  const largeAt = offsetsAt + sorted.length * 4;
  const checksumAt = largeAt + large.length * 8;
  const bytes = new Uint8Array(checksumAt + 40);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0xff744f63);
  view.setUint32(4, 2);
  sorted.forEach((entry, index) => {
    const id = Uint8Array.fromHex(entry.oid);
    bytes.set(id, idsAt + index * 20);
    view.setUint32(crcsAt + index * 4, entry.crc);
    const place = entry.offset < LARGE_OFFSET ? entry.offset : LARGE_OFFSET + large.indexOf(entry);
    view.setUint32(offsetsAt + index * 4, place);
    // Each slot counts the ids up to its first byte; sorted, the last write is the count.
    view.setUint32(8 + (id[0] ?? 0) * 4, index + 1);
  });
  for (let slot = 1; slot < 256; slot += 1) {
    const before = view.getUint32(8 + (slot - 1) * 4);
    if (view.getUint32(8 + slot * 4) === 0) view.setUint32(8 + slot * 4, before);
  }
  large.forEach((entry, index) => view.setBigUint64(largeAt + index * 8, BigInt(entry.offset)));
  bytes.set(packChecksum, checksumAt);
  const own = createHash("sha1").update(bytes.subarray(0, checksumAt + 20)).digest();
  bytes.set(own, checksumAt + 20);
  return bytes;
}

/**
 * The objects of a pack that {@link encodePack} made, or null where its bytes are not whole:
 * torn, cut, or of another shape.
 */
export function decodePack(pack: Uint8Array, index: Uint8Array): readonly PackedObject[] | null {
  const end = pack.length - CHECKSUM_BYTES;
  if (end < PACK_START_BYTES || !isSealed(pack) || !isSealed(index)) return null;
  const positions = indexedOffsets(index);
  if (positions === null) return null;
  return positions.map(({ oid, offset }, at) => {
    const { type, size, length } = readEntryHeader(pack, offset);
    const next = positions[at + 1]?.offset ?? end;
    return { oid, type, size, bytes: pack.slice(offset + length, next) };
  });
}

/** Whether the last 20 bytes are the hash of those before. */
function isSealed(bytes: Uint8Array): boolean {
  const end = bytes.length - CHECKSUM_BYTES;
  if (end < 0) return false;
  const actual = createHash("sha1").update(bytes.subarray(0, end)).digest();
  return actual.equals(bytes.subarray(end));
}

/** Ids and offsets in the order of the pack; null where offsets are large or the form is strange. */
function indexedOffsets(
  index: Uint8Array,
): readonly { readonly oid: ObjectId; readonly offset: number }[] | null {
  const idsAt = 8 + 256 * 4;
  if (index.length < idsAt + 2 * CHECKSUM_BYTES) return null;
  const view = new DataView(index.buffer, index.byteOffset, index.byteLength);
  const count = view.getUint32(8 + 255 * 4);
  const offsetsAt = idsAt + count * 24;
  if (index.length !== offsetsAt + count * 4 + 2 * CHECKSUM_BYTES) return null;
  return Array.from({ length: count }, (_, at) => ({
    oid: index.subarray(idsAt + at * 20, idsAt + at * 20 + 20).toHex() as ObjectId,
    offset: view.getUint32(offsetsAt + at * 4),
  })).sort((a, b) => a.offset - b.offset);
}

function readEntryHeader(
  pack: Uint8Array,
  offset: number,
): { readonly type: ObjectType; readonly size: number; readonly length: number } {
  let at = offset;
  let byte = pack[at++] ?? 0;
  const number = (byte >> 4) & 7;
  let size = byte % 16;
  for (let unit = 16; (byte & 0x80) !== 0; unit *= 128) {
    byte = pack[at++] ?? 0;
    size += (byte % 128) * unit;
  }
  const type = typeOf(number);
  if (type === null) throw new Error(`BUG: a pack of ours holds an entry of type ${number}`);
  return { type, size, length: at - offset };
}

function typeOf(number: number): ObjectType | null {
  switch (number) {
    case TYPE_NUMBERS.commit:
      return "commit";
    case TYPE_NUMBERS.tree:
      return "tree";
    case TYPE_NUMBERS.blob:
      return "blob";
    case TYPE_NUMBERS.tag:
      return "tag";
    default:
      return null;
  }
}

/** In order, as many at a time as fit in one pack. */
export function* chunksOf<T extends { readonly bytes: number }>(all: readonly T[]): Generator<T[]> {
  let some: T[] = [];
  let bytes = 0;
  for (const one of all) {
    some.push(one);
    bytes += one.bytes;
    if (bytes < PACK_BYTES_MAX) continue;
    yield some;
    some = [];
    bytes = 0;
  }
  if (some.length > 0) yield some;
}
