/** Which records may use the log's reserve: room for what finishes decisions on a full disk. */
import type { LogRecord } from "../core/log_record.ts";
import type { Claim } from "./log_space.ts";

/** Records that finish what was decided, or let the daemon start. */
const RESERVED_KINDS: ReadonlySet<LogRecord["kind"]> = new Set([
  "incarnation",
  "applied",
  "rolled_back",
  "failed",
  "resolved",
  "branch_failed",
  "ended",
]);

/**
 * The claim of records that are appended together: what rides with a commit takes no reserve
 * either. `full`: segments that a checkpoint could release.
 */
export function claimOf(
  records: readonly LogRecord[],
  full: readonly { readonly lastLsn: number }[],
): Claim {
  const checkpoint = records.find((record) => record.kind === "checkpoint");
  if (checkpoint === undefined) {
    return records.every(({ kind }) => RESERVED_KINDS.has(kind)) ? "reserved" : "ordinary";
  }
  // What it appends again belongs to it. One that releases nothing makes no room on a full
  // disk: again and again it would use the reserve up.
  return full.some(({ lastLsn }) => lastLsn < checkpoint.redoLsn) ? "reserved" : "ordinary";
}
