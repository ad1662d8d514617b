/** Lays the frames of one force out as whole blocks, one run of bytes a segment. */
import type { Lsn } from "../core/ids.ts";
import type { Checkpoint } from "./checkpoint_meter.ts";
import {
  blockCeiling,
  FRAME_TYPE_CHECKPOINT,
  FRAME_TYPE_RECORD,
  frameBytes,
  writeFrame,
} from "./frame.ts";
import type { Place } from "./log_space.ts";
import type { Segment } from "./segment.ts";

/** A record that has its place and waits for the next force. */
export interface PendingFrame {
  readonly lsn: Lsn;
  readonly place: Place;
  readonly payload: Uint8Array;
  /** What the record says, when it is a checkpoint. */
  readonly checkpoint: Checkpoint | null;
}

/** The frames of one force that stand in one segment. */
export interface Run {
  readonly segment: Segment;
  readonly offset: number;
  /** Whole blocks; what the frames do not fill is zeros. */
  readonly bytes: Uint8Array;
  readonly firstLsn: Lsn;
  readonly lastLsn: Lsn;
  /** End of the last frame in the file. */
  readonly end: number;
}

/** What every frame of one force says about the log at that moment. */
export interface ForceStamp {
  readonly durableLsn: Lsn;
  readonly incarnation: number;
}

export function layOut(frames: readonly PendingFrame[], stamp: ForceStamp): Run[] {
  const runs: Run[] = [];
  let from = 0;
  for (const [index, frame] of frames.entries()) {
    if (frames[index + 1]?.place.segment === frame.place.segment) continue;
    const first = frames[from];
    if (first === undefined) break;
    runs.push(layOutRun(frames.slice(from, index + 1), first, frame, stamp));
    from = index + 1;
  }
  return runs;
}

function layOutRun(
  frames: readonly PendingFrame[],
  first: PendingFrame,
  last: PendingFrame,
  stamp: ForceStamp,
): Run {
  const { segment, offset } = first.place;
  const end = last.place.offset + frameBytes(last.payload.length);
  const bytes = new Uint8Array(blockCeiling(end) - offset);
  for (const { lsn, place, payload, checkpoint } of frames) {
    const type = checkpoint === null ? FRAME_TYPE_RECORD : FRAME_TYPE_CHECKPOINT;
    const frame = { type, lsn, payload, ...stamp };
    writeFrame(bytes, place.offset - offset, segment.seed, place.offset, frame);
  }
  return { segment, offset, bytes, firstLsn: first.lsn, lastLsn: last.lsn, end };
}
