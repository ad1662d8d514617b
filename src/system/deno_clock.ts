import type { Clock, Timer } from "./clock.ts";

/** The machine's clocks. Timers of {@link Clock.after} do not keep the process alive. */
export class DenoClock implements Clock {
  now(): number {
    return Date.now();
  }

  monotonic(): number {
    return performance.now();
  }

  after(delayMs: number, callback: () => void): Timer {
    const id = setTimeout(callback, delayMs);
    Deno.unrefTimer(id);
    return { cancel: () => clearTimeout(id) };
  }

  // Somebody awaits a sleep, so its timer does keep the process alive: a program that ends
  // in the middle of an awaited pause would look as if it had finished.
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, delayMs));
  }
}
