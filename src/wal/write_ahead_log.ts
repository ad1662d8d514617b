import type { LoggedRecord, LogRecord } from "../core/log_record.ts";
import type { LogId, Lsn } from "../core/ids.ts";

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
   * end (GIT-SAFETY 4.4). ENOSPC while writing rejects with `no_space` and takes the records
   * of this force back out; the log lives on.
   */
  force(): Promise<void>;
  /** Drops segments that hold only records below `lsn`; call after a forced checkpoint record. */
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
  readonly checkpointLsn: Lsn;
  /** Bytes appended since the last checkpoint's redo position. */
  readonly bytesSinceCheckpoint: number;
}
