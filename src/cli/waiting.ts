/** Says who holds a lock, while a call waits for it. */
import type { LocksDocument } from "../client/client.ts";
import { ConnectionLost, DaemonUnreachable, LayerdProblem } from "../client/client.ts";
import type { Session } from "./client_command.ts";

/** An answer that comes sooner needs no explanation. */
const SILENCE_MS = 400;
/** The holders may change while the call waits; looked at as long as it does. */
const LOOK_EVERY_MS = 1_000;

/** What the call waits for: as a known transaction, or for these layers. */
export interface Waiting {
  readonly transaction?: string;
  readonly locks?: readonly { readonly repository: string; readonly layer: string }[];
}

/** Makes a call; where it waits for a lock, the holder is named on standard error. */
export async function namingHolders<T>(
  session: Session,
  waiting: Waiting,
  call: () => Promise<T>,
): Promise<T> {
  const told = new Set<string>();
  let look: Promise<void> = Promise.resolve();
  const tell = async () => {
    try {
      for (const line of holdersOf(await session.client.locks(), waiting)) {
        if (!told.has(line)) session.output.note(line);
        told.add(line);
      }
    } catch (error) {
      // The call itself says what is wrong with the daemon.
      const known = error instanceof LayerdProblem || error instanceof DaemonUnreachable ||
        error instanceof ConnectionLost;
      if (!known) throw error;
    }
  };
  let timer = setTimeout(function again() {
    look = tell();
    timer = setTimeout(again, LOOK_EVERY_MS);
  }, SILENCE_MS);
  try {
    return await call();
  } finally {
    clearTimeout(timer);
    await look;
  }
}

/** One line a holder of a lock that the call waits for. */
export function holdersOf(document: LocksDocument, waiting: Waiting): string[] {
  const mine = document.locks.filter((lock) =>
    lock.waiters.some((waiter) => waiter.transaction_id === waiting.transaction) ||
    (lock.waiters.length > 0 &&
      (waiting.locks ?? []).some((wanted) =>
        wanted.repository === lock.repository && wanted.layer === lock.layer
      ))
  );
  return mine.flatMap((lock) =>
    lock.holders.map((holder) =>
      `Waiting for ${lock.layer} of ${lock.repository}: held ${holder.mode} by ` +
      `${holder.transaction_id} since ${holder.since}; \`layerd show ${holder.transaction_id}\` ` +
      "says whose it is"
    )
  );
}
