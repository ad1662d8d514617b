/**
 * The write-ahead log over segments. append() only puts records into memory; one loop
 * writes them, so that force() calls which overlap share a write and an fdatasync.
 *
 * W1. LSNs rise by one in the order of append(), and frames stand in that order.
 * W2. A frame says how far the log was durable when it was written; that number is taken
 *     only after the fdatasync of every frame up to it succeeded.
 * W3. Within one force, all writes come before all syncs, and the next force begins only
 *     after both: the frames of two forces are never in flight together.
 * W4. After a failed sync nothing is written, synced or taken back any more. The next open
 *     copies the frames whose durability nobody vouches for (open_log.ts).
 * W5. After a failed write for lack of space the region is zeroed and synced before anybody
 *     is told: a refused record must not come back after a crash.
 */
import { getLogger } from "@logtape/logtape";
import { invariant, LayerdError, messageOf } from "../core/errors.ts";
import { type LogId, type Lsn, toLsn } from "../core/ids.ts";
import { LOG_RECORD_BYTES_MAX } from "../core/limits.ts";
import { encodeRecord } from "../core/log_record_codec.ts";
import type { LoggedRecord, LogRecord } from "../core/log_record.ts";
import type { FileSystem } from "../system/file_system.ts";
import { type Checkpoint, CheckpointMeter } from "./checkpoint_meter.ts";
import { layOut, type PendingFrame, type Run } from "./force_layout.ts";
import { frameBytes } from "./frame.ts";
import { type ReadableSegment, readRecords } from "./log_reader.ts";
import { type Claim, isNoSpace, type LogSpace } from "./log_space.ts";
import { claimOf } from "./space_claim.ts";
import { LogFailedError, type LogStatus, type WriteAheadLog } from "./write_ahead_log.ts";

const logger = getLogger(["layerd", "wal"]);

/** A segment that is full: only read, until a checkpoint releases it. */
export interface FullSegment extends ReadableSegment {
  readonly size: number;
}

/** What opening found. */
export interface FoundLog {
  readonly lastLsn: Lsn;
  readonly checkpoint: Checkpoint | null;
  /** Bytes of frames from the redo position on. */
  readonly bytesFromRedo: number;
}

export interface SegmentedLogOptions {
  readonly fileSystem: FileSystem;
  readonly directory: string;
  readonly logId: LogId;
  readonly incarnation: number;
  readonly space: LogSpace;
  readonly full: readonly FullSegment[];
  readonly found: FoundLog;
}

export class SegmentedLog implements WriteAheadLog {
  readonly logId: LogId;
  readonly incarnation: number;
  readonly #options: SegmentedLogOptions;
  readonly #space: LogSpace;
  readonly #full: FullSegment[];
  #lastLsn: Lsn;
  #durableLsn: Lsn;
  /** The last record that some force() call waits for or has waited for. */
  #coveredLsn: Lsn;
  readonly #meter: CheckpointMeter;
  #pending: PendingFrame[] = [];
  #waiters: PromiseWithResolvers<void>[] = [];
  /** The loop that writes; null while there is nothing to force. */
  #writing: Promise<void> | null = null;
  /** Resolves with the force in flight; only while the loop runs. */
  #inFlight: PromiseWithResolvers<void> | null = null;
  #failure: LogFailedError | null = null;
  constructor(options: SegmentedLogOptions) {
    this.#options = options;
    this.logId = options.logId;
    this.incarnation = options.incarnation;
    this.#space = options.space;
    this.#full = [...options.full];
    this.#lastLsn = this.#durableLsn = this.#coveredLsn = options.found.lastLsn;
    this.#meter = new CheckpointMeter(options.found.checkpoint, options.found.bytesFromRedo);
  }

  recovered(): Iterable<LoggedRecord> {
    const { found } = this.#options;
    return this.#records(found.checkpoint?.redoLsn ?? toLsn(1), found.lastLsn);
  }

  read(from: Lsn): Iterable<LoggedRecord> {
    return this.#records(from, this.#durableLsn);
  }

