/**
 * Time of the simulated machine. It stands still while anything can run, and jumps to the
 * next timer when nothing can: a second of waiting costs nothing, and the same seed gives
 * the same order of events.
 */
import { setImmediate } from "node:timers";
import type { Clock, Timer } from "../../src/system/clock.ts";

interface Scheduled {
  readonly atMs: number;
  readonly order: number;
  readonly callback: () => void;
}

/** Nothing is scheduled and what was waited for has not come: it never will. */
export class Standstill extends Error {
  override readonly name = "Standstill";
}

/** The machine went down while something was waited for. */
export class Halted extends Error {
  override readonly name = "Halted";
}

/** The kernel stamps files with the time of its last tick. */
const TICK_MS = 4;
/** What a call takes that does not wait for the disk. */
const CALL_MS = 0.01;

export class SimulatedClock implements Clock {
  readonly #startMs: number;
  #nowMs: number;
  #order = 0;
  #queue: Scheduled[] = [];
  #isHalted = false;

  constructor(startMs: number) {
    this.#startMs = startMs;
    this.#nowMs = startMs;
  }

  now(): number {
    return Math.floor(this.#nowMs);
  }

  monotonic(): number {
    return this.#nowMs - this.#startMs;
  }

  fileTime(): number {
    return Math.floor(this.#nowMs / TICK_MS) * TICK_MS;
  }

  noteCall(): void {
    this.#nowMs += CALL_MS;
  }

  after(delayMs: number, callback: () => void): Timer {
    this.#order += 1;
    const scheduled = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order, callback };
    const at = this.#queue.findIndex((one) => one.atMs > scheduled.atMs);
    this.#queue.splice(at === -1 ? this.#queue.length : at, 0, scheduled);
    return { cancel: () => this.#cancel(scheduled) };
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, resolve));
  }

  /** Nothing runs any more: the machine is down. */
  halt(): void {
    this.#isHalted = true;
  }

  get isHalted(): boolean {
    return this.#isHalted;
  }

  /**
   * Lets everything run until the promise is settled; {@link Standstill} where it never is,
   * {@link Halted} where the machine went down.
   */
  async until<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const settled = () => {
      isSettled = true;
    };
    promise.then(settled, settled);
    while (true) {
      await quiet();
      if (this.#isHalted) throw new Halted("The machine is down");
      if (isSettled) return await promise;
      if (!this.#step(Infinity)) throw new Standstill("Nothing is left to run");
    }
  }

  /** Lets everything run for this long. */
  async run(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    do await quiet(); while (!this.#isHalted && this.#step(untilMs));
    if (this.#isHalted) throw new Halted("The machine is down");
    this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  #step(untilMs: number): boolean {
    const next = this.#queue[0];
    if (next === undefined || next.atMs > untilMs) return false;
    this.#queue.shift();
    this.#nowMs = Math.max(this.#nowMs, next.atMs);
    next.callback();
    return true;
  }

  #cancel(scheduled: Scheduled): void {
    const at = this.#queue.indexOf(scheduled);
    if (at !== -1) this.#queue.splice(at, 1);
  }
}

/** Until every promise that can go on has gone on. */
function quiet(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
