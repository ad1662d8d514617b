/**
 * The end of a daemon's service: new begins are refused, open transactions may finish, and
 * what is still open when the time is up goes with the daemon. Promises and decided
 * transactions are not touched: the next start finds them in the log.
 */
import type { Clock } from "../system/clock.ts";
import type { CommitSteps } from "./commit_steps.ts";
import type { LockWaits } from "./lock_waits.ts";
import { LayerdError } from "../core/errors.ts";
import type { OpenTransaction } from "./open_transaction.ts";
import type { OpenTransactions } from "./open_transactions.ts";
import type { TwoPhaseCoordinator } from "./two_phase_coordinator.ts";

export interface DrainParts {
  readonly clock: Clock;
  readonly open: OpenTransactions;
  readonly waits: LockWaits;
  readonly steps: CommitSteps;
  readonly coordinator: Pick<TwoPhaseCoordinator, "stopAsking">;
}

/** Resolves when nothing is open that does not survive a restart, after `timeoutMs` at the latest. */
export async function drainTransactions(parts: DrainParts, timeoutMs: number): Promise<void> {
  const { clock, open, steps, waits } = parts;
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = clock.after(timeoutMs, resolve);
  await Promise.race([late, open.whenOnly(survivesRestart)]);
  timer.cancel();
  // A vote may be an hour away.
  parts.coordinator.stopAsking();
  const left = [...open.all()].filter((transaction) => !survivesRestart(transaction));
  await Promise.all(left.map((transaction) => {
    const text = "The daemon stops";
    waits.refuse(transaction.id, new LayerdError("draining", text));
    return transaction.inTurn(() => {
      const stillOpen = open.get(transaction.id) === transaction;
      if (stillOpen && !survivesRestart(transaction)) {
        steps.abandon(transaction, { code: "draining", detail: text });
      }
      return Promise.resolve();
    });
  }));
}

function survivesRestart({ state }: OpenTransaction): boolean {
  return state === "prepared" || state === "committing";
}
