/**
 * Clients that wait for a saga's end. One that runs elsewhere is looked at again and again: its
 * end is known from the store alone.
 */
import { LayerdError } from "../core/errors.ts";
import type { SagaId } from "../core/ids.ts";
import type { Clock } from "../system/clock.ts";

const LOOK_AGAIN_MS = 1_000;

export class SagaWaiters {
  readonly #clock: Clock;
  readonly #waiting = new Map<SagaId, Set<() => void>>();

  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The daemon stops: whoever waits is told. */
  close(): void {
    this.#closed = true;
    for (const waiting of this.#waiting.values()) for (const wake of waiting) wake();
  }

  /** The saga has ended in this daemon. */
  ended(id: SagaId): void {
    for (const wake of this.#waiting.get(id) ?? []) wake();
  }

  /** What `look` answers, once it is not null; else `timeout`. */
  async wait<T>(
    id: SagaId,
    look: () => Promise<T | null>,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<T> {
    const untilMs = this.#clock.monotonic() + timeoutMs;
    for (;;) {
      // Listening begins before looking, so that no end falls in between.
      const bell = this.#listen(id, signal);
      try {
        const found = await look();
        if (found !== null) return found;
        signal.throwIfAborted();
        if (this.#closed) throw new LayerdError("draining", "The daemon stops");
        const leftMs = untilMs - this.#clock.monotonic();
        if (leftMs <= 0) {
          throw new LayerdError("timeout", `Saga ${id} has not ended in ${timeoutMs} ms`);
        }
        const timer = this.#clock.after(Math.min(leftMs, LOOK_AGAIN_MS), bell.ring);
        await bell.rung;
        timer.cancel();
      } finally {
        bell.close();
      }
    }
  }

  #listen(id: SagaId, signal: AbortSignal) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const ring = () => resolve();
    const waiting = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiting.add(ring));
    signal.addEventListener("abort", ring, { once: true });
    const close = () => {
      waiting.delete(ring);
      if (waiting.size === 0 && this.#waiting.get(id) === waiting) this.#waiting.delete(id);
      signal.removeEventListener("abort", ring);
    };
    return { rung: promise, ring, close };
  }
}
