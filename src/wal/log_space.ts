/**
 * The preallocated space of a log: the segment that the next force writes to, the prepared
 * ones behind it, and the cursor that says where the next frame goes.
 *
 * P1. place() hands out only bytes that are on disk already as written zeros, so that a
 *     full disk is met when a record is appended, not when it is forced.
 * P2. Ordinary records leave `reserveBytes` of that space free; only `reserved` ones
 *     (records that finish what was decided) may use it.
 * P3. A force starts on a 4,096-byte boundary: beginForce() moves the cursor there.
 * P4. `segments[0]` holds the end of the durable log, or the place where it will go on.
 */
import { getLogger } from "@logtape/logtape";
import { invariant, LayerdError, messageOf } from "../core/errors.ts";
import type { LogId } from "../core/ids.ts";
import type { Clock } from "../system/clock.ts";
import { errorCode, type FileSystem } from "../system/file_system.ts";
import { blockCeiling } from "./frame.ts";
import { Segment, SEGMENT_HEADER_BYTES } from "./segment.ts";

const logger = getLogger(["layerd", "wal"]);

/** After the disk was found full, looked at again only after this time. */
const FULL_RETRY_MS = 1_000;

export interface LogSizes {
  /** Size of an ordinary segment; a multiple of 4,096. */
  readonly segmentBytes: number;
  /** See P2. */
  readonly reserveBytes: number;
}

export interface Place {
  readonly segment: Segment;
  readonly offset: number;
}

/** Where the next frame goes: index into the segments, offset in that file. */
export interface Cursor {
  readonly index: number;
  readonly offset: number;
}

export type Claim = "ordinary" | "reserved";

export interface LogSpaceOptions {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly directory: string;
  readonly logId: LogId;
  readonly sizes: LogSizes;
  /** Complete segments in the order of their numbers; the first goes on at `offset`. */
  readonly segments: readonly [Segment, ...Segment[]];
  readonly offset: number;
}

/** Whether a failure means that there is no room, now. */
export function isNoSpace(error: unknown): boolean {
  const code = errorCode(error);
  return code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG";
}

export class LogSpace {
  readonly #options: LogSpaceOptions;
  readonly #segments: Segment[];
  /** End of the durable log in `segments[0]`. */
  #durableEnd: number;
  #cursor: Cursor;
  /** A segment that is being filled ahead; not one of the segments yet. */
  #draft: Segment | null = null;
  #ahead: Promise<void> | null = null;
  #fullUntilMs = -Infinity;
  /** No room for a next segment at the last try; none for the bytes of the last force. */
  #lacksSegment = false;
  #lacksBytes = false;
  #closing = false;

  constructor(options: LogSpaceOptions) {
    this.#options = options;
    this.#segments = [...options.segments];
    this.#durableEnd = options.offset;
    this.#cursor = { index: 0, offset: options.offset };
  }

  /** Segments that can still be written to, oldest first. */
  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /** Where the next frame would go; for {@link rewind} within the same synchronous run. */
  get cursor(): Cursor {
    return { ...this.#cursor };
  }

  rewind(cursor: Cursor): void {
    this.#cursor = cursor;
  }

  /** Whether the last try to make room, or to write, met a full disk. */
  get isFull(): boolean {
    return this.#lacksSegment || this.#lacksBytes;
  }

  /** Reserves room for a frame of `bytes`; throws `no_space` when there is none (P1, P2). */
  place(bytes: number, claim: Claim): Place {
    const keepFree = claim === "reserved" ? 0 : this.#options.sizes.reserveBytes;
    for (;;) {
      const place = this.#find(bytes, keepFree);
      if (place !== null) return place;
      this.#grow(bytes);
    }
  }

  #find(bytes: number, keepFree: number): Place | null {
    for (let index = this.#cursor.index; index < this.#segments.length; index += 1) {
      const segment = this.#segments[index];
      if (segment === undefined) break;
      const offset = index === this.#cursor.index ? this.#cursor.offset : SEGMENT_HEADER_BYTES;
      if (offset + bytes > segment.size) continue;
      if (this.#freeFrom(index, offset + bytes) < keepFree) return null;
      this.#cursor = { index, offset: offset + bytes };
      return { segment, offset };
    }
    return null;
  }

  /** Bytes for later forces once a frame ends at this place. */
  #freeFrom(index: number, end: number): number {
    let free = -blockCeiling(end);
    for (const [other, segment] of this.#segments.entries()) {
      if (other === index) free += segment.size;
      if (other > index) free += segment.size - SEGMENT_HEADER_BYTES;
    }
    return free;
  }

