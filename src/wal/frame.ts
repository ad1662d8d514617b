/**
 * Frames: the bytes of one record in a segment. Each stands on its own, so that the frames
 * behind a damaged one can still be verified. Little endian; starts at a multiple of 8.
 *
 *    0  u32  magic 0x4644594c ("LYDF")
 *    4  u32  CRC-32 of: log id (26 ASCII bytes), segment number (u64), the frame's offset
 *            in the file (u64), then the frame from byte 8 to the end of the payload
 *    8  u32  payload length
 *   12  u16  type: 1 record, 2 checkpoint record
 *   14  u16  0
 *   16  u64  LSN
 *   24  u64  highest LSN known durable when this frame was written
 *   32  u32  incarnation of the daemon that wrote it
 *   36  u32  0
 *   40       payload (log_record_codec.ts), then zeros up to a multiple of 8
 *
 * Each force starts on a 4,096-byte boundary, so that a torn write cannot reach frames that
 * were durable before. The frame with LSN n + 1 stands directly behind the frame with LSN n,
 * on the next boundary, or first in a later segment; what the padding in between holds does
 * not matter, and so its damage does no harm.
 */
import { crc32 } from "node:zlib";
import type { LogId } from "../core/ids.ts";

export const BLOCK_BYTES = 4_096;
export const FRAME_HEADER_BYTES = 40;
const FRAME_ALIGNMENT = 8;
const MAGIC = 0x4644594c;
/** Where what the checksum covers begins. */
const COVERED_FROM = 8;

/** A checkpoint has a type of its own so that opening finds it without decoding the rest. */
export const FRAME_TYPE_RECORD = 1;
export const FRAME_TYPE_CHECKPOINT = 2;

export interface Frame {
  readonly type: number;
  readonly lsn: number;
  readonly durableLsn: number;
  readonly incarnation: number;
  readonly payload: Uint8Array;
}

/** A frame found in a segment: `offset` of its first byte, `end` where the next may begin. */
export interface LocatedFrame extends Frame {
  readonly offset: number;
  readonly end: number;
}

/** Bytes that a frame takes with its padding. */
export function frameBytes(payloadLength: number): number {
  const bytes = FRAME_HEADER_BYTES + payloadLength;
  return Math.ceil(bytes / FRAME_ALIGNMENT) * FRAME_ALIGNMENT;
}

/** The next 4,096-byte boundary at or above an offset. */
export function blockCeiling(offset: number): number {
  return Math.ceil(offset / BLOCK_BYTES) * BLOCK_BYTES;
}

/** The part of a frame's checksum that all frames of a segment share. */
export function checksumSeed(logId: LogId, segmentNumber: number): number {
  return crc32(u64(segmentNumber), crc32(new TextEncoder().encode(logId)));
}

function u64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}

/** Writes a frame into `target` at `index`; it will stand at `offset` of its file. */
export function writeFrame(
  target: Uint8Array,
  index: number,
  seed: number,
  offset: number,
  frame: Frame,
): void {
  const end = FRAME_HEADER_BYTES + frame.payload.length;
  const bytes = target.subarray(index, index + end);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  view.setUint32(0, MAGIC, true);
  view.setUint32(8, frame.payload.length, true);
  view.setUint16(12, frame.type, true);
  view.setUint16(14, 0, true);
  view.setBigUint64(16, BigInt(frame.lsn), true);
  view.setBigUint64(24, BigInt(frame.durableLsn), true);
  view.setUint32(32, frame.incarnation, true);
  view.setUint32(36, 0, true);
  bytes.set(frame.payload, FRAME_HEADER_BYTES);
  view.setUint32(4, crc32(bytes.subarray(COVERED_FROM), crc32(u64(offset), seed)), true);
}

/** The frame at `offset` of a segment's bytes, or null when no valid one is there. */
export function readFrame(segment: Uint8Array, seed: number, offset: number): LocatedFrame | null {
  if (offset + FRAME_HEADER_BYTES > segment.length) return null;
  const view = new DataView(segment.buffer, segment.byteOffset + offset, segment.length - offset);
  if (view.getUint32(0, true) !== MAGIC) return null;
  const length = view.getUint32(8, true);
  // The length is not verified yet: bound it by what is there before anything uses it.
  if (length > view.byteLength - FRAME_HEADER_BYTES) return null;
  const covered = segment.subarray(offset + COVERED_FROM, offset + FRAME_HEADER_BYTES + length);
  if (view.getUint32(4, true) !== crc32(covered, crc32(u64(offset), seed))) return null;
  return {
    type: view.getUint16(12, true),
    lsn: Number(view.getBigUint64(16, true)),
    durableLsn: Number(view.getBigUint64(24, true)),
    incarnation: view.getUint32(32, true),
    payload: covered.subarray(FRAME_HEADER_BYTES - COVERED_FROM),
    offset,
    end: offset + frameBytes(length),
  };
}

/**
 * The frame that follows a frame which ended at `end`: directly behind it or on the next
 * boundary. `lsn` is the one that it must have; null accepts any, for the first frame of a
 * log whose older segments were released.
 */
export function frameAfter(
  segment: Uint8Array,
  seed: number,
  end: number,
  lsn: number | null,
): LocatedFrame | null {
  for (const offset of new Set([end, blockCeiling(end)])) {
    const frame = readFrame(segment, seed, offset);
    if (frame !== null && (lsn === null || frame.lsn === lsn)) return frame;
  }
  return null;
}

/** What stands in a segment behind the place where the expected frame is missing. */
export interface Remains {
  /** Whether anything but zeros is there. */
  readonly used: boolean;
  /** Valid frames, in the order of their offsets. */
  readonly frames: readonly LocatedFrame[];
}

/** Looks for valid frames at every place where one could start. */
export function findFrames(segment: Uint8Array, seed: number, from: number): Remains {
  const view = new DataView(segment.buffer, segment.byteOffset, segment.length);
  const frames: LocatedFrame[] = [];
  let used = false;
  let offset = from;
  while (offset + FRAME_ALIGNMENT <= segment.length) {
    const first = view.getUint32(offset, true);
    used ||= first !== 0 || view.getUint32(offset + 4, true) !== 0;
    const frame = first === MAGIC ? readFrame(segment, seed, offset) : null;
    if (frame !== null) frames.push(frame);
    offset = frame?.end ?? offset + FRAME_ALIGNMENT;
  }
  used ||= segment.subarray(offset).some((byte) => byte !== 0);
  return { used, frames };
}
