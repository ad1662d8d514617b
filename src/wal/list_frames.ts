/** Lists every valid frame of a log, also behind damage: what can be saved. */
import { messageOf } from "../core/errors.ts";
import type { LogRecord } from "../core/log_record.ts";
import { decodeRecord } from "../core/log_record_codec.ts";
import type { FileSystem } from "../system/file_system.ts";
import { checksumSeed, findFrames } from "./frame.ts";
import type { LogScan } from "./scan_log.ts";
import { SEGMENT_HEADER_BYTES, segmentNumber, segmentPath } from "./segment.ts";

export interface ListedFrame {
  readonly path: string;
  readonly offset: number;
  readonly lsn: number;
  /** How far the log was durable when this frame was written. */
  readonly durableLsn: number;
  readonly incarnation: number;
  readonly content: { readonly record: LogRecord } | { readonly undecodable: string };
}

/** Yields the frames segment by segment; one segment is in memory at a time. */
export function* listFrames(fileSystem: FileSystem, scan: LogScan): Generator<ListedFrame> {
  if (scan.logId === null) return;
  const numbers = fileSystem.readDirectory(scan.directory)
    .flatMap((entry) => segmentNumber(entry.name) ?? [])
    .sort((a, b) => a - b);
  for (const number of numbers) {
    const path = segmentPath(scan.directory, number);
    const seed = checksumSeed(scan.logId, number);
    const { frames } = findFrames(fileSystem.readFile(path), seed, SEGMENT_HEADER_BYTES);
    for (const { offset, lsn, durableLsn, incarnation, payload } of frames) {
      yield { path, offset, lsn, durableLsn, incarnation, content: contentOf(payload) };
    }
  }
}

function contentOf(payload: Uint8Array): ListedFrame["content"] {
  try {
    return { record: decodeRecord(payload) };
  } catch (error) {
    return { undecodable: messageOf(error) };
  }
}
