/**
 * The write-ahead log, looked at without a daemon: whether it will open, what of it is lost,
 * and what that means. `--fix` does what wal/mend_log.ts can prove and nothing else.
 */
import type { Diagnosis } from "../core/diagnosis.ts";
import { found, mended } from "../core/diagnosis.ts";
import { messageOf } from "../core/errors.ts";
import type { LoggedRecord } from "../core/log_record.ts";
import { toLsn } from "../core/ids.ts";
import { digestLog, type LogDigest } from "../core/recovery_plan.ts";
import { type FileSystem, FileSystemError } from "../system/file_system.ts";
import { framesToKeep, rewriteLog, type SavedLog, saveLog } from "../wal/mend_log.ts";
import { type LogScan, scanLog } from "../wal/scan_log.ts";

/** What the log says as far as it can be read. */
export interface LogLook {
  readonly findings: readonly Diagnosis[];
  /** Null where there is no log, or nothing of it can be read. */
  readonly saved: SavedLog | null;
  /** Of all records that can be read, also those below the last checkpoint. */
  readonly digest: LogDigest;
  /** As far as the next start will read it. */
  readonly lastLsn: number;
  readonly incarnation: number;
  /** Whether the next start will open it. */
  readonly isWhole: boolean;
}

export async function lookAtLog(
  fileSystem: FileSystem,
  directory: string,
  mode: "look" | "fix",
): Promise<LogLook> {
  if (fileSystem.lstatIfAny(directory) === null) {
    const finding = found("note", "log_missing", directory, "There is no log yet");
    return lookOf([finding], null, null);
  }
  try {
    return await lookAtSegments(fileSystem, directory, mode);
  } catch (error) {
    if (!(error instanceof FileSystemError)) throw error;
    const text = `The log cannot be read: ${error.message}`;
    return lookOf([found("corrupted", "log_unread", directory, text)], null, null);
  }
}

async function lookAtSegments(
  fileSystem: FileSystem,
  directory: string,
  mode: "look" | "fix",
): Promise<LogLook> {
  const scan = scanLog(fileSystem, directory);
  const saved = saveLog(fileSystem, directory);
  const findings = findingsOf(scan, saved);
  if (scan.verdict.kind === "damaged" && mode === "fix" && saved !== null) {
    const repaired = await mend(fileSystem, scan, saved, findings);
    if (repaired !== null) {
      return lookOf(repaired, saved, scanLog(fileSystem, directory));
    }
  }
  return lookOf(findings, saved, scan);
}

function lookOf(
  findings: readonly Diagnosis[],
  saved: SavedLog | null,
  scan: LogScan | null,
): LogLook {
  return {
    findings,
    saved,
    digest: digestLog(recordsOf(saved)),
    lastLsn: scan?.lastLsn ?? 0,
    incarnation: scan?.incarnation ?? 0,
    isWhole: !findings.some(({ severity, outcome }) =>
      severity === "corrupted" && outcome === "found"
    ),
  };
}

function* recordsOf(saved: SavedLog | null): Generator<LoggedRecord> {
  for (const { lsn, record } of saved?.frames ?? []) {
    if (record !== null) yield { lsn: toLsn(lsn), record };
  }
}

function findingsOf({ verdict, directory }: LogScan, saved: SavedLog | null): Diagnosis[] {
  switch (verdict.kind) {
    case "empty":
    case "clean":
      return [];
    case "torn": {
      const { path, offset } = verdict.at;
      const text = `Log segment ${path} ends torn at offset ${offset}: the end of a write that ` +
        "nobody was told of; the next start keeps it as .broken and cuts it";
      return [found("note", "log_torn", path, text)];
    }
    case "unsupported": {
      const text = `Log segment ${verdict.at.path} cannot be read: ${verdict.reason}`;
      return [
        found(
          "corrupted",
          "log_unsupported",
          verdict.at.path,
          text,
          "Run the layerd that wrote it",
        ),
      ];
    }
    case "damaged": {
      const { path, offset } = verdict.at;
      const text = `Log segment ${path} is damaged at offset ${offset}: ${verdict.reason}`;
      return [found("corrupted", "log_damaged", path, text, ...wayOut(directory, saved))];
    }
  }
}

/** What an operator does about damage; registrations by name, so that nothing is to be guessed. */
function wayOut(directory: string, saved: SavedLog | null): string[] {
  const keep = saved === null ? "no segment has a whole header" : framesToKeep(saved);
  if (typeof keep !== "string") {
    return [`layerd doctor --fix  (all ${keep.length} records that are still needed are whole)`];
  }
  const { repositories } = digestLog(recordsOf(saved));
  return [
    `It cannot be mended without a loss: ${keep}. Put back a copy of the whole state directory, or:`,
    "Do what the findings `decided_unpublished` say, if there are any",
    `mv ${directory} ${directory}.lost`,
    "layerd start  (it begins an empty log)",
    ...[...repositories.values()].map(({ name, path }) =>
      `layerd repo add --adopt ${name} ${path}`
    ),
  ];
}

/** The findings after mending, or null where that cannot be done. */
async function mend(
  fileSystem: FileSystem,
  { directory }: LogScan,
  saved: SavedLog,
  findings: readonly Diagnosis[],
): Promise<Diagnosis[] | null> {
  const keep = framesToKeep(saved);
  if (typeof keep === "string") return null;
  try {
    const aside = await rewriteLog(fileSystem, directory, saved.logId, keep);
    const text = `: mended with the ${keep.length} records from the last checkpoint on, none of ` +
      `which is damaged; the old segments stand in ${aside}`;
    return findings.map((finding) => mended(finding, finding.detail + text));
  } catch (error) {
    const text = `The log could not be mended: ${messageOf(error)}`;
    return [
      ...findings,
      found("corrupted", "log_not_mended", directory, text, "Mend that and run it again"),
    ];
  }
}
