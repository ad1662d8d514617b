/** Backoff: exponential, with full jitter, bounded in length and in number. */

/** Time and chance, as the retries use them. */
export interface Pace {
  /** Resolves after `ms`, rejects when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** A number from 0 up to, not including, 1. */
  random(): number;
}

/** The runtime's own. */
export const realPace: Pace = {
  random: () => Math.random(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const stop = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener("abort", stop);
        resolve();
      }, ms);
      signal?.addEventListener("abort", stop, { once: true });
    }),
};

const BACKOFF_MS_MIN = 10;
const BACKOFF_MS_MAX = 2_000;

/**
 * How long to wait before repeat number `attempt` (from 1): a random share of a length that
 * doubles, so that clients that met each other do not meet again ("full jitter", Brooker,
 * AWS Architecture Blog, 2015).
 */
export function backoffMs(attempt: number, random: number): number {
  return Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(attempt, 20)) * random;
}