  #records(from: Lsn, upTo: Lsn): Iterable<LoggedRecord> {
    const segments = [...this.#full, ...this.#space.segments];
    const { fileSystem } = this.#options;
    return { [Symbol.iterator]: () => readRecords(fileSystem, segments, from, upTo) };
  }

  append(record: LogRecord): Lsn {
    const lsn = this.appendAll([record])[0];
    invariant(lsn !== undefined, "a record without an LSN");
    return lsn;
  }

  appendAll(records: readonly LogRecord[]): Lsn[] {
    if (this.#failure !== null) throw this.#failure;
    const payloads = records.map(encodeBounded);
    const before = this.#space.cursor;
    try {
      const claim = claimOf(records, this.#full);
      const frames = records.map((record, index) =>
        this.#place(record, payloads[index], index, claim)
      );
      this.#pending.push(...frames);
      this.#lastLsn = frames.at(-1)?.lsn ?? this.#lastLsn;
      return frames.map((frame) => frame.lsn);
    } catch (error) {
      this.#space.rewind(before);
      throw error;
    }
  }

  #place(
    record: LogRecord,
    payload: Uint8Array | undefined,
    index: number,
    claim: Claim,
  ): PendingFrame {
    invariant(payload !== undefined, "a record that was not encoded");
    const lsn = toLsn(this.#lastLsn + 1 + index);
    const place = this.#space.place(frameBytes(payload.length), claim);
    if (record.kind !== "checkpoint") return { lsn, place, payload, checkpoint: null };
    const { redoLsn } = record;
    invariant(redoLsn <= lsn, `checkpoint ${lsn} redoes from later ${redoLsn}`);
    return { lsn, place, payload, checkpoint: { lsn, redoLsn } };
  }

  force(): Promise<void> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    this.#coveredLsn = this.#lastLsn;
    if (this.#pending.length === 0) return this.#inFlight?.promise ?? Promise.resolve();
    const waiter = Promise.withResolvers<void>();
    this.#waiters.push(waiter);
    this.#writing ??= this.#writeAll();
    return waiter.promise;
  }

  async #writeAll(): Promise<void> {
    // Calls of the same synchronous run still join the first force.
    await Promise.resolve();
    while (this.#waiters.length > 0) {
      const waiters = this.#waiters;
      const frames = this.#pending;
      this.#waiters = [];
      this.#pending = [];
      const flight = this.#inFlight = Promise.withResolvers<void>();
      waiters.push(flight);
      // Nobody may be waiting for the flight itself; the waiters are told in any case.
      flight.promise.catch(() => {});
      try {
        this.#space.beginForce();
        await this.#write(frames);
        for (const waiter of waiters) waiter.resolve();
      } catch (error) {
        this.#refuse(error, waiters);
      }
      this.#inFlight = null;
      if (this.#failure === null) this.#space.prepareAhead();
    }
    // In the same run as the last look at the waiters, or a force() in between would be lost.
    this.#writing = null;
  }

  async #write(frames: readonly PendingFrame[]): Promise<void> {
    const last = frames.at(-1);
    invariant(last !== undefined, "a force without frames");
    try {
      await this.#space.prepare(last.place.segment);
    } catch (error) {
      throw isNoSpace(error) ? this.#takeBack(error) : this.#fail(error);
    }
    const stamp = { durableLsn: this.#durableLsn, incarnation: this.incarnation };
    const runs = layOut(frames, stamp);
    let begun = 0;
    try {
      for (const run of runs) {
        begun += 1;
        run.segment.writeAt(run.bytes, run.offset);
      }
    } catch (error) {
      if (!isNoSpace(error)) throw this.#fail(error);
      await this.#erase(runs.slice(0, begun));
      throw this.#takeBack(error);
    }
    await this.#sync(runs);
    this.#noteDurable(runs, frames);
  }

  async #sync(runs: readonly Run[]): Promise<void> {
    try {
      for (const run of runs) await run.segment.syncData();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  #noteDurable(runs: readonly Run[], frames: readonly PendingFrame[]): void {
    let written = 0;
    for (const { segment, firstLsn, lastLsn, end, bytes } of runs) {
      if (segment.firstLsn === 0) segment.firstLsn = firstLsn;
      segment.lastLsn = lastLsn;
      this.#durableLsn = lastLsn;
      written += bytes.length;
      for (const full of this.#space.advance(segment, end)) {
        full.close();
        this.#full.push(full);
      }
    }
    const checkpoint = frames.findLast((frame) => frame.checkpoint !== null)?.checkpoint ?? null;
    this.#meter.noteForce(this.#durableLsn, written, checkpoint);
  }

  /** W5. */
  async #erase(runs: readonly Run[]): Promise<void> {
    try {
      for (const run of runs) run.segment.writeAt(new Uint8Array(run.bytes.length), run.offset);
    } catch (error) {
      throw this.#fail(error);
    }
    await this.#sync(runs);
  }

  /** Takes every record that is not durable back out; the error to tell their owners. */
  #takeBack(cause: unknown): Error {
    if (this.#coveredLsn < this.#lastLsn) return this.#fail(cause);
    logger.warn("No space for the log: {error}", { error: messageOf(cause) });
    this.#pending = [];
    this.#lastLsn = this.#coveredLsn = this.#durableLsn;
    this.#space.takeBack();
    const text = `No space for the log in ${this.#options.directory}`;
    return new LayerdError("no_space", text, {}, cause);
  }

  #fail(cause: unknown): LogFailedError {
    const text = `Log in ${this.#options.directory} failed: ${messageOf(cause)}`;
    this.#failure ??= new LogFailedError(text, { cause });
    logger.error(text);
    return this.#failure;
  }

