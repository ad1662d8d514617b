/**
 * Deadlines of many transactions under one timer: an indexed binary heap, so that ten
 * thousand open transactions cost one timer, and renewing or dropping a lease costs a few
 * swaps. Times are monotonic milliseconds; the wall clock may jump.
 *
 * E1. Every deadline that has passed is reported once, and never before it has passed.
 * E2. A dropped or renewed lease is never reported for its old deadline.
 * E3. At most one timer is set, for a moment not later than the earliest deadline.
 */
import type { TransactionId } from "../core/ids.ts";
import type { Clock, Timer } from "../system/clock.ts";

interface Lease {
  readonly id: TransactionId;
  deadlineMs: number;
  /** Place in the heap. */
  index: number;
}

export class Leases {
  readonly #clock: Clock;
  readonly #onExpired: (id: TransactionId) => void;
  readonly #heap: Lease[] = [];
  readonly #byId = new Map<TransactionId, Lease>();
  #timer: Timer | null = null;
  #timerAtMs = Infinity;

  constructor(clock: Clock, onExpired: (id: TransactionId) => void) {
    this.#clock = clock;
    this.#onExpired = onExpired;
  }

  get size(): number {
    return this.#heap.length;
  }

  /** Starts or renews a lease. */
  set(id: TransactionId, deadlineMs: number): void {
    let lease = this.#byId.get(id);
    if (lease === undefined) {
      lease = { id, deadlineMs, index: this.#heap.length };
      this.#heap.push(lease);
      this.#byId.set(id, lease);
    }
    lease.deadlineMs = deadlineMs;
    this.#settle(lease);
    this.#arm();
  }

  /** Forgets a lease; harmless where there is none. */
  drop(id: TransactionId): void {
    const lease = this.#byId.get(id);
    if (lease === undefined) return;
    this.#byId.delete(id);
    const last = this.#heap.pop();
    if (last !== undefined && last !== lease) {
      last.index = lease.index;
      this.#heap[last.index] = last;
      this.#settle(last);
    }
    if (this.#heap.length === 0) this.#disarm();
  }

  /** Stops the timer and forgets everything. */
  close(): void {
    this.#heap.length = 0;
    this.#byId.clear();
    this.#disarm();
  }

  #fire(): void {
    this.#timer = null;
    this.#timerAtMs = Infinity;
    const now = this.#clock.monotonic();
    for (let first = this.#heap[0]; first && first.deadlineMs <= now; first = this.#heap[0]) {
      this.drop(first.id);
      this.#onExpired(first.id);
    }
    this.#arm();
  }

  #arm(): void {
    const first = this.#heap[0];
    if (first === undefined || first.deadlineMs >= this.#timerAtMs) return;
    this.#disarm();
    this.#timerAtMs = first.deadlineMs;
    // A timer may come a little early; rounding up keeps it from spinning before the deadline.
    const delayMs = Math.max(1, Math.ceil(first.deadlineMs - this.#clock.monotonic()));
    this.#timer = this.#clock.after(delayMs, () => this.#fire());
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#timerAtMs = Infinity;
  }

  /** Moves a lease up or down to where its deadline belongs. */
  #settle(lease: Lease): void {
    for (let parent = this.#parent(lease); parent; parent = this.#parent(lease)) {
      if (parent.deadlineMs <= lease.deadlineMs) break;
      this.#swap(lease, parent);
    }
    for (let child = this.#earlierChild(lease); child; child = this.#earlierChild(lease)) {
      if (child.deadlineMs >= lease.deadlineMs) break;
      this.#swap(lease, child);
    }
  }

  #parent(lease: Lease): Lease | undefined {
    return lease.index === 0 ? undefined : this.#heap[(lease.index - 1) >> 1];
  }

  #earlierChild(lease: Lease): Lease | undefined {
    const left = this.#heap[2 * lease.index + 1];
    const right = this.#heap[2 * lease.index + 2];
    return left && right && right.deadlineMs < left.deadlineMs ? right : left;
  }

  #swap(one: Lease, other: Lease): void {
    const index = one.index;
    one.index = other.index;
    other.index = index;
    this.#heap[one.index] = one;
    this.#heap[other.index] = other;
  }
}
