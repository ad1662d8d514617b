/**
 * Segments: the files of the log, `<ten-digit number>.wal`, numbered from 1 without a gap.
 *
 * The first 4,096 bytes are the header, frames (frame.ts) follow. Little endian:
 *
 *    0       magic "LAYERDWL"
 *    8  u32  format version
 *   12  u32  CRC-32 of bytes 0 to 11 and 16 to 63
 *   16  u64  segment number
 *   24       log id, 26 ASCII bytes
 *   50       zeros
 *
 * These 64 bytes stay as they are in every later version, so that each version can name
 * the one that it cannot read. There is no first LSN here: a segment is made before anybody
 * knows which record will reach it, and its first frame says it.
 *
 * S1. A segment is made under a temporary name, filled with written zeros, synced, renamed,
 *     and its directory synced: under its final name it is complete, and an fdatasync of
 *     frames in it never has to allocate.
 * S2. Segments get their final names in the order of their numbers.
 */
import { crc32 } from "node:zlib";
import { join } from "@std/path";
import { type LogId, parseLogId } from "../core/ids.ts";
import type { FileHandle, FileSystem } from "../system/file_system.ts";
import { BLOCK_BYTES, checksumSeed } from "./frame.ts";

export const LOG_FORMAT_VERSION = 1;
/** Offset of the first frame. */
export const SEGMENT_HEADER_BYTES = BLOCK_BYTES;
export const TEMPORARY_SUFFIX = ".tmp";
const MAGIC = new TextEncoder().encode("LAYERDWL");
const HEADER_USED_BYTES = 64;
const LOG_ID_LENGTH = 26;
const NAME = /^(\d{10})\.wal$/;
/** Zeros written at once: short enough for the event loop, long enough to be cheap. */
const ZEROS = new Uint8Array(1024 * 1024);

export function segmentPath(directory: string, number: number): string {
  return join(directory, `${String(number).padStart(10, "0")}.wal`);
}

/** The number in a segment's file name, null for another file. */
export function segmentNumber(name: string): number | null {
  const digits = NAME.exec(name)?.[1];
  return digits === undefined ? null : Number(digits);
}

function encodeHeader(logId: LogId, number: number): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC, 0);
  view.setUint32(8, LOG_FORMAT_VERSION, true);
  view.setBigUint64(16, BigInt(number), true);
  bytes.set(new TextEncoder().encode(logId), 24);
  view.setUint32(12, headerChecksum(bytes), true);
  return bytes;
}

function headerChecksum(bytes: Uint8Array): number {
  return crc32(bytes.subarray(16, HEADER_USED_BYTES), crc32(bytes.subarray(0, 12)));
}

export type SegmentHeader =
  | { readonly kind: "valid"; readonly logId: LogId; readonly number: number }
  | { readonly kind: "newer"; readonly version: number }
  | { readonly kind: "bad"; readonly reason: string };

export function readHeader(bytes: Uint8Array): SegmentHeader {
  if (bytes.length < SEGMENT_HEADER_BYTES) {
    return { kind: "bad", reason: `the file has only ${bytes.length} bytes` };
  }
  if (MAGIC.some((byte, index) => bytes[index] !== byte)) {
    return { kind: "bad", reason: "the header does not begin as one of a layerd log" };
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_USED_BYTES);
  if (view.getUint32(12, true) !== headerChecksum(bytes)) {
    return { kind: "bad", reason: "the header's checksum is wrong" };
  }
  const version = view.getUint32(8, true);
  if (version !== LOG_FORMAT_VERSION) return { kind: "newer", version };
  const logId = new TextDecoder().decode(bytes.subarray(24, 24 + LOG_ID_LENGTH));
  return { kind: "valid", logId: parseLogId(logId), number: Number(view.getBigUint64(16, true)) };
}

export interface SegmentPlan {
  readonly fileSystem: FileSystem;
  readonly directory: string;
  readonly logId: LogId;
  readonly number: number;
  /** Whole file, header included; a multiple of 4,096. */
  readonly size: number;
}

/** A segment that can be written to. */
export class Segment {
  readonly number: number;
  readonly size: number;
  readonly seed: number;
  /** LSNs of the durable frames in it; 0 while there is none. */
  firstLsn = 0;
  lastLsn = 0;
  readonly #plan: SegmentPlan;
  readonly #handle: FileHandle;
  #path: string;
  #filled: number;
  #prepared: Promise<void> | null;
  #isLost = false;

  private constructor(plan: SegmentPlan, handle: FileHandle, path: string, filled: number) {
    this.#plan = plan;
    this.number = plan.number;
    this.size = plan.size;
    this.seed = checksumSeed(plan.logId, plan.number);
    this.#handle = handle;
    this.#path = path;
    this.#filled = filled;
    this.#prepared = filled === plan.size ? Promise.resolve() : null;
  }

  /**
   * Begins a segment under its temporary name with these first frames (none for an empty
   * one); {@link fill} and {@link prepare} complete it.
   */
  static create(plan: SegmentPlan, frames: Uint8Array): Segment {
    const path = segmentPath(plan.directory, plan.number) + TEMPORARY_SUFFIX;
    const handle = plan.fileSystem.open(path, {
      read: true,
      write: true,
      createNew: true,
      mode: 0o600,
    });
    const segment = new Segment(plan, handle, path, SEGMENT_HEADER_BYTES + frames.length);
    try {
      handle.writeAt(encodeHeader(plan.logId, plan.number), 0);
      handle.writeAt(frames, SEGMENT_HEADER_BYTES);
    } catch (error) {
      segment.discard();
      throw error;
    }
    return segment;
  }

  /** Opens a complete segment. */
  static open(plan: SegmentPlan): Segment {
    const path = segmentPath(plan.directory, plan.number);
    const handle = plan.fileSystem.open(path, { read: true, write: true });
    return new Segment(plan, handle, path, plan.size);
  }

  get path(): string {
    return this.#path;
  }

  get isFilled(): boolean {
    return this.#filled === this.size;
  }

  /** Writes at most 1 MiB of the zeros that are still missing. */
  fillSome(): void {
    const length = Math.min(ZEROS.length, this.size - this.#filled);
    this.#handle.writeAt(ZEROS.subarray(0, length), this.#filled);
    this.#filled += length;
  }

  fill(): void {
    while (!this.isFilled) this.fillSome();
  }

  /** Makes a filled segment durable under its final name; log_space.ts keeps the order (S2). */
  prepare(): Promise<void> {
    this.#prepared ??= this.#finish();
    return this.#prepared;
  }

  async #finish(): Promise<void> {
    try {
      await this.#handle.sync();
      const path = segmentPath(this.#plan.directory, this.number);
      this.#plan.fileSystem.rename(this.#path, path);
      this.#path = path;
      await this.#plan.fileSystem.syncDirectory(this.#plan.directory);
    } catch (error) {
      this.#isLost = true;
      throw error;
    }
  }

  /** Whether {@link prepare} failed; such a segment can only be discarded. */
  get isLost(): boolean {
    return this.#isLost;
  }

  writeAt(bytes: Uint8Array, offset: number): void {
    this.#handle.writeAt(bytes, offset);
  }

  syncData(): Promise<void> {
    return this.#handle.syncData();
  }

  close(): void {
    this.#handle.close();
  }

  /**
   * Closes a segment that will not be used and removes its temporary file. Under its final
   * name it stays: it may have replaced one whose records it holds.
   */
  discard(): void {
    this.#handle.close();
    if (this.#path.endsWith(TEMPORARY_SUFFIX)) this.#plan.fileSystem.unlink(this.#path);
  }
}
