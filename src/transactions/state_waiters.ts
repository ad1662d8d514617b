/**
 * Clients that wait for a transaction to reach a state. Woken by the change itself; a list
 * exists only while somebody waits.
 */
import { LayerdError } from "../core/errors.ts";
import type { TransactionId } from "../core/ids.ts";
import {
  isTerminal,
  type TransactionDocument,
  type TransactionState,
} from "../core/transaction_document.ts";
import type { Clock } from "../system/clock.ts";

/** What a client waits for; any terminal state ends every wait. */
export type AwaitedState = TransactionState | "terminal";

type Waiter = (document: TransactionDocument) => void;

export class StateWaiters {
  readonly #clock: Clock;
  readonly #waiters = new Map<TransactionId, Set<Waiter>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether anybody waits, so that a document is worth making. */
  any(id: TransactionId): boolean {
    return this.#waiters.has(id);
  }

  /** Tells everybody who waits for this transaction how it stands. */
  tell(id: TransactionId, document: TransactionDocument): void {
    for (const waiter of [...this.#waiters.get(id) ?? []]) waiter(document);
  }

  wait(
    id: TransactionId,
    state: AwaitedState,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<TransactionDocument> {
    const { promise, resolve, reject } = Promise.withResolvers<TransactionDocument>();
    const waiter: Waiter = (document) => {
      if (reached(document, state)) leave(() => resolve(document));
    };
    const giveUp = (message: string) => {
      leave(() => reject(new LayerdError("timeout", message, { transaction_id: id })));
    };
    const onAbort = () => giveUp("The client stopped waiting");
    const leave = (settle: () => void) => {
      timer.cancel();
      signal?.removeEventListener("abort", onAbort);
      this.#remove(id, waiter);
      settle();
    };
    const timer = this.#clock.after(
      timeoutMs,
      () => giveUp(`Transaction ${id} did not become ${state} within ${timeoutMs} ms`),
    );
    this.#add(id, waiter);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort);
    return promise;
  }

  #add(id: TransactionId, waiter: Waiter): void {
    const waiters = this.#waiters.get(id);
    if (waiters) waiters.add(waiter);
    else this.#waiters.set(id, new Set([waiter]));
  }

  #remove(id: TransactionId, waiter: Waiter): void {
    const waiters = this.#waiters.get(id);
    waiters?.delete(waiter);
    if (waiters?.size === 0) this.#waiters.delete(id);
  }
}

/** Whether a wait for `state` is over. */
export function reached(document: TransactionDocument, state: AwaitedState): boolean {
  return document.state === state || isTerminal(document.state);
}
