/** Events of the daemon, numbered, with a bounded memory to resume from. */

/** `type` is `<subject>.<what>`: transaction.committed, layer.changed, lock.waiting, health.changed. */
export interface LayerdEvent {
  /** Opaque to clients, rises; carries the incarnation so that a restart is noticed. */
  readonly id: string;
  readonly type: string;
  /** RFC 3339, milliseconds. */
  readonly at: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface Subscription extends AsyncIterable<LayerdEvent | { readonly type: "overflow" }> {
  close(): void;
}

export interface EventBus {
  publish(type: string, data: Readonly<Record<string, unknown>>): void;
  /**
   * Events after the cursor (null: from now on). `cursor_expired` when the cursor is older
   * than what is kept or of another incarnation; `too_many_subscribers` at the limit. A
   * subscriber that lets its queue fill gets `overflow` last and is closed.
   */
  subscribe(after: string | null): Subscription;
  readonly subscribers: number;
  close(): void;
}
