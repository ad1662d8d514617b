/** Time as the daemon sees it; simulated in tests. */

/** A timer that was set; cancelling it twice is harmless. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall clock, milliseconds since the epoch. May jump. */
  now(): number;
  /** Monotonic milliseconds, for measuring and for leases. */
  monotonic(): number;
  /** Calls back once after `delay_ms`; does not keep the process alive. */
  after(delayMs: number, callback: () => void): Timer;
  /** Resolves after `delay_ms`. */
  sleep(delayMs: number): Promise<void>;
}
