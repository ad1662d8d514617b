/** Reads durable records back from the segments that hold them. */
import { LayerdError } from "../core/errors.ts";
import { type Lsn, toLsn } from "../core/ids.ts";
import { decodeRecord } from "../core/log_record_codec.ts";
import type { LoggedRecord } from "../core/log_record.ts";
import type { FileSystem } from "../system/file_system.ts";
import { frameAfter } from "./frame.ts";
import { SEGMENT_HEADER_BYTES } from "./segment.ts";

/** A segment as far as reading goes. LSNs are 0 where it holds no frame. */
export interface ReadableSegment {
  readonly path: string;
  readonly seed: number;
  readonly firstLsn: number;
  readonly lastLsn: number;
}

/**
 * Yields the records from `from` to `upTo`, both included. One segment is in memory at a
 * time. Throws `io_error` when a frame that was valid once is no longer.
 */
export function* readRecords(
  fileSystem: FileSystem,
  segments: readonly ReadableSegment[],
  from: Lsn,
  upTo: Lsn,
): Generator<LoggedRecord> {
  for (const segment of segments) {
    if (segment.lastLsn < from || segment.firstLsn > upTo) continue;
    const bytes = fileSystem.readFile(segment.path);
    const last = Math.min(segment.lastLsn, upTo);
    let offset = SEGMENT_HEADER_BYTES;
    for (let lsn = segment.firstLsn; lsn <= last; lsn += 1) {
      const frame = frameAfter(bytes, segment.seed, offset, lsn);
      if (frame === null) {
        const text = `Log segment ${segment.path} is damaged at offset ${offset}: record ${lsn} ` +
          "was readable when the log was opened";
        throw new LayerdError("io_error", text);
      }
      if (lsn >= from) yield { lsn: toLsn(lsn), record: decodeRecord(frame.payload) };
      offset = frame.end;
    }
  }
}
