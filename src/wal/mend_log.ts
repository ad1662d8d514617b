/**
 * Mends a damaged log where that takes nothing from it: when every record that anybody still
 * needs is whole, only not where the scan follows.
 *
 * M1. Needed is what stands at or above the redo position R of a checkpoint that is whole:
 *     below it all is durable elsewhere (S. "checkpoint" in core/log_record.ts). Mendable is a
 *     log of which all records from R to the highest LSN that any frame vouches for are there,
 *     each with its checksum, and no LSN twice with different contents.
 * M2. The records are written into one new segment behind all others, complete and durable
 *     under its final name before anything else changes. The old segments are then moved into
 *     a directory aside, oldest first. Until the last of them has gone the log is as damaged
 *     as before and refuses to open; run again, the mending finds the same records.
 * M3. Nothing is deleted.
 */
import { basename } from "@std/path";
import type { LogId } from "../core/ids.ts";
import type { LogRecord } from "../core/log_record.ts";
import { decodeRecord } from "../core/log_record_codec.ts";
import type { FileSystem } from "../system/file_system.ts";
import {
  blockCeiling,
  checksumSeed,
  findFrames,
  type Frame,
  FRAME_TYPE_CHECKPOINT,
  frameBytes,
  writeFrame,
} from "./frame.ts";
import {
  readHeader,
  Segment,
  SEGMENT_HEADER_BYTES,
  segmentNumber,
  segmentPath,
  TEMPORARY_SUFFIX,
} from "./segment.ts";

/** A frame wherever it stands, with the record that it holds (null: not decodable). */
export interface SavedFrame extends Frame {
  readonly path: string;
  readonly offset: number;
  readonly record: LogRecord | null;
}

/** What can be read of a damaged log. */
export interface SavedLog {
  readonly logId: LogId;
  /** By LSN, lowest first. */
  readonly frames: readonly SavedFrame[];
  /** LSNs that stand twice with different contents. */
  readonly contradictory: ReadonlySet<number>;
}

/** Reads every frame of a log directory that has its checksum; null where no header is whole. */
export function saveLog(fileSystem: FileSystem, directory: string): SavedLog | null {
  const segments = segmentsOf(fileSystem, directory);
  const logId = commonestId(segments);
  if (logId === null) return null;
  const byLsn = new Map<number, SavedFrame>();
  const contradictory = new Set<number>();
  for (const segment of segments) {
    // A foreign segment's frames have another checksum and are not found.
    for (const number of segment.numbers) {
      const seed = checksumSeed(logId, number);
      const { frames } = findFrames(segment.bytes, seed, SEGMENT_HEADER_BYTES);
      for (const frame of frames) {
        const before = byLsn.get(frame.lsn);
        if (before !== undefined && !isSame(before, frame)) contradictory.add(frame.lsn);
        byLsn.set(frame.lsn, { ...frame, path: segment.path, record: recordIn(frame) });
      }
    }
  }
  const frames = [...byLsn.values()].sort((a, b) => a.lsn - b.lsn);
  return { logId, frames, contradictory };
}

interface ReadSegment {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly logId: LogId | null;
  /** Numbers that its frames may have been written under: by its name, by its header. */
  readonly numbers: ReadonlySet<number>;
}

function segmentsOf(fileSystem: FileSystem, directory: string): ReadSegment[] {
  return segmentNumbers(fileSystem, directory).map((number) => {
    const path = segmentPath(directory, number);
    const bytes = fileSystem.readFile(path);
    const header = readHeader(bytes);
    if (header.kind !== "valid") return { path, bytes, logId: null, numbers: new Set([number]) };
    return { path, bytes, logId: header.logId, numbers: new Set([number, header.number]) };
  });
}

/** A segment of another log may stand among ours; most of them are ours. */
function commonestId(segments: readonly ReadSegment[]): LogId | null {
  const ids = segments.flatMap(({ logId }) => logId ?? []);
  const count = (id: LogId) => ids.filter((other) => other === id).length;
  return ids.sort((a, b) => count(b) - count(a))[0] ?? null;
}

