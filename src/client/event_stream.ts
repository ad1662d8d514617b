/**
 * Events over broken connections: resumed behind the last one seen.
 *
 * R1. Every event after the cursor comes once and in order, or an item `gap` stands where
 *     some are missing (the daemon keeps a bounded number, and none over a restart).
 * R2. Reconnecting is bounded: {@link RECONNECTS_MAX} failures in a row, then the last one is
 *     thrown. An event, or a stream that was open, begins the count anew.
 */
import type { LayerdClient } from "./client.ts";
import type { EventDocument } from "./documents.ts";
import { ConnectionLost, DaemonUnreachable, isProblem } from "./problem.ts";
import { backoffMs, type Pace } from "./retry.ts";

/** Events were missed here: look at the state itself. */
export interface EventGap {
  readonly kind: "gap";
  /** The last event before it, if there was one. */
  readonly after: string | null;
}

export type EventItem = EventDocument & { readonly kind: "event" } | EventGap;

/** With the backoff between them about a minute. */
const RECONNECTS_MAX = 60;

export async function* followEvents(
  client: LayerdClient,
  pace: Pace,
  options: { readonly after?: string; readonly signal?: AbortSignal },
): AsyncGenerator<EventItem, void> {
  const { signal } = options;
  let last = options.after ?? null;
  let failures = 0;
  let missed = false;
  while (!signal?.aborted) {
    if (missed) {
      const after = last;
      missed = false;
      last = null;
      yield { kind: "gap", after };
    }
    try {
      const from = last === null ? {} : { after: last };
      for await (const event of client.events(signal === undefined ? from : { ...from, signal })) {
        failures = 0;
        // The daemon's last word to a reader that was too slow; it has no id.
        if (event.type === "overflow") break;
        last = event.id;
        yield { kind: "event", ...event };
      }
      // Open with nothing to resume from: what happens until the next stream is unknown.
      missed = last === null;
    } catch (error) {
      if (signal?.aborted) return;
      if (isProblem(error, "cursor_expired")) {
        missed = true;
        continue;
      }
      if (!isPassing(error) || failures >= RECONNECTS_MAX) throw error;
      if (error instanceof ConnectionLost) missed = last === null;
    }
    failures++;
    try {
      await pace.sleep(backoffMs(failures, pace.random()), signal);
    } catch (error) {
      if (signal?.aborted) return;
      throw error;
    }
  }
}

function isPassing(error: unknown): boolean {
  return error instanceof ConnectionLost || error instanceof DaemonUnreachable ||
    isProblem(error, "draining", "recovering");
}
