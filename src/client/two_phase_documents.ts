/** Participants, what is in doubt with them, and plans on the wire (API section 5). */

import type { RefConflict } from "../core/errors.ts";

export type ParticipantDocument =
  | { readonly name: string; readonly kind: "postgres"; readonly url: string }
  | {
    readonly name: string;
    readonly kind: "http";
    readonly base_url: string;
    readonly timeout_ms: number;
  };

/** A participant as it is registered; what has a default in the daemon may be left out. */
export type ParticipantBody =
  | { readonly name: string; readonly kind: "postgres"; readonly url: string }
  | {
    readonly name: string;
    readonly kind: "http";
    readonly base_url: string;
    readonly timeout_ms?: number;
  };

export type Decision = "committed" | "rolled_back";

/** A participant that has not acknowledged what was decided, or contradicts it. */
export interface InDoubtDocument {
  readonly transaction_id: string;
  /** A repository is `git:<name>`. */
  readonly participant: string;
  readonly decision: Decision;
  readonly since: string;
  readonly attempts: number;
  readonly last_error: string | null;
}

export interface InDoubtExplanation {
  readonly transaction_id: string;
  readonly participants: readonly (InDoubtDocument & {
    /** What the participant says now; null where it cannot be asked. */
    readonly says: "prepared" | Decision | "unknown" | null;
    /** Of a repository: refs that were not where the decision expected them. */
    readonly conflicts: readonly RefConflict[];
  })[];
}

export interface ResolveBody {
  readonly participant: string;
  readonly outcome: Decision;
  readonly reason: string;
}

export interface PlanBody {
  readonly operation_type?: string;
  /** A repository is `git:<name>`. */
  readonly participants?: readonly string[];
  readonly consistency: "strong" | "eventual";
  readonly duration_estimate_ms: number;
}

interface Advice {
  readonly reason: string;
  readonly warnings: readonly string[];
}

/** Which pattern suits a piece of work. */
export type PlanDocument =
  | Advice & {
    readonly pattern: "two_phase_commit";
    readonly participants: readonly string[];
    readonly timeout_ms: number;
  }
  | Advice & {
    readonly pattern: "saga";
    readonly saga_type: string;
    readonly compensation_strategy: "automatic";
  }
  | Advice & {
    readonly pattern: "eventual_consistency";
    readonly reconciliation_interval_ms: number;
    readonly conflict_resolution: "last_write_wins";
  };
