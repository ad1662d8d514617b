/**
 * The event bus: the last events in a ring, and a bounded queue for every subscriber.
 *
 * V1. publish() never waits and never fails, whoever reads or does not.
 * V2. A subscriber gets every event after its cursor, in order and once, until it is closed;
 *     one whose queue is full gets what the queue holds, then `overflow`, and is closed.
 * V3. A cursor is `<incarnation>-<sequence>`. Sequences rise by one from 1, so that a gap or
 *     a restart cannot go unnoticed: such a cursor is `cursor_expired`.
 */
import { LayerdError } from "../core/errors.ts";
import { quote } from "../core/ids.ts";
import { EVENT_QUEUE_MAX, EVENT_SUBSCRIBERS_MAX, EVENTS_KEPT_MAX } from "../core/limits.ts";
import type { Clock } from "../system/clock.ts";
import type { EventBus, LayerdEvent, Subscription } from "./events.ts";

export class RingEventBus implements EventBus {
  readonly #clock: Clock;
  readonly #incarnation: number;
  /** The event of sequence `s` stands at `s % EVENTS_KEPT_MAX`; sequences start at 1. */
  readonly #ring: LayerdEvent[] = [];
  #last = 0;
  #closed = false;
  readonly #subscribers = new Set<QueuedSubscription>();

  constructor(parts: { readonly clock: Clock; readonly incarnation: number }) {
    this.#clock = parts.clock;
    this.#incarnation = parts.incarnation;
  }

  get subscribers(): number {
    return this.#subscribers.size;
  }

  publish(type: string, data: Readonly<Record<string, unknown>>): void {
    const sequence = ++this.#last;
    const at = new Date(this.#clock.now()).toISOString();
    const event = { id: `${this.#incarnation}-${sequence}`, type, at, data };
    this.#ring[sequence % EVENTS_KEPT_MAX] = event;
    for (const subscriber of this.#subscribers) subscriber.offer(event);
  }

  subscribe(after: string | null): Subscription {
    if (this.#closed) throw new LayerdError("draining", "The daemon is ending");
    const missed = after === null ? [] : this.#since(after);
    if (this.#subscribers.size >= EVENT_SUBSCRIBERS_MAX) {
      throw new LayerdError(
        "too_many_subscribers",
        `${EVENT_SUBSCRIBERS_MAX} event streams are open; close one first`,
        { limit: EVENT_SUBSCRIBERS_MAX },
      );
    }
    const subscription = new QueuedSubscription(
      missed,
      (ended) => this.#subscribers.delete(ended),
    );
    this.#subscribers.add(subscription);
    return subscription;
  }

  /** Ends every stream after what its queue holds. */
  close(): void {
    this.#closed = true;
    for (const subscriber of this.#subscribers) subscriber.close();
  }

  #since(after: string): LayerdEvent[] {
    const match = /^(\d{1,15})-(\d{1,15})$/.exec(after);
    if (!match) {
      throw new LayerdError("invalid_request", `Cursor ${quote(after)} is not one of this API`, {
        field: "after",
      });
    }
    const sequence = Number(match[2]);
    const oldest = Math.max(1, this.#last - EVENTS_KEPT_MAX + 1);
    const known = Number(match[1]) === this.#incarnation && sequence <= this.#last;
    if (!known || sequence + 1 < oldest) {
      throw new LayerdError(
        "cursor_expired",
        `Events after ${after} are no longer kept; read the state again and start from now`,
      );
    }
    const events: LayerdEvent[] = [];
    for (let next = sequence + 1; next <= this.#last; next++) {
      const event = this.#ring[next % EVENTS_KEPT_MAX];
      if (event) events.push(event);
    }
    return events;
  }
}

type Item = LayerdEvent | { readonly type: "overflow" };

class QueuedSubscription implements Subscription {
  #queue: Item[];
  #wake: (() => void) | null = null;
  #closed = false;
  /** Missed events are handed over at once and do not count against the queue. */
  #allowance: number;
  readonly #ended: (self: QueuedSubscription) => void;

  constructor(missed: readonly LayerdEvent[], ended: (self: QueuedSubscription) => void) {
    this.#queue = [...missed];
    this.#allowance = EVENT_QUEUE_MAX + missed.length;
    this.#ended = ended;
  }

  offer(event: LayerdEvent): void {
    if (this.#closed) return;
    if (this.#queue.length >= this.#allowance) {
      this.#queue.push({ type: "overflow" });
      this.close();
      return;
    }
    this.#queue.push(event);
    this.#wake?.();
  }

  close(): void {
    this.#closed = true;
    this.#ended(this);
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void> {
    try {
      for (;;) {
        const batch = this.#queue;
        this.#queue = [];
        this.#allowance = EVENT_QUEUE_MAX;
        yield* batch;
        if (this.#queue.length > 0) continue;
        if (this.#closed) return;
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#wake = resolve;
        await promise;
        this.#wake = null;
      }
    } finally {
      this.close();
    }
  }
}
