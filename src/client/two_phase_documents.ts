/** Participants, what is in doubt with them, and plans on the wire (API section 5). */

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
  })[];
}

export interface ResolveBody {
  readonly participant: string;
  readonly outcome: Decision;
  readonly reason: string;
}
