/**
 * What the transactions room counts and times. Plain numbers in memory: an observation
 * costs one addition and a scan of a few bounds, so the pipeline calls it unconditionally.
 * The http room writes them out (http/metrics.ts).
 */
import type { TerminalState } from "../core/transaction_document.ts";

/** Upper bounds of milliseconds buckets, for what takes a disk's or a network's time. */
const MS_BOUNDS = [0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];
const GROUP_BOUNDS = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/** Counts observations in buckets; a bucket's count includes those of all lower ones. */
export class Histogram {
  readonly bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.#counts = bounds.map(() => 0);
  }

  observe(value: number): void {
    this.#sum += value;
    this.#count += 1;
    const bucket = this.bounds.findIndex((bound) => value <= bound);
    if (bucket >= 0) this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
  }

  get sum(): number {
    return this.#sum;
  }

  get count(): number {
    return this.#count;
  }

  /** Observations at or below each bound, in the order of `bounds`. */
  cumulative(): number[] {
    let total = 0;
    return this.#counts.map((count) => total += count);
  }
}

/** How transactions go. Written by manager and pipeline, read by `GET /v1/metrics`. */
export class Metrics {
  /** From joining the pipeline to the answer. */
  readonly commitMs: Histogram = new Histogram(MS_BOUNDS);
  /** One force of the log. */
  readonly forceMs: Histogram = new Histogram(MS_BOUNDS);
  /** Transactions that shared one decision. */
  readonly groupSize: Histogram = new Histogram(GROUP_BOUNDS);
  /** Waits for a lock of our own table that were not granted at once. */
  readonly lockWaitMs: Histogram = new Histogram(MS_BOUNDS);
  readonly #outcomes: Record<TerminalState, number> = { committed: 0, rolled_back: 0, failed: 0 };
  #lockWaits = 0;
  #deadlocks = 0;

  observeCommit(ms: number): void {
    this.commitMs.observe(ms);
  }

  observeForce(ms: number): void {
    this.forceMs.observe(ms);
  }

  observeGroup(size: number): void {
    this.groupSize.observe(size);
  }

  /** A transaction reached its end. */
  countOutcome(state: TerminalState): void {
    this.#outcomes[state] += 1;
  }

  /** A lock request had to wait. */
  countLockWait(): void {
    this.#lockWaits += 1;
  }

  /** A wait ended, granted or not. */
  observeLockWait(ms: number): void {
    this.lockWaitMs.observe(ms);
  }

  countDeadlock(): void {
    this.#deadlocks += 1;
  }

  get outcomes(): Readonly<Record<TerminalState, number>> {
    return this.#outcomes;
  }

  get lockWaits(): number {
    return this.#lockWaits;
  }

  get deadlocks(): number {
    return this.#deadlocks;
  }
}
