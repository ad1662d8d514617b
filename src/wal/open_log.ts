/**
 * Opens a log: scans it, repairs a torn end, makes sure that what it acts on is durable, and
 * forces a new incarnation.
 *
 * O1. Damage to records that were durable is refused, never repaired by guess.
 * O2. What a torn end held is kept as `<segment>.broken` before it is cut.
 * O3. A record that no later frame vouches for may be in the page cache only, and after a
 *     failed fdatasync of the process before even another fdatasync would not write it: the
 *     kernel has marked the pages clean. Its segment is therefore copied into a new file,
 *     which is synced and renamed over it, before anybody acts on the record. The last force
 *     is never vouched for, so every open copies the last segment; that copy is also what
 *     cuts a torn end off, at once.
 * O4. Every step can be interrupted and is then found again by the next open.
 */
import { dirname } from "@std/path";
import { getLogger } from "@logtape/logtape";
import { invariant, LayerdError } from "../core/errors.ts";
import { type LogId, parseLogId, toLsn } from "../core/ids.ts";
import { LOG_RESERVE_BYTES, LOG_SEGMENT_BYTES } from "../core/limits.ts";
import type { Clock } from "../system/clock.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { Random } from "../system/random.ts";
import { BLOCK_BYTES, blockCeiling } from "./frame.ts";
import { isNoSpace, type LogSizes, LogSpace } from "./log_space.ts";
import { bytesFrom, type LogScan, scanLog, type ScannedSegment } from "./scan_log.ts";
import { Segment, SEGMENT_HEADER_BYTES } from "./segment.ts";
import { type FullSegment, SegmentedLog } from "./segmented_log.ts";
import type { WriteAheadLog } from "./write_ahead_log.ts";

/** Room in the segment that a start writes, in reserves: that for one, and three to work with. */
const STARTING_RESERVES = 4;
const logger = getLogger(["layerd", "wal"]);

export interface OpenLogOptions {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
  /** Holds the log and nothing else; made when it is not there. One process at a time. */
  readonly directory: string;
  /** Version of the daemon, for the incarnation record. */
  readonly version: string;
  /** Smaller ones in tests. */
  readonly sizes?: LogSizes;
}

/**
 * Opens the log in a directory, or begins one. Throws `io_error` for a log that must not be
 * opened (it says where and why), `no_space` when there is no room to open it.
 */
export async function openLog(options: OpenLogOptions): Promise<WriteAheadLog> {
  try {
    return await open(options);
  } catch (error) {
    if (!isNoSpace(error)) throw error;
    const text = `No space to open the log in ${options.directory}`;
    throw new LayerdError("no_space", text, {}, error);
  }
}

async function open(options: OpenLogOptions): Promise<WriteAheadLog> {
  const { fileSystem, clock, directory } = options;
  await ensureDirectory(fileSystem, directory);
  const scan = scanLog(fileSystem, directory);
  refuseDamage(scan);
  for (const path of [...scan.temporaries, ...scan.leftovers]) fileSystem.unlink(path);
  const logId = scan.logId ?? parseLogId(options.random.ulid(clock.now()));
  const repair = new Repair(options, scan, logId);
  const { full, segments, offset } = await repair.run();
  const sizes = sizesOf(options);
  const incarnation = scan.incarnation + 1;
  const space = new LogSpace({ fileSystem, clock, directory, logId, sizes, segments, offset });
  const redoLsn = scan.checkpoint?.redoLsn ?? toLsn(1);
  const found = {
    lastLsn: scan.lastLsn,
    checkpoint: scan.checkpoint,
    bytesFromRedo: bytesFrom(scan, redoLsn),
  };
  const log = new SegmentedLog({ fileSystem, directory, logId, incarnation, space, full, found });
  try {
    const startedAt = new Date(clock.now()).toISOString();
    log.append({ kind: "incarnation", incarnation, startedAt, version: options.version });
    await log.force();
  } catch (error) {
    await space.close();
    throw error;
  }
  return log;
}

function sizesOf(options: OpenLogOptions): LogSizes {
  const sizes = options.sizes ??
    { segmentBytes: LOG_SEGMENT_BYTES, reserveBytes: LOG_RESERVE_BYTES };
  invariant(sizes.segmentBytes % BLOCK_BYTES === 0, "a segment must be whole blocks");
  return sizes;
}

async function ensureDirectory(fileSystem: FileSystem, directory: string): Promise<void> {
  if (fileSystem.lstatIfAny(directory) !== null) return;
  fileSystem.makeDirectory(directory, 0o700);
  await fileSystem.syncDirectory(dirname(directory));
}

