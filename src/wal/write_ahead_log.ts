import type { LoggedRecord, LogRecord } from "../core/log_record.ts";
import type { LogId, Lsn } from "../core/ids.ts";

/**
 * The log cannot be trusted any more (a failed fdatasync, an I/O error while writing): the
 * process must end, and the next one reads what is really there.
 */
export class LogFailedError extends Error {
  override readonly name = "LogFailedError";
}

/** The log as the rest of the daemon uses it. */
export interface WriteAheadLog {
  readonly logId: LogId;
  /** Raised and forced by each open. */
  readonly incarnation: number;
  /**
   * Records that opening found, from the redo position of the last checkpoint, oldest
   * first; already forced. Reads segments lazily; valid until the first releaseBefore().
   */
  recovered(): Iterable<LoggedRecord>;
  /** The records from `lsn` on (for a checkpoint), forced ones only. */
  read(from: Lsn): Iterable<LoggedRecord>;
  /**
   * Puts a record into memory in log order; throws `no_space` when the log cannot take it.
   * Nothing is on disk before force().
   */
  append(record: LogRecord): Lsn;
  /** append() for several records: all of them or, when the log cannot take them, none. */
  appendAll(records: readonly LogRecord[]): Lsn[];
  /**
   * Resolves when everything appended before the call is durable. Calls that overlap share
   * forces. A failed force rejects with `LogFailedError`, now and for ever: the process must
   * end. ENOSPC while writing rejects with `no_space` and takes every record that is not
   * durable yet back out, their LSNs with them; the log lives on. So that nobody's record is
   * taken back unnoticed, append() and the force() that covers it belong in one synchronous
   * run; a record that no force() covers yet makes such a failure final.
   */
  force(): Promise<void>;
  /**
   * Drops segments that hold only records below `lsn`; call after a forced checkpoint record
   * whose redoLsn is at least `lsn`.
   */
  releaseBefore(lsn: Lsn): Promise<void>;
  status(): LogStatus;
  /** Forces, then closes the files. */
  close(): Promise<void>;
}

export interface LogStatus {
  readonly bytes: number;
  readonly segments: number;
  readonly lastLsn: Lsn;
  readonly durableLsn: Lsn;
  /**
   * The redo position of the last durable checkpoint: what is below it is durable elsewhere.
   * 0 before the first.
   */
  readonly checkpointLsn: Lsn;
  /** Bytes appended since the last checkpoint's redo position. */
  readonly bytesSinceCheckpoint: number;
  /** The disk had no room at the last try: commits are refused with `no_space`. */
  readonly isFull: boolean;
}
