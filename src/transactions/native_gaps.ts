/**
 * Native git's share of packed-refs.lock: after each hold of ours it stays free for a time that
 * grows with the hold, per repository. Times are monotonic milliseconds.
 *
 * N1. Where a hold is so long that few fit into git's second of patience, one gap is as long as
 *     git sleeps between two tries by then. Its n-th sleep takes about n² ms (git's lockfile.c),
 *     so that after t ms it sleeps for about (3t)^(2/3) ms.
 */
import type { RepositoryId } from "../core/ids.ts";
import type { RepositoryPart } from "../core/log_record.ts";

/** Of short holds and their gaps many fit into git's patience. */
const GAP_PER_HOLD = 2 / 3;
/** The sleeps vary by a quarter, and so does how many there were before. */
const GAP_PER_SLEEP = 1.5;
/** `core.packedRefsTimeout` unless set: during a longer hold git gives up whatever follows. */
const PATIENCE_MS = 1_000;

/** For how long native git met the lock, and since when it does no more. */
export interface LockHold {
  readonly ms: number;
  readonly endMs: number;
}

export class NativeGaps {
  readonly #freeAt = new Map<RepositoryId, number>();

  /** From when on the repositories of these parts may be locked again; 0: at once. */
  readyAt(parts: readonly RepositoryPart[]): number {
    return Math.max(0, ...parts.map((part) => this.#freeAt.get(part.repositoryId) ?? 0));
  }

  leaveAfter(hold: LockHold, parts: readonly RepositoryPart[], nowMs: number): void {
    const until = hold.endMs + gapAfter(hold.ms);
    for (const [id, freeAt] of this.#freeAt) if (freeAt < nowMs) this.#freeAt.delete(id);
    for (const { repositoryId } of parts) this.#freeAt.set(repositoryId, until);
  }
}

/** For how long the lock stays free after a hold. */
function gapAfter(holdMs: number): number {
  const sleepMs = (3 * Math.min(holdMs, PATIENCE_MS)) ** (2 / 3);
  return Math.min(holdMs * GAP_PER_HOLD, sleepMs * GAP_PER_SLEEP);
}