function segmentNumbers(fileSystem: FileSystem, directory: string): number[] {
  return fileSystem.readDirectory(directory).flatMap(({ name }) => segmentNumber(name) ?? [])
    .sort((a, b) => a - b);
}

function isSame(a: Frame, b: Frame): boolean {
  return a.type === b.type && a.payload.length === b.payload.length &&
    a.payload.every((byte, index) => byte === b.payload[index]);
}

function recordIn(frame: Frame): LogRecord | null {
  try {
    return decodeRecord(frame.payload);
  } catch {
    return null;
  }
}

/** The frames that a mended log consists of, or why it cannot be mended. */
export function framesToKeep(saved: SavedLog): readonly SavedFrame[] | string {
  const vouched = saved.frames.reduce((high, { durableLsn }) => Math.max(high, durableLsn), 0);
  const byLsn = new Map(saved.frames.map((frame) => [frame.lsn, frame]));
  const redoLsns = [1, ...saved.frames.flatMap(redoLsnIn)].sort((a, b) => b - a);
  let missing: number | null = null;
  for (const redoLsn of redoLsns) {
    const run: SavedFrame[] = [];
    for (let lsn = redoLsn; !saved.contradictory.has(lsn); lsn += 1) {
      const frame = byLsn.get(lsn);
      // One that cannot be decoded was written by another version: not ours to carry over.
      if (frame === undefined || frame.record === null) break;
      run.push(frame);
    }
    const last = run.at(-1)?.lsn ?? 0;
    // The checkpoint itself belongs to what is kept: without it the log would begin too late.
    const holdsItsCheckpoint = redoLsn === 1 ||
      run.some((frame) => redoLsnIn(frame)[0] === redoLsn);
    if (last >= vouched && last > 0 && holdsItsCheckpoint) return run;
    missing ??= Math.max(last + 1, redoLsn);
  }
  return `record ${missing} is needed and cannot be read`;
}

function redoLsnIn({ type, record }: SavedFrame): number[] {
  return type === FRAME_TYPE_CHECKPOINT && record?.kind === "checkpoint" ? [record.redoLsn] : [];
}

/** M2. Answers the directory that the old segments were moved to. */
export async function rewriteLog(
  fileSystem: FileSystem,
  directory: string,
  logId: LogId,
  frames: readonly SavedFrame[],
): Promise<string> {
  const old = segmentNumbers(fileSystem, directory);
  const number = (old.at(-1) ?? 0) + 1;
  const seed = checksumSeed(logId, number);
  const unfinished = segmentPath(directory, number) + TEMPORARY_SUFFIX;
  if (fileSystem.lstatIfAny(unfinished) !== null) fileSystem.unlink(unfinished);
  const bytes = new Uint8Array(frames.reduce((n, one) => n + frameBytes(one.payload.length), 0));
  let at = 0;
  for (const frame of frames) {
    writeFrame(bytes, at, seed, SEGMENT_HEADER_BYTES + at, frame);
    at += frameBytes(frame.payload.length);
  }
  const size = blockCeiling(SEGMENT_HEADER_BYTES + bytes.length);
  const segment = Segment.create({ fileSystem, directory, logId, number, size }, bytes);
  try {
    segment.fill();
    await segment.prepare();
  } catch (error) {
    segment.discard();
    throw error;
  }
  segment.close();
  const aside = freeName(fileSystem, `${directory}.damaged`);
  fileSystem.makeDirectory(aside, 0o700);
  for (const one of old) {
    const path = segmentPath(directory, one);
    fileSystem.rename(path, `${aside}/${basename(path)}`);
    // Oldest first also on disk: behind a power loss a gap is never in the middle.
    await fileSystem.syncDirectory(directory);
  }
  await fileSystem.syncDirectory(aside);
  return aside;
}

function freeName(fileSystem: FileSystem, path: string): string {
  for (let n = 1;; n += 1) {
    if (fileSystem.lstatIfAny(`${path}-${n}`) === null) return `${path}-${n}`;
  }
}
