/**
 * Reads a log as it lies on disk and judges it; changes nothing. Opening acts on the
 * verdict.
 *
 * The scan follows the frames by their LSNs, across segments. Where the next one is missing
 * it looks on to the end of the log:
 *
 * | what stands behind the missing frame                       | verdict |
 * |------------------------------------------------------------|---------|
 * | only zeros                                                 | clean   |
 * | a valid frame that says the missing one was durable before | damaged |
 * | anything else: the end of a force that nobody was told of  | torn    |
 *
 * Damaged are also: a header that is not valid, a segment under another's number, another
 * log's segment, and a log that begins above its redo position.
 */
import { join } from "@std/path";
import { type LogId, type Lsn, toLsn } from "../core/ids.ts";
import { decodeRecord } from "../core/log_record_codec.ts";
import { messageOf } from "../core/errors.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { Checkpoint } from "./checkpoint_meter.ts";
import {
  blockCeiling,
  checksumSeed,
  findFrames,
  FRAME_TYPE_CHECKPOINT,
  FRAME_TYPE_RECORD,
  frameAfter,
  type LocatedFrame,
} from "./frame.ts";
import {
  readHeader,
  SEGMENT_HEADER_BYTES,
  segmentNumber,
  segmentPath,
  TEMPORARY_SUFFIX,
} from "./segment.ts";

/** A byte of the log. */
export interface LogPosition {
  readonly path: string;
  readonly offset: number;
}

export type LogVerdict =
  /** No segment: a log that was never begun. */
  | { readonly kind: "empty" }
  | { readonly kind: "clean" }
  | { readonly kind: "torn"; readonly at: LogPosition }
  | { readonly kind: "damaged"; readonly at: LogPosition; readonly reason: string }
  /** Written by another version of layerd. */
  | { readonly kind: "unsupported"; readonly at: LogPosition; readonly reason: string };

export interface ScannedSegment {
  readonly number: number;
  readonly path: string;
  readonly size: number;
  readonly seed: number;
  /** LSNs of the frames that belong to the log; 0 where there is none. */
  readonly firstLsn: number;
  readonly lastLsn: number;
  readonly frames: number;
  /** Where the last of these frames ends. */
  readonly end: number;
  /** Whether anything but zeros stands behind that. */
  readonly isUsedBehind: boolean;
}

export interface LogScan {
  readonly directory: string;
  readonly verdict: LogVerdict;
  readonly logId: LogId | null;
  /** The segments of the log, oldest first, as far as the scan got. */
  readonly segments: readonly ScannedSegment[];
  /** Older segments below a gap, which an interrupted release left. */
  readonly leftovers: readonly string[];
  /** Unfinished segments. */
  readonly temporaries: readonly string[];
  readonly firstLsn: Lsn;
  readonly lastLsn: Lsn;
  /** The highest LSN that some frame vouches for as durable. */
  readonly durableLsn: Lsn;
  readonly incarnation: number;
  readonly checkpoint: Checkpoint | null;
}

/** Scans the log in a directory. Throws FileSystemError where a file cannot be read. */
export function scanLog(fileSystem: FileSystem, directory: string): LogScan {
  const names = fileSystem.readDirectory(directory).map((entry) => entry.name);
  const numbers = names.flatMap((name) => segmentNumber(name) ?? []).sort((a, b) => a - b);
  const gap = numbers.findLastIndex((number, i) => i > 0 && number !== (numbers[i - 1] ?? 0) + 1);
  const first = Math.max(gap, 0);
  const scanner = new Scanner();
  for (const number of numbers.slice(first)) {
    const path = segmentPath(directory, number);
    const verdict = scanner.scan(path, number, fileSystem.readFile(path));
    if (verdict !== null) break;
  }
  return {
    directory,
    ...scanner.result(),
    leftovers: numbers.slice(0, first).map((number) => segmentPath(directory, number)),
    temporaries: names.filter((name) => name.endsWith(`.wal${TEMPORARY_SUFFIX}`))
      .map((name) => join(directory, name)),
  };
}

class Scanner {
  readonly #segments: ScannedSegment[] = [];
  #verdict: LogVerdict | null = null;
  #logId: LogId | null = null;
  #firstLsn = 0;
  #lastLsn = 0;
  #durableLsn = 0;
  #incarnation = 0;
  #checkpoint: Checkpoint | null = null;
  /** Where the frame after the last good one is missing. */
  #stop: LogPosition | null = null;
  /** Behind that place: whether anything is there, and the first frame that vouches for it. */
  #isUsedBehind = false;
  #witness: LogPosition | null = null;

  /** Takes in the next segment; a verdict when the log cannot be followed any further. */
  scan(path: string, number: number, bytes: Uint8Array): LogVerdict | null {
    const header = readHeader(bytes);
    const at = { path, offset: 0 };
    if (header.kind === "newer") {
      const reason = `it has log format version ${header.version}, which this layerd cannot read`;
      return this.#end({ kind: "unsupported", at, reason });
    }
    if (header.kind === "bad") return this.#end({ kind: "damaged", at, reason: header.reason });
    if (header.number !== number) {
      const reason = `its header says that it is segment ${header.number}`;
      return this.#end({ kind: "damaged", at, reason });
    }
    this.#logId ??= header.logId;
    if (header.logId !== this.#logId) {
      const reason = `it belongs to log ${header.logId}, the segments before it to ${this.#logId}`;
      return this.#end({ kind: "damaged", at, reason });
    }
    return this.#follow(path, number, bytes);
  }

