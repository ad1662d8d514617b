/** What a commit group works with, who is in it, and how it ends for each. */
import { LayerdError } from "../core/errors.ts";
import type { ErrorCode, RefConflict } from "../core/errors.ts";
import type { Lsn, RefName, RepositoryId } from "../core/ids.ts";
import type { LogRecord, RepositoryPart } from "../core/log_record.ts";
import type { RefEdit } from "../core/ref_edit.ts";
import type { ProblemSummary } from "../core/transaction_document.ts";
import type { Clock } from "../system/clock.ts";
import type { WriteAheadLog } from "../wal/write_ahead_log.ts";
import type { RepositoryCatalog } from "./catalog.ts";
import type { Endings } from "./endings.ts";
import type { HeldRefs } from "./held_refs.ts";
import type { LedgerWriter } from "./ledger_writer.ts";
import type { CommitRequest } from "./pipeline.ts";

/** Figures that the commit path reports. */
export interface CommitObserver {
  observeGroup(transactions: number): void;
  /** Duration of one log force, milliseconds. */
  observeForce(ms: number): void;
}

export interface CommitParts {
  readonly log: WriteAheadLog;
  readonly ledger: LedgerWriter;
  readonly clock: Clock;
  readonly catalog: Pick<
    RepositoryCatalog,
    "absence" | "all" | "byId" | "requireWritable" | "quarantine" | "liftQuarantine"
  >;
  readonly held: HeldRefs;
  readonly endings: Endings;
  readonly observer: CommitObserver;
}

/** What admission knows beyond that. */
export interface AdmissionParts extends CommitParts {
  /**
   * Refs that open promises and stalled publications will create: names that count already,
   * although native git does not see them yet.
   */
  readonly promisedNames: (id: RepositoryId) => readonly RefName[];
  /**
   * What the group under way could not publish, until its commits count as stalled: its
   * other repositories moved already, and snapshots are taken while their fsyncs run.
   */
  readonly unpublished: Map<RepositoryId, readonly RefEdit[]>;
}

export interface GroupMember {
  readonly request: CommitRequest;
  /** Its ref locks and pins stand since a public prepare. */
  readonly prepared: boolean;
}

export type Verdict =
  /** `lost`: what the commit relied on and native git took while it was being published. */
  | { readonly kind: "committed"; readonly lost: ProblemSummary | null }
  /** Decided; these parts could not be published yet. */
  | {
    readonly kind: "stalled";
    readonly lsn: Lsn;
    readonly applied: readonly RepositoryId[];
    readonly error: LayerdError;
  }
  | { readonly kind: "refused"; readonly error: LayerdError }
  /** Its promise is logged; its ref locks and pins stay. */
  | { readonly kind: "prepared" }
  /** Somebody else's lock is in the way: come back later, or give up with this error. */
  | { readonly kind: "blocked"; readonly error: LayerdError }
  /** Another member had to leave after staging: go into the next group. */
  | { readonly kind: "again" }
  /** A prepared transaction that cannot be kept: refs moved in spite of its locks, say. */
  | {
    readonly kind: "contradicted";
    readonly reason: string;
    readonly conflicts: readonly RefConflict[];
  };

/** Refusals after which the same commit may be tried again. */
export const RETRYABLE_REFUSALS: ReadonlySet<ErrorCode> = new Set([
  "repository_locked",
  "lock_timeout",
  "no_space",
]);

/** Every ref that a part needs locked. */
export function refsOf(part: RepositoryPart): RefName[] {
  return [...part.edits.map((edit) => edit.ref), ...part.checks.map((check) => check.ref)];
}

/** Forces the log and reports how long it took. */
export async function timedForce(parts: CommitParts): Promise<void> {
  const start = parts.clock.monotonic();
  await parts.log.force();
  parts.observer.observeForce(parts.clock.monotonic() - start);
}

/** Forces records; answers `no_space` where the log cannot take them now, else null. */
export async function forceIfRoom(
  parts: CommitParts,
  records: readonly LogRecord[],
): Promise<LayerdError | null> {
  if (records.length === 0) return null;
  try {
    parts.log.appendAll(records);
    await timedForce(parts);
    return null;
  } catch (error) {
    if (error instanceof LayerdError && error.code === "no_space") return error;
    throw error;
  }
}

/**
 * Forces records that follow from a decision: they cannot be given up, so a full disk is
 * waited out (the daemon lives on read-only until there is space). Never while
 * packed-refs.lock is held.
 */
export async function forceStubbornly(
  parts: CommitParts,
  records: readonly LogRecord[],
): Promise<Lsn[]> {
  for (let delayMs = 10;; delayMs = Math.min(delayMs * 2, 1_000)) {
    try {
      const lsns = parts.log.appendAll(records);
      await timedForce(parts);
      return lsns;
    } catch (error) {
      if (!(error instanceof LayerdError) || error.code !== "no_space") throw error;
      await parts.clock.sleep(delayMs);
    }
  }
}
