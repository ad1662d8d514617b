/**
 * What two-phase commit asks of a participant outside (DESIGN section 3, GIT-SAFETY section
 * 5). One object a registered participant; it keeps nothing of a transaction in memory, so
 * that a branch can be told its decision by another process than the one that prepared it.
 *
 * A1. No call rejects: what went wrong is an outcome.
 * A2. prepare() answers within the time it is given. `unknown`: nobody can say whether the
 *     branch is prepared, so it has to be told to abort.
 * A3. commit() and abort() may be repeated, by anybody, at any time; abort() may come before
 *     its prepare, which is then refused however late it arrives.
 * A4. `contradicted` is final and means that the branch ended otherwise than it was told.
 *
 * tests/participants/conformance.ts puts each implementation through this.
 */
import type { BranchContext, Decision, ParticipantKind } from "../core/branch.ts";
import type { ParticipantName } from "../core/ids.ts";
import type { SqlStatement } from "../core/operations.ts";
import type { Json } from "../core/structured_value.ts";

/** What a transaction does at a participant. */
export type ParticipantWork =
  | { readonly kind: "postgres"; readonly statements: readonly SqlStatement[] }
  | { readonly kind: "http"; readonly payload: Json };

/** Which branch of which transaction. */
export interface BranchCall {
  readonly key: string;
  readonly context: BranchContext;
  readonly timeoutMs: number;
}

/** A decision is told with what the branch was asked, for services that keep nothing. */
export interface TellCall extends BranchCall {
  readonly payload: Json;
}

export type Vote =
  | { readonly vote: "prepared"; readonly resourceLocks: readonly string[] }
  /** Nothing to commit: the participant has left already. */
  | { readonly vote: "read_only" }
  | { readonly vote: "abort"; readonly reason: string }
  | { readonly vote: "unknown"; readonly reason: string };

export type Acknowledgement =
  | { readonly kind: "done" }
  | { readonly kind: "contradicted"; readonly reason: string }
  /** Not acknowledged: tell again. */
  | { readonly kind: "again"; readonly reason: string };

/** What a participant says of a branch now; null where it cannot be asked. */
export type BranchStatus = "prepared" | Decision | "unknown" | null;

export interface Participant {
  readonly name: ParticipantName;
  readonly kind: ParticipantKind;
  prepare(call: BranchCall, work: ParticipantWork): Promise<Vote>;
  commit(call: TellCall): Promise<Acknowledgement>;
  abort(call: TellCall): Promise<Acknowledgement>;
  inquire(call: BranchCall): Promise<BranchStatus>;
  /** Keys of branches that stand prepared, for those who can list them; may reject. */
  prepared(prefix: string): Promise<readonly string[]>;
  /** Forgets what was kept about ended branches, those that `isOver` names; may reject. */
  forget(prefix: string, isOver: (key: string) => Promise<boolean>): Promise<void>;
  close(): Promise<void>;
}