  #end(verdict: LogVerdict): LogVerdict {
    this.#verdict = verdict;
    return verdict;
  }

  #follow(path: string, number: number, bytes: Uint8Array): LogVerdict | null {
    if (this.#logId === null) return null;
    const seed = checksumSeed(this.#logId, number);
    let end = SEGMENT_HEADER_BYTES;
    let frames = 0;
    let firstLsn = 0;
    for (;;) {
      const frame = frameAfter(bytes, seed, end, this.#expected());
      if (frame === null) break;
      const verdict = this.#accept(path, frame);
      if (verdict !== null) return verdict;
      if (frames === 0) firstLsn = frame.lsn;
      frames += 1;
      end = frame.end;
    }
    // Frames that go on in this segment prove that nothing was lost before it.
    if (frames > 0 || this.#stop === null) {
      this.#stop = { path, offset: end };
      this.#isUsedBehind = false;
    }
    const behind = findFrames(bytes, seed, end);
    this.#look(path, behind.frames);
    this.#isUsedBehind ||= behind.used;
    this.#segments.push({
      number,
      path,
      size: bytes.length,
      seed,
      firstLsn,
      lastLsn: frames === 0 ? 0 : this.#lastLsn,
      frames,
      end,
      isUsedBehind: behind.used,
    });
    return null;
  }

  /** The LSN that comes next; null at the beginning, which #judge() looks at. */
  #expected(): number | null {
    return this.#lastLsn > 0 ? this.#lastLsn + 1 : null;
  }

  #accept(path: string, frame: LocatedFrame): LogVerdict | null {
    const at = { path, offset: frame.offset };
    if (frame.type !== FRAME_TYPE_RECORD && frame.type !== FRAME_TYPE_CHECKPOINT) {
      const reason = `record ${frame.lsn} has type ${frame.type}, which this layerd cannot read`;
      return this.#end({ kind: "unsupported", at, reason });
    }
    if (frame.type === FRAME_TYPE_CHECKPOINT) {
      const redoLsn = redoLsnOf(frame.payload);
      // Its checksum is right, so that it is not damaged: another version wrote it.
      if (typeof redoLsn === "string") {
        return this.#end({ kind: "unsupported", at, reason: redoLsn });
      }
      this.#checkpoint = { lsn: toLsn(frame.lsn), redoLsn };
    }
    if (this.#firstLsn === 0) this.#firstLsn = frame.lsn;
    this.#lastLsn = frame.lsn;
    this.#durableLsn = Math.max(this.#durableLsn, frame.durableLsn);
    this.#incarnation = Math.max(this.#incarnation, frame.incarnation);
    return null;
  }

  #look(path: string, frames: readonly LocatedFrame[]): void {
    const witness = frames.find((frame) => frame.durableLsn > this.#lastLsn);
    if (witness !== undefined) this.#witness ??= { path, offset: witness.offset };
  }

  result(): Omit<LogScan, "directory" | "leftovers" | "temporaries"> {
    return {
      verdict: this.#verdict ?? this.#judge(),
      logId: this.#logId,
      segments: this.#segments,
      firstLsn: toLsn(this.#firstLsn),
      lastLsn: toLsn(this.#lastLsn),
      durableLsn: toLsn(this.#durableLsn),
      incarnation: this.#incarnation,
      checkpoint: this.#checkpoint,
    };
  }

  #judge(): LogVerdict {
    const first = this.#segments[0];
    const at = this.#stop;
    if (first === undefined || at === null) return { kind: "empty" };
    if (this.#witness !== null) {
      const { path, offset } = this.#witness;
      const reason = `record ${this.#lastLsn + 1} is missing there, and a later one (${path}, ` +
        `offset ${offset}) says that it was durable`;
      return { kind: "damaged", at, reason };
    }
    const redoLsn = this.#checkpoint?.redoLsn ?? 1;
    const begins = this.#firstLsn > 0 ? this.#firstLsn <= redoLsn : first.number === 1;
    if (!begins) {
      const reason = `the log must begin at record ${redoLsn} or before, so that segment ` +
        `${first.number - 1} or its records are missing`;
      return { kind: "damaged", at: { path: first.path, offset: SEGMENT_HEADER_BYTES }, reason };
    }
    return this.#isUsedBehind ? { kind: "torn", at } : { kind: "clean" };
  }
}

function redoLsnOf(payload: Uint8Array): Lsn | string {
  try {
    const record = decodeRecord(payload);
    return record.kind === "checkpoint" ? record.redoLsn : `a ${record.kind} record as checkpoint`;
  } catch (error) {
    return `its checkpoint record cannot be decoded: ${messageOf(error)}`;
  }
}

/** Bytes of log from a record on, to the segment. */
export function bytesFrom(scan: LogScan, lsn: Lsn): number {
  return scan.segments
    .filter((segment) => segment.lastLsn >= lsn)
    .reduce((sum, segment) => sum + blockCeiling(segment.end) - SEGMENT_HEADER_BYTES, 0);
}
