/** A directory for a log, the parts to open it, and records to put in. */
import {
  parseRepositoryId,
  parseRepositoryName,
  parseTransactionId,
  toLsn,
} from "../../src/core/ids.ts";
import type { LoggedRecord, LogRecord } from "../../src/core/log_record.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { DenoRandom } from "../../src/system/deno_random.ts";
import type { LogSizes } from "../../src/wal/log_space.ts";
import { openLog } from "../../src/wal/open_log.ts";
import { type LogScan, scanLog } from "../../src/wal/scan_log.ts";
import type { WriteAheadLog } from "../../src/wal/write_ahead_log.ts";
import { FaultyFileSystem } from "./faulty_file_system.ts";

export const SMALL: LogSizes = { segmentBytes: 64 * 1024, reserveBytes: 16 * 1024 };
const ID = "01JD0000000000000000000000";

export class LogFixture implements Disposable {
  readonly directory = Deno.makeTempDirSync();
  readonly fileSystem = new FaultyFileSystem();
  readonly clock = new DenoClock();
  readonly random = new DenoRandom();
  sizes = SMALL;

  open(): Promise<WriteAheadLog> {
    return openLog({ ...this.parts(), version: "1.2.3" });
  }

  private parts() {
    const { fileSystem, clock, random, directory, sizes } = this;
    return { fileSystem, clock, random, directory, sizes };
  }

  scan(): LogScan {
    return scanLog(this.fileSystem, this.directory);
  }

  path(number: number): string {
    return `${this.directory}/${String(number).padStart(10, "0")}.wal`;
  }

  files(): string[] {
    return Array.from(Deno.readDirSync(this.directory), (entry) => entry.name).sort();
  }

  /** Changes a segment's bytes behind the log's back. */
  edit(number: number, change: (bytes: Uint8Array) => void): void {
    const bytes = Deno.readFileSync(this.path(number));
    change(bytes);
    Deno.writeFileSync(this.path(number), bytes);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

/** An ordinary small record. */
export function small(n: number): LogRecord {
  return { kind: "fencing_range", upTo: n };
}

/** An ordinary record of about `bytes`. */
export function large(bytes: number): LogRecord {
  return {
    kind: "repository_added",
    repositoryId: parseRepositoryId(ID),
    repository: parseRepositoryName("r"),
    path: "/" + "x".repeat(bytes),
  };
}

/** A record that may use the reserve. */
export function applied(): LogRecord {
  return {
    kind: "applied",
    transactionId: parseTransactionId(ID),
    repositoryId: parseRepositoryId(ID),
  };
}

export function checkpoint(redoLsn: number): LogRecord {
  return { kind: "checkpoint", redoLsn: toLsn(redoLsn) };
}

/** The `upTo` of each small record, in order; other kinds by name. */
export function contents(records: Iterable<LoggedRecord>): (number | string)[] {
  return Array.from(
    records,
    ({ record }) => record.kind === "fencing_range" ? record.upTo : record.kind,
  );
}

export async function appendAndForce(log: WriteAheadLog, ...records: LogRecord[]): Promise<void> {
  for (const record of records) log.append(record);
  await log.force();
}

/** A closed log of one segment whose last force holds the given records. */
export async function logEndingIn(fixture: LogFixture, ...last: number[]): Promise<void> {
  const log = await fixture.open();
  await appendAndForce(log, small(1));
  await appendAndForce(log, ...last.map(small));
  await log.close();
}
