/**
 * A branch: one external participant's part in one transaction. Its key carries the daemon's
 * log, the transaction, the participant and which attempt it is, so that a daemon recognises
 * its own and a second attempt is never taken for a late first one.
 */
import { type LogId, parseTransactionId, type ParticipantName, type TransactionId } from "./ids.ts";
import type { Json } from "./structured_value.ts";

export type ParticipantKind = "postgres" | "http";

/** What a branch's participant needs to be told its decision, also after a restart. */
export interface Branch {
  readonly participant: ParticipantName;
  readonly kind: ParticipantKind;
  readonly key: string;
  readonly context: BranchContext;
  /** What an HTTP service is called with; null for PostgreSQL. */
  readonly payload: Json;
}

/** Of the transaction, what every call tells a participant. */
export interface BranchContext {
  readonly transactionId: TransactionId;
  readonly tenantId: string | null;
  readonly operationType: string | null;
  readonly fencingToken: number;
}

export type Decision = "committed" | "rolled_back";

/** Begins the key of every branch of this log. */
export function branchPrefix(logId: LogId): string {
  return `layerd:${logId}:`;
}

/** The key of a branch. `attempt` counts the tries of one transaction to prepare, from 1. */
export function branchKey(
  logId: LogId,
  transactionId: TransactionId,
  participant: ParticipantName,
  attempt: number,
): string {
  return `${branchPrefix(logId)}${transactionId}:${participant}:${attempt}`;
}

/** Whose branch a key of {@link branchKey} names; null where it is not of our making. */
export function transactionOfKey(key: string): TransactionId | null {
  const [, id] = /^layerd:[^:]+:([0-7][0-9A-HJKMNP-TV-Z]{25}):[^:]+:[1-9]\d*$/.exec(key) ?? [];
  return id === undefined ? null : parseTransactionId(id);
}

/** What of a transaction is open with its participants, as the log says. */
export interface OpenBranch {
  readonly branch: Branch;
  /** Null: promised to an outside coordinator, who has not decided. */
  readonly decision: Decision | null;
  /** RFC 3339: when it was decided, or else asked. */
  readonly since: string;
  /** The participant ended it otherwise: an operator must look. */
  readonly contradiction: string | null;
}
