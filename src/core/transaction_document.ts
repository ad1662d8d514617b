/**
 * A transaction as clients, log and ledger see it (`T` in the wire contract, section 3).
 * It is plain JSON on purpose: the same document is answered, logged and kept.
 */
import type { RefConflict } from "./errors.ts";

export type TransactionState =
  | "initiated"
  | "active"
  | "preparing"
  | "prepared"
  | "committing"
  | "committed"
  | "rolling_back"
  | "rolled_back"
  | "failed";

export const TRANSACTION_STATES: readonly TransactionState[] = [
  "initiated",
  "active",
  "preparing",
  "prepared",
  "committing",
  "committed",
  "rolling_back",
  "rolled_back",
  "failed",
];

export type TerminalState = "committed" | "rolled_back" | "failed";

export function isTerminal(state: TransactionState): state is TerminalState {
  return state === "committed" || state === "rolled_back" || state === "failed";
}

export type Isolation = "locking" | "optimistic";
export type LockMode = "shared" | "exclusive";

export interface Identity {
  readonly name: string;
  readonly email: string;
}

/** Where a layer or another ref moved. `layer` is the full ref outside `refs/layers/`. */
export interface RefResult {
  readonly repository: string;
  readonly layer: string;
  readonly ref: string;
  readonly old: string | null;
  readonly new: string | null;
}

export interface ParticipantDocument {
  readonly name: string;
  readonly kind: "git" | "postgres" | "http";
  readonly vote: "prepared" | "read_only" | "abort" | null;
  readonly outcome: "committed" | "rolled_back" | "in_doubt" | "failed" | null;
}

/** The problem that ended a transaction or holds it up. */
export interface ProblemSummary {
  readonly code: string;
  readonly detail: string;
  readonly conflicts?: readonly RefConflict[];
  readonly participants?: readonly { readonly name: string; readonly reason: string }[];
}

/** Times are RFC 3339 with milliseconds. */
export interface TransactionDocument {
  readonly id: string;
  readonly state: TransactionState;
  readonly isolation: Isolation;
  readonly message: string;
  readonly author: Identity | null;
  readonly tenant_id: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly created_at: string;
  readonly updated_at: string;
  readonly lease_expires_at: string | null;
  readonly fencing_token: number;
  /** How many operations are staged. */
  readonly operations: number;
  readonly savepoints: readonly string[];
  readonly locks: readonly {
    readonly repository: string;
    readonly layer: string;
    readonly mode: LockMode;
  }[];
  readonly snapshot: readonly {
    readonly repository: string;
    readonly layer: string;
    readonly commit: string | null;
  }[];
  readonly results: readonly RefResult[];
  readonly participants: readonly ParticipantDocument[];
  readonly problem: ProblemSummary | null;
}
