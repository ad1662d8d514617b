/**
 * A transaction's life as a state machine. The table is the specification: the test reads
 * it from this comment and walks the full product of states and events. What is not in it
 * is `invalid_transition`, naming state and event. Effects are for the shell, in order.
 *
 * | from         | event             | to           | effects                                            |
 * |--------------|-------------------|--------------|----------------------------------------------------|
 * | initiated    | locks_granted     | active       | announce begun                                     |
 * | initiated    | rollback          | rolling_back | discard_changes, abort_participants                |
 * | initiated    | lease_expired     | rolling_back | discard_changes, abort_participants                |
 * | active       | stage             | active       |                                                    |
 * | active       | prepare           | preparing    |                                                    |
 * | active       | commit            | preparing    |                                                    |
 * | active       | rollback          | rolling_back | discard_changes, abort_participants                |
 * | active       | lease_expired     | rolling_back | discard_changes, abort_participants                |
 * | preparing    | vote_prepared     | prepared     | announce prepared                                  |
 * | preparing    | vote_refused      | rolling_back | discard_changes, abort_participants                |
 * | preparing    | refused_retryable | active       |                                                    |
 * | prepared     | commit            | prepared     |                                                    |
 * | prepared     | refused_retryable | prepared     |                                                    |
 * | prepared     | rollback          | rolling_back | discard_changes, abort_participants                |
 * | prepared     | decided           | committing   | announce committing                                |
 * | committing   | published         | committed    | discard_changes, release_locks, announce committed |
 * | committing   | contradicted      | failed       | discard_changes, release_locks, announce failed    |
 * | rolling_back | rolled_back       | rolled_back  | release_locks, announce rolled_back                |
 * | failed       | resolved          | failed       | lift_quarantine                                    |
 *
 * Absent on purpose: a prepared transaction knows no lease; nothing leads from `committing`
 * to `rolling_back`, since after the decision nothing rolls back; and nothing leads out of
 * `failed`: an operator who resolves it says what became of the refs, and history keeps it.
 */
import { LayerdError } from "./errors.ts";
import type { TransactionState } from "./transaction_document.ts";

/** What happens to a transaction. */
export type TransactionEvent =
  /** Everything that begin asked for is locked. */
  | { readonly kind: "locks_granted" }
  /** Operations, savepoints, reads: work inside the transaction. */
  | { readonly kind: "stage" }
  /** An outside coordinator asks for a promise. */
  | { readonly kind: "prepare" }
  | { readonly kind: "commit" }
  /** Every participant can commit. */
  | { readonly kind: "vote_prepared" }
  /** Some participant cannot, for good. */
  | { readonly kind: "vote_refused" }
  /** Some participant cannot now: a foreign lock, a lock wait, no space. */
  | { readonly kind: "refused_retryable" }
  /** The commit record is durable. */
  | { readonly kind: "decided" }
  /** Every ref moved, durably. */
  | { readonly kind: "published" }
  /** A ref contradicts the decision. */
  | { readonly kind: "contradicted" }
  | { readonly kind: "rollback" }
  | { readonly kind: "lease_expired" }
  /** Nothing of the transaction is left. */
  | { readonly kind: "rolled_back" }
  /** An operator has looked at what contradicted. */
  | { readonly kind: "resolved" };

export type TransactionEventKind = TransactionEvent["kind"];

/** What the shell has to do because of a step. */
export type TransactionEffect =
  /** Tell subscribers of `transaction.<what>`. */
  | { readonly kind: "announce"; readonly what: string }
  /** Tell every participant that was asked to prepare to forget it. */
  | { readonly kind: "abort_participants" }
  /** Drop staged changes and uploads. */
  | { readonly kind: "discard_changes" }
  /** Let the repositories that contradicted be written again. */
  | { readonly kind: "lift_quarantine" }
  /** Give back every table lock. */
  | { readonly kind: "release_locks" };

const NEXT: Partial<
  Record<TransactionState, Partial<Record<TransactionEventKind, TransactionState>>>
> = {
  initiated: {
    locks_granted: "active",
    rollback: "rolling_back",
    lease_expired: "rolling_back",
  },
  active: {
    stage: "active",
    prepare: "preparing",
    commit: "preparing",
    rollback: "rolling_back",
    lease_expired: "rolling_back",
  },
  preparing: {
    vote_prepared: "prepared",
    vote_refused: "rolling_back",
    refused_retryable: "active",
  },
  prepared: {
    commit: "prepared",
    refused_retryable: "prepared",
    rollback: "rolling_back",
    decided: "committing",
  },
  committing: { published: "committed", contradicted: "failed" },
  rolling_back: { rolled_back: "rolled_back" },
  failed: { resolved: "failed" },
};

const ON_ENTRY: Record<TransactionState, readonly TransactionEffect[]> = {
  initiated: [],
  active: [{ kind: "announce", what: "begun" }],
  preparing: [],
  prepared: [{ kind: "announce", what: "prepared" }],
  committing: [{ kind: "announce", what: "committing" }],
  committed: [
    { kind: "discard_changes" },
    { kind: "release_locks" },
    { kind: "announce", what: "committed" },
  ],
  rolling_back: [{ kind: "discard_changes" }, { kind: "abort_participants" }],
  rolled_back: [{ kind: "release_locks" }, { kind: "announce", what: "rolled_back" }],
  failed: [
    { kind: "discard_changes" },
    { kind: "release_locks" },
    { kind: "announce", what: "failed" },
  ],
};

/** One step. Throws `invalid_transition` with `from` and `event` where the table has no row. */
export function step(
  state: TransactionState,
  event: TransactionEvent,
): { readonly state: TransactionState; readonly effects: readonly TransactionEffect[] } {
  const next = NEXT[state]?.[event.kind];
  if (next === undefined) {
    throw new LayerdError(
      "invalid_transition",
      `A transaction that is ${state} does not take ${event.kind}`,
      { from: state, event: event.kind },
    );
  }
  if (event.kind === "resolved") return { state: next, effects: [{ kind: "lift_quarantine" }] };
  // A return to active after a refusal is no second begin.
  const entered = next !== state && event.kind !== "refused_retryable";
  return { state: next, effects: entered ? ON_ENTRY[next] : [] };
}
