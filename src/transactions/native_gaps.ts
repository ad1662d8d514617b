/**
 * Native git's share of packed-refs.lock: after each hold of ours it stays free for a time that
 * grows with the hold, per repository. Times are monotonic milliseconds.
 */
import type { RepositoryId } from "../core/ids.ts";
import type { RepositoryPart } from "../core/log_record.ts";

/** A hold that took longer has met a disk that native git waits for as well. */
const GAP_MS_MAX = 50;
const GAP_PER_HOLD = 2 / 3;

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
    const until = hold.endMs + Math.min(GAP_MS_MAX, hold.ms * GAP_PER_HOLD);
    for (const [id, freeAt] of this.#freeAt) if (freeAt < nowMs) this.#freeAt.delete(id);
    for (const { repositoryId } of parts) this.#freeAt.set(repositoryId, until);
  }
}
