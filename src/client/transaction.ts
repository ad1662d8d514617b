/**
 * A transaction as a value whose type says its state, so that what its state forbids does not
 * compile: `commit()` of a `Transaction<"committed">`, staging into a prepared one.
 *
 * H1. Every call answers a handle in the state that it led to. An old handle keeps its old
 *     type (the language cannot take it away); what is done through it the daemon refuses.
 * H2. Leaving the scope of `await using` rolls back what was neither prepared nor ended. A
 *     prepared transaction is a promise to somebody else and stays.
 * H3. All handles of one transaction share what is known of its end.
 */
import type { LayerdClient } from "./client.ts";
import type {
  FileDocument,
  OperationBody,
  TransactionDocument,
  TransactionState,
} from "./documents.ts";
import { isProblem, LayerdProblem } from "./problem.ts";

/** What a commit can end in: `committing` is decided for good while publication lags. */
export type Committed = Transaction<"committed"> | Transaction<"committing">;

type Open = Transaction<"active">;
type Committable = Transaction<"active"> | Transaction<"prepared">;

/** Whether leaving the scope still has something to roll back. */
interface Life {
  ended: boolean;
}

/** A handle; {@link Layerd.begin} makes the first one. */
export class Transaction<S extends TransactionState> implements AsyncDisposable {
  readonly id: string;
  readonly state: S;
  /** The document that led to this handle. */
  readonly document: TransactionDocument;
  readonly #client: LayerdClient;
  readonly #life: Life;

  /** @internal Only answers of the daemon become handles. */
  constructor(client: LayerdClient, document: TransactionDocument, state: S, life: Life) {
    this.id = document.id;
    this.state = state;
    this.document = document;
    this.#client = client;
    this.#life = life;
  }

  /** Stages operations, all of them or none. */
  async stage(this: Open, ...operations: readonly OperationBody[]): Promise<Open> {
    return this.#become(await this.#client.stage(this.id, operations), "active");
  }

  /** Stages a file's content: text, or bytes of any size. */
  async put(
    this: Open,
    file: { readonly repository: string; readonly layer: string; readonly path: string },
    content: string | Uint8Array,
  ): Promise<Open> {
    const put = { op: "put_file", ...file } as const;
    if (typeof content === "string") return await this.stage({ ...put, content });
    const { oid } = await this.#client.putBlob(this.id, content);
    return await this.stage({ ...put, oid });
  }

  /** A file as this transaction sees it. */
  async file(
    this: Open,
    file: { readonly repository: string; readonly layer: string; readonly path: string },
  ): Promise<FileDocument> {
    return await this.#client.file(file.repository, file.layer, file.path, {
      transaction: this.id,
    });
  }

  async savepoint(this: Open, name: string): Promise<Open> {
    return this.#become(await this.#client.savepoint(this.id, name), "active");
  }

  async rollbackTo(this: Open, savepoint: string): Promise<Open> {
    return this.#become(await this.#client.rollbackTo(this.id, savepoint), "active");
  }

  /** Renews the lease, which every other call does as well. */
  async heartbeat(this: Open, options: { readonly lease_ms?: number } = {}): Promise<Open> {
    return this.#become(await this.#client.heartbeat(this.id, options), "active");
  }

  /** Votes: from now on a commit can only succeed, and neither lease nor restart ends it. */
  async prepare(this: Open): Promise<Transaction<"prepared">> {
    const document = await this.#client.prepare(this.id);
    this.#life.ended = true;
    return this.#become(document, "prepared");
  }

  /** Moves every ref or none. A refusal rejects with its problem; most of them end it. */
  async commit(this: Committable): Promise<Committed> {
    const document = await this.#client.commit(this.id);
    this.#life.ended = true;
    if (document.state === "failed") throw failure(document);
    return document.state === "committing"
      ? this.#become(document, "committing")
      : this.#become(document, "committed");
  }

  async rollback(this: Committable): Promise<Transaction<"rolled_back">> {
    const document = await this.#client.rollback(this.id);
    this.#life.ended = true;
    return this.#become(document, "rolled_back");
  }

  /** Waits until a decided commit is published; problem `timeout` where that lasts longer. */
  async published(
    this: Committed,
    timeoutMs: number,
  ): Promise<Transaction<"committed"> | Transaction<"failed">> {
    const document = await this.#client.waitFor(this.id, "terminal", timeoutMs);
    return document.state === "failed"
      ? this.#become(document, "failed")
      : this.#become(document, "committed");
  }

  /** Undoes what this one changed, in a new transaction. */
  async undo(this: Transaction<"committed">): Promise<Transaction<"committed">> {
    const document = await this.#client.undo(this.id);
    return new Transaction(this.#client, document, "committed", { ended: true });
  }

  /** Rolls back what was neither prepared nor ended. Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#life.ended) return;
    this.#life.ended = true;
    try {
      await this.#client.rollback(this.id);
    } catch (error) {
      // It ended by itself, or with its daemon: nothing is open, which is what was wanted.
      const over = isProblem(error, "lease_expired", "transaction_not_found", "invalid_transition");
      if (!over) throw error;
    }
  }

  #become<T extends TransactionState>(document: TransactionDocument, state: T): Transaction<T> {
    return new Transaction(this.#client, document, state, this.#life);
  }
}

/** Decided, and a side contradicts it: no value of {@link Committed}. */
function failure(transaction: TransactionDocument): LayerdProblem {
  return new LayerdProblem({
    type: "urn:layerd:error:git_error",
    title: "Git error",
    status: 500,
    detail: transaction.problem?.detail ?? `Transaction ${transaction.id} has failed`,
    code: "git_error",
    retryable: false,
    request_id: "",
    transaction_id: transaction.id,
    transaction,
  });
}