  /** Adds a filled segment with room for a frame of `bytes`, at once. */
  #grow(bytes: number): void {
    if (this.#draft === null && this.#options.clock.monotonic() < this.#fullUntilMs) {
      throw this.#noSpace();
    }
    try {
      const draft = this.#draft ?? this.#create(bytes);
      this.#draft = draft;
      draft.fill();
      this.#adopt(draft);
    } catch (error) {
      this.#dropDraft();
      if (!isNoSpace(error)) throw error;
      this.#lacksSegment = true;
      this.#fullUntilMs = this.#options.clock.monotonic() + FULL_RETRY_MS;
      throw this.#noSpace(error);
    }
  }

  #noSpace(cause?: unknown): LayerdError {
    const text = `No space for the log in ${this.#options.directory}`;
    return new LayerdError("no_space", text, { retry_after_ms: FULL_RETRY_MS }, cause);
  }

  #create(bytes: number): Segment {
    const { fileSystem, directory, logId, sizes } = this.#options;
    const last = this.#segments.at(-1);
    invariant(last !== undefined, "a log space without a segment");
    const size = Math.max(sizes.segmentBytes, blockCeiling(SEGMENT_HEADER_BYTES + bytes));
    const plan = { fileSystem, directory, logId, number: last.number + 1, size };
    return Segment.create(plan, new Uint8Array(0));
  }

  #adopt(draft: Segment): void {
    this.#segments.push(draft);
    this.#draft = null;
    this.#lacksSegment = false;
  }

  #dropDraft(): void {
    const draft = this.#draft;
    this.#draft = null;
    draft?.discard();
  }

  /** Ends what goes into the present force. */
  beginForce(): void {
    const { index, offset } = this.#cursor;
    this.#cursor = { index, offset: blockCeiling(offset) };
  }

  /** Makes every segment up to this one durable under its name, in their order. */
  async prepare(last: Segment): Promise<void> {
    for (const segment of [...this.#segments]) {
      await segment.prepare();
      if (segment === last) return;
    }
  }

  /** Notes that the log is durable up to here; returns the segments that are full now. */
  advance(segment: Segment, end: number): Segment[] {
    const full = this.#segments.splice(0, this.#segments.indexOf(segment));
    const { index, offset } = this.#cursor;
    this.#cursor = { index: index - full.length, offset };
    this.#lacksBytes = false;
    this.#durableEnd = blockCeiling(end);
    invariant(this.#cursor.index >= 0, "the log's cursor is behind what is durable");
    return full;
  }

  /** Gives back all that was placed since the last advance(), after a failure for space. */
  takeBack(): void {
    this.#lacksBytes = true;
    this.#cursor = { index: 0, offset: this.#durableEnd };
    this.#fullUntilMs = this.#options.clock.monotonic() + FULL_RETRY_MS;
    this.#dropLost();
  }

  // Segments behind a lost one were never begun to be prepared (S2), so none is in use.
  #dropLost(): void {
    const index = this.#segments.findIndex((segment) => segment.isLost);
    if (index <= this.#cursor.index) return;
    for (const segment of this.#segments.splice(index).toReversed()) segment.discard();
  }

  /** Begins the next segment in the background, once half of the last one is used. */
  prepareAhead(): void {
    const { sizes, clock } = this.#options;
    const free = this.#freeFrom(this.#cursor.index, this.#cursor.offset);
    const lastBytes = this.#segments.at(-1)?.size ?? 0;
    const wanted = free < sizes.reserveBytes + Math.min(sizes.segmentBytes, lastBytes) / 2;
    if (!wanted || this.#ahead !== null || this.#closing) return;
    if (clock.monotonic() < this.#fullUntilMs) return;
    this.#ahead = this.#fillAhead().finally(() => {
      this.#ahead = null;
    });
  }

  // Syncing after each piece gives the event loop back and keeps the disk's queue short, so
  // that commits in between wait little.
  async #fillAhead(): Promise<void> {
    let draft: Segment | null = null;
    try {
      draft = this.#draft = this.#create(0);
      while (this.#draft === draft && !draft.isFilled) {
        draft.fillSome();
        await draft.syncData();
        if (this.#closing && this.#draft === draft) return this.#dropDraft();
      }
      // A place() that could not wait may have filled and adopted it in between.
      if (this.#draft === draft) this.#adopt(draft);
      await this.prepare(draft);
    } catch (error) {
      this.#giveUp(draft, error);
    }
  }

  // Not having a spare is no failure: an append that needs one says `no_space`, and a force
  // whose frames are in a lost segment meets the same error. What cannot be removed now is
  // removed by the next open.
  #giveUp(draft: Segment | null, error: unknown): void {
    this.#lacksSegment ||= isNoSpace(error);
    logger.warn("No log segment prepared ahead: {error}", { error: messageOf(error) });
    this.#fullUntilMs = this.#options.clock.monotonic() + FULL_RETRY_MS;
    try {
      if (draft !== null && this.#draft === draft) this.#dropDraft();
      this.#dropLost();
    } catch (failure) {
      logger.error("Unfinished log segment stays: {error}", { error: messageOf(failure) });
    }
  }

  /** Stops preparing and closes the files. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#ahead;
    for (const segment of this.#segments) segment.close();
  }
}
