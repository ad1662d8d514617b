import type { Clock, Timer } from "../../src/system/clock.ts";

interface Pending {
  readonly delayMs: number;
  readonly fire: () => void;
}

/** A clock whose timers go off when the test says so. */
export class HandClock implements Clock {
  readonly #pending = new Set<Pending>();
  #set = Promise.withResolvers<void>();

  now(): number {
    return 1_000_000;
  }

  monotonic(): number {
    return 0;
  }

  after(delayMs: number, callback: () => void): Timer {
    const pending = { delayMs, fire: callback };
    this.#pending.add(pending);
    this.#set.resolve();
    this.#set = Promise.withResolvers();
    return { cancel: () => void this.#pending.delete(pending) };
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, resolve));
  }

  /** Waits until a timer of this delay is set, and lets it go off. */
  async fire(delayMs: number): Promise<void> {
    for (;;) {
      for (const pending of this.#pending) {
        if (pending.delayMs !== delayMs) continue;
        this.#pending.delete(pending);
        pending.fire();
        return;
      }
      await this.#set.promise;
    }
  }
}
