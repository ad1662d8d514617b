/**
 * The SDK, for Deno and Node (20.4 or later): transactions whose type says their state,
 * retries where the daemon says that a repeat can succeed, and an event stream that goes on
 * over a restart. `client.ts` beneath it has every route as it is on the wire.
 */
import { LayerdClient } from "./client.ts";
import type { BeginBody, TransactionDocument } from "./documents.ts";
import { type EventItem, followEvents } from "./event_stream.ts";
import { ConnectionLost, DaemonUnreachable, isProblem, type ProblemCode } from "./problem.ts";
import { backoffMs, type Pace, realPace } from "./retry.ts";
import { type Committed, Transaction } from "./transaction.ts";

export * from "./client.ts";
export type { EventGap, EventItem } from "./event_stream.ts";
export type { Pace } from "./retry.ts";
export { type Committed, Transaction } from "./transaction.ts";

/** What `begin` takes, without what a one-shot commit takes besides. */
export type BeginOptions = Omit<BeginBody, "commit">;

/** What {@link Layerd.transact} takes. */
export interface TransactOptions extends BeginOptions {
  /** How often the function is called at most; 10 unless told. */
  readonly attempts?: number;
  readonly signal?: AbortSignal;
}

/** Refusals that a new attempt from the beginning can get past. */
const SERIALIZATION_FAILURES = [
  "write_conflict",
  "deadlock",
  "lock_timeout",
  "repository_locked",
] as const satisfies readonly ProblemCode[];

const ATTEMPTS_DEFAULT = 10;
/** Between looks for a daemon that broke off in a commit: with the backoff about 20 s. */
const OUTCOME_LOOKS_MAX = 20;
const OUTCOME_WAIT_MS = 5_000;

export class Layerd implements AsyncDisposable {
  /** Every route as it is on the wire. */
  readonly client: LayerdClient;
  readonly #pace: Pace;

  constructor(options: { readonly socketPath: string; readonly pace?: Pace }) {
    this.client = new LayerdClient(options);
    this.#pace = options.pace ?? realPace;
  }

  /** Opens a transaction; with `await using` it ends with its scope. */
  async begin(body: BeginOptions = {}): Promise<Transaction<"active">> {
    const document = await this.client.begin(body);
    return new Transaction(this.client, document, "active", { ended: false });
  }

  /** Performs and commits operations in one call; safe to repeat with an idempotency key. */
  async apply(
    body: BeginOptions,
    options: { readonly idempotencyKey?: string } = {},
  ): Promise<Committed> {
    return this.#committed(await this.client.begin({ ...body, commit: true }, options));
  }

  /**
   * Calls `work` in a transaction and commits what it staged. Where the attempt fails because
   * of other transactions, all of it is done again, in a new one, after a pause: `work` must
   * be safe to call more than once. Whatever else it throws rolls back and is thrown.
   */
  async transact<T>(
    work: (transaction: Transaction<"active">) => Promise<T>,
    options: TransactOptions = {},
  ): Promise<{ readonly value: T; readonly transaction: Committed }> {
    const { attempts = ATTEMPTS_DEFAULT, signal, ...body } = options;
    for (let attempt = 1;; attempt++) {
      signal?.throwIfAborted();
      try {
        return await this.#attempt(work, body);
      } catch (error) {
        if (attempt >= attempts || !isProblem(error, ...SERIALIZATION_FAILURES)) throw error;
        const wait = Math.max(
          backoffMs(attempt, this.#pace.random()),
          error.problem.retry_after_ms ?? 0,
        );
        await this.#pace.sleep(wait, signal);
      }
    }
  }

  /**
   * What happens, from now on or after a cursor, over broken connections and restarts of the
   * daemon; where events were missed, an item of kind `gap` says so. Ends with the signal, and
   * rejects when the daemon cannot be reached for about a minute.
   */
  events(
    options: { readonly after?: string; readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<EventItem, void> {
    return followEvents(this.client, this.#pace, options);
  }

  /** Ends kept-alive connections, so that the process can end. */
  close(): void {
    this.client.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  async #attempt<T>(
    work: (transaction: Transaction<"active">) => Promise<T>,
    body: BeginOptions,
  ): Promise<{ readonly value: T; readonly transaction: Committed }> {
    const open = await this.begin(body);
    try {
      const value = await work(open);
      return { value, transaction: await this.#commit(open) };
    } catch (error) {
      // What went wrong first is what the caller must hear; the lease ends the rest.
      await open[Symbol.asyncDispose]().catch((late: unknown) => {
        if (!(late instanceof DaemonUnreachable || late instanceof ConnectionLost)) throw late;
      });
      throw error;
    }
  }

  /** A commit whose answer was lost is asked for, never repeated: it may have happened. */
  async #commit(open: Transaction<"active">): Promise<Committed> {
    try {
      return await open.commit();
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
      const document = await this.#outcome(open.id, error);
      if (document?.state !== "committed" && document?.state !== "committing") throw error;
      return this.#committed(document);
    }
  }

  /** The transaction as the daemon knows it once it answers; null where it is in no log. */
  async #outcome(id: string, broken: ConnectionLost): Promise<TransactionDocument | null> {
    for (let look = 1; look <= OUTCOME_LOOKS_MAX; look++) {
      try {
        return await this.client.waitFor(id, "terminal", OUTCOME_WAIT_MS);
      } catch (error) {
        if (isProblem(error, "transaction_not_found")) return null;
        const passing = error instanceof ConnectionLost || error instanceof DaemonUnreachable ||
          isProblem(error, "recovering", "draining", "timeout");
        if (!passing) throw error;
      }
      await this.#pace.sleep(backoffMs(look, this.#pace.random()));
    }
    throw broken;
  }

  #committed(document: TransactionDocument): Committed {
    const life = { ended: true };
    return document.state === "committing"
      ? new Transaction(this.client, document, "committing", life)
      : new Transaction(this.client, document, "committed", life);
  }
}