/** O1. */
function refuseDamage({ verdict }: LogScan): void {
  if (verdict.kind === "damaged") {
    const { path, offset } = verdict.at;
    throw new LayerdError(
      "io_error",
      `Log segment ${path} is damaged at offset ${offset}: ${verdict.reason}. Nothing was ` +
        "changed; `layerd doctor` says what is lost and what to do, `layerd doctor --fix` " +
        "mends it where no record that is still needed is lost",
      { reason: verdict.reason },
    );
  }
  if (verdict.kind === "unsupported") {
    const text = `Log segment ${verdict.at.path} cannot be opened: ${verdict.reason}`;
    throw new LayerdError("io_error", text, { reason: verdict.reason });
  }
}

interface Repaired {
  readonly full: readonly FullSegment[];
  readonly segments: readonly [Segment, ...Segment[]];
  /** Where the log goes on in the first of these segments. */
  readonly offset: number;
}

class Repair {
  readonly #options: OpenLogOptions;
  readonly #scan: LogScan;
  readonly #logId: LogId;

  constructor(options: OpenLogOptions, scan: LogScan, logId: LogId) {
    this.#options = options;
    this.#scan = scan;
    this.#logId = logId;
  }

  async run(): Promise<Repaired> {
    const { segments, verdict, lastLsn } = this.#scan;
    const first = segments[0];
    if (first === undefined) return await this.#begin();
    const tail = segments.find((segment) => segment.lastLsn === lastLsn) ?? first;
    const before = segments.filter((segment) => segment.number < tail.number);
    const behind = segments.filter((segment) => segment.number > tail.number);
    if (verdict.kind === "torn") await this.#cut(tail, behind);
    for (const segment of before) {
      if (segment.lastLsn > this.#scan.durableLsn) (await this.#copy(segment)).close();
    }
    const last = await this.#copy(tail);
    last.firstLsn = tail.firstLsn;
    last.lastLsn = tail.lastLsn;
    const spares = verdict.kind === "torn" ? [] : behind.map((spare) => this.#open(spare));
    return { full: before, segments: [last, ...spares], offset: blockCeiling(tail.end) };
  }

  async #begin(): Promise<Repaired> {
    const first = await this.#make(1, this.#sizeAfter(0), new Uint8Array(0));
    return { full: [], segments: [first], offset: SEGMENT_HEADER_BYTES };
  }

  /** O2; the segments behind the torn one go, the torn one itself is cut by #copy(). */
  async #cut(tail: ScannedSegment, behind: readonly ScannedSegment[]): Promise<void> {
    const { fileSystem, directory } = this.#options;
    for (const segment of [tail, ...behind]) {
      if (segment.isUsedBehind) await this.#keepBroken(segment);
    }
    for (const segment of behind.toReversed()) fileSystem.unlink(segment.path);
    await fileSystem.syncDirectory(directory);
  }

  async #keepBroken(segment: ScannedSegment): Promise<void> {
    const { fileSystem, directory } = this.#options;
    let path = `${segment.path}.broken`;
    for (let n = 2; fileSystem.lstatIfAny(path) !== null; n += 1) {
      path = `${segment.path}.broken.${n}`;
    }
    const bytes = fileSystem.readFile(segment.path);
    const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
    fileSystem.writeNewFile(path, bytes.subarray(0, end), 0o600);
    await fileSystem.syncFile(path);
    await fileSystem.syncDirectory(directory);
    logger.warn("Log segment {path} ends torn at offset {offset}; kept as {broken} and cut", {
      path: segment.path,
      offset: segment.end,
      broken: path,
    });
  }

  /** O3. */
  async #copy(segment: ScannedSegment): Promise<Segment> {
    const frames = this.#options.fileSystem.readFile(segment.path)
      .subarray(SEGMENT_HEADER_BYTES, segment.end);
    return await this.#make(segment.number, this.#sizeAfter(blockCeiling(segment.end)), frames);
  }

  /**
   * The size of a segment that a start writes. Whoever starts waits for its zeros, so it has
   * room for a while and not a whole segment's; one of those is begun once half of it is used.
   */
  #sizeAfter(end: number): number {
    const { segmentBytes, reserveBytes } = sizesOf(this.#options);
    return Math.max(
      end,
      Math.min(segmentBytes, end + STARTING_RESERVES * blockCeiling(reserveBytes)),
    );
  }

  async #make(number: number, size: number, frames: Uint8Array): Promise<Segment> {
    const segment = Segment.create(this.#plan(number, size), frames);
    try {
      segment.fill();
      await segment.prepare();
      return segment;
    } catch (error) {
      segment.discard();
      throw error;
    }
  }

  #open(spare: ScannedSegment): Segment {
    return Segment.open(this.#plan(spare.number, spare.size));
  }

  #plan(number: number, size: number) {
    const { fileSystem, directory } = this.#options;
    return { fileSystem, directory, logId: this.#logId, number, size };
  }
}
