/**
 * Whether a sync is made in the caller's thread or in another one. Handing it over and being
 * woken costs more than the sync of a little on a quick disk takes (147 microseconds in place
 * against 2 to 4 milliseconds on a busy machine), while a slow one would hold up everything else.
 *
 * P1. In place only what has few bytes to write, and only while the disk is quick.
 * P2. One that took long keeps the next ones out of the thread for ten times as long: a slow
 *     disk holds the thread up for a tenth of the time at most.
 */

/** Bytes that a quick disk takes in well under a millisecond. */
const BYTES_MAX = 256 * 1024;
/** What took no longer shall be made in place again. */
const QUICK_MS = 4;
const PAUSE_PER_SYNC = 10;

export class SyncPace {
  readonly #monotonic: () => number;
  #notBeforeMs = -Infinity;

  /** `monotonic`: milliseconds that never go back. */
  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
  }

  /** Syncs by the one or the other; `bytes`: written since the last sync. */
  async run(bytes: number, inPlace: () => void, aside: () => Promise<void>): Promise<void> {
    const startMs = this.#monotonic();
    if (bytes > BYTES_MAX || startMs < this.#notBeforeMs) return await aside();
    try {
      inPlace();
    } finally {
      const endMs = this.#monotonic();
      const tookMs = endMs - startMs;
      if (tookMs > QUICK_MS) this.#notBeforeMs = endMs + tookMs * PAUSE_PER_SYNC;
    }
  }
}