  // Records that were appended while a force was in flight are taken back with it, so their
  // waiters are told the same.
  #refuse(error: unknown, waiters: readonly PromiseWithResolvers<void>[]): void {
    const known = error instanceof LayerdError || error instanceof LogFailedError;
    const told = known ? error : this.#fail(error);
    for (const waiter of [...waiters, ...this.#waiters]) waiter.reject(told);
    this.#waiters = [];
    this.#pending = [];
  }

  async releaseBefore(lsn: Lsn): Promise<void> {
    const redoLsn = this.#meter.checkpoint?.redoLsn ?? 0;
    invariant(lsn <= redoLsn, `records from ${redoLsn} on are needed, not only from ${lsn}`);
    const kept = this.#full.findIndex((segment) => segment.lastLsn >= lsn);
    const released = this.#full.splice(0, kept === -1 ? this.#full.length : kept);
    if (released.length === 0) return;
    // Oldest first, so that a crash leaves no gap above a segment that is still there.
    for (const segment of released) this.#options.fileSystem.unlink(segment.path);
    await this.#options.fileSystem.syncDirectory(this.#options.directory);
  }

  status(): LogStatus {
    const segments = [...this.#full, ...this.#space.segments];
    return {
      bytes: segments.reduce((sum, segment) => sum + segment.size, 0),
      segments: segments.length,
      lastLsn: this.#lastLsn,
      durableLsn: this.#durableLsn,
      checkpointLsn: this.#meter.checkpoint?.redoLsn ?? toLsn(0),
      bytesSinceCheckpoint: this.#meter.bytesSinceCheckpoint,
      isFull: this.#space.isFull,
    };
  }

  async close(): Promise<void> {
    try {
      await this.force();
    } finally {
      await this.#writing;
      await this.#space.close();
    }
  }
}

function encodeBounded(record: LogRecord): Uint8Array {
  const payload = encodeRecord(record);
  if (payload.length <= LOG_RECORD_BYTES_MAX) return payload;
  const text = `Log record has ${payload.length} bytes, the limit is ${LOG_RECORD_BYTES_MAX}`;
  throw new LayerdError("payload_too_large", text, { limit: LOG_RECORD_BYTES_MAX });
}
