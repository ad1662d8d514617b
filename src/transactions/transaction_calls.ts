/**
 * How calls on one transaction are served: in order, under its lease, and refused in the
 * right words when it has ended.
 *
 * K1. Calls on one transaction run one after the other, in the order they came.
 * K2. The lease does not run while a call is accepted and unanswered; it starts anew with
 *     the answer. A lapsed lease rolls an active transaction back, and nothing else.
 */
import { LayerdError } from "../core/errors.ts";
import type { TransactionId } from "../core/ids.ts";
import type { TransactionDocument, TransactionState } from "../core/transaction_document.ts";
import type { Clock } from "../system/clock.ts";
import type { CommitSteps } from "./commit_steps.ts";
import type { Leases } from "./leases.ts";
import type { OpenTransaction } from "./open_transaction.ts";
import type { OpenTransactions } from "./open_transactions.ts";

/** What a client can ask of an open transaction, with the states in which it may. */
const CALLS = {
  stage: ["active"],
  upload: ["active"],
  savepoint: ["active"],
  heartbeat: ["active", "prepared"],
  read: ["active", "prepared", "committing"],
  prepare: ["active", "prepared"],
  commit: ["active", "prepared", "committing"],
  rollback: ["active", "prepared"],
} as const satisfies Record<string, readonly TransactionState[]>;

export type Call = keyof typeof CALLS;

/** The end state in which a repeated call is answered with the transaction. */
const END_OF: Partial<Record<Call, TransactionState>> = {
  commit: "committed",
  rollback: "rolled_back",
};

export interface TransactionCallsParts {
  readonly clock: Clock;
  readonly open: OpenTransactions;
  readonly leases: Leases;
  readonly steps: CommitSteps;
}

export class TransactionCalls {
  readonly #parts: TransactionCallsParts;

  constructor(parts: TransactionCallsParts) {
    this.#parts = parts;
  }

  /** Serves a call that answers with the transaction as it is afterwards. */
  async serve(
    id: TransactionId,
    call: Call,
    work: (transaction: OpenTransaction) => Promise<unknown>,
  ): Promise<TransactionDocument> {
    if (this.#parts.open.get(id) === null) return this.#afterEnd(id, call);
    return await this.accept(id, call, async (transaction) => {
      return await transaction.inTurn(async () => {
        if (!this.#isOpen(transaction)) return this.#afterEnd(id, call);
        this.#requireState(transaction, call);
        await work(transaction);
        if (!this.#isOpen(transaction)) return this.#parts.open.document(id);
        return this.renewed(transaction);
      });
    });
  }

  /** Serves a call with an answer of its own. */
  async read<T>(
    id: TransactionId,
    call: Call,
    work: (transaction: OpenTransaction) => Promise<T>,
  ): Promise<T> {
    return await this.accept(id, call, (transaction) => this.turn(transaction, call, work));
  }

  /** Runs work of an accepted call in its turn. */
  async turn<T>(
    transaction: OpenTransaction,
    call: Call,
    work: (transaction: OpenTransaction) => Promise<T>,
  ): Promise<T> {
    return await transaction.inTurn(async () => {
      if (!this.#isOpen(transaction)) throw this.#ended(transaction.id, call);
      this.#requireState(transaction, call);
      return await work(transaction);
    });
  }

  /** Accepts a call, which holds the lease until it is answered. */
  async accept<T>(
    id: TransactionId,
    call: Call,
    work: (transaction: OpenTransaction) => Promise<T>,
  ): Promise<T> {
    const transaction = this.#parts.open.get(id);
    if (transaction === null) throw this.#ended(id, call);
    if (this.#hasLapsed(transaction)) {
      this.expire(id);
      throw this.#ended(id, call);
    }
    this.hold(transaction);
    try {
      return await work(transaction);
    } catch (error) {
      throw error instanceof LayerdError ? error.with({ transaction_id: id }) : error;
    } finally {
      this.letGo(transaction);
    }
  }

  /** Stops the lease while a call is served. */
  hold(transaction: OpenTransaction): void {
    transaction.callsServed++;
    this.#parts.leases.drop(transaction.id);
  }

  /** The call is answered: the lease starts anew when it was the last one. */
  letGo(transaction: OpenTransaction): void {
    transaction.callsServed--;
    if (transaction.callsServed > 0 || !this.#isOpen(transaction)) return;
    if (transaction.state !== "active") return;
    this.#renew(transaction);
    this.#parts.leases.set(transaction.id, transaction.leaseDeadlineMs);
  }

  /** Rolls back a transaction whose lease has lapsed. */
  expire(id: TransactionId): void {
    const transaction = this.#parts.open.get(id);
    if (transaction === null || !this.#hasLapsed(transaction)) return;
    const detail = `The lease of ${transaction.leaseMs} ms ended without a call`;
    this.#parts.steps.rollBack(transaction, { code: "lease_expired", detail });
  }

  /** The transaction with its lease started anew, for an answer. */
  renewed(transaction: OpenTransaction): TransactionDocument {
    this.#renew(transaction);
    return transaction.document();
  }

  #hasLapsed(transaction: OpenTransaction): boolean {
    return transaction.callsServed === 0 && transaction.state === "active" &&
      this.#parts.clock.monotonic() >= transaction.leaseDeadlineMs;
  }

  #renew(transaction: OpenTransaction): void {
    if (transaction.state !== "active") return;
    const { clock } = this.#parts;
    transaction.updatedAtMs = clock.now();
    transaction.leaseExpiresAtMs = clock.now() + transaction.leaseMs;
    transaction.leaseDeadlineMs = clock.monotonic() + transaction.leaseMs;
  }

  #isOpen(transaction: OpenTransaction): boolean {
    return this.#parts.open.get(transaction.id) === transaction;
  }

  #requireState(transaction: OpenTransaction, call: Call): void {
    const allowed: readonly TransactionState[] = CALLS[call];
    if (!allowed.includes(transaction.state)) throw refusal(transaction.document(), call);
  }

  /** A repeat in the same end state is answered with the transaction. */
  #afterEnd(id: TransactionId, call: Call): TransactionDocument {
    const document = this.#parts.open.document(id);
    if (document.state === END_OF[call]) return document;
    throw refusal(document, call);
  }

  #ended(id: TransactionId, call: Call): LayerdError {
    return refusal(this.#parts.open.document(id), call);
  }
}

/** Why a call cannot be served in the transaction's state. */
function refusal(document: TransactionDocument, call: Call): LayerdError {
  const details = { transaction_id: document.id, transaction: document };
  if (document.state === "rolled_back" && document.problem?.code === "lease_expired") {
    return new LayerdError(
      "lease_expired",
      `Transaction ${document.id} was rolled back: its lease ended`,
      details,
    );
  }
  return new LayerdError(
    "invalid_transition",
    `Transaction ${document.id} is ${document.state}, so ${call} is not possible`,
    { ...details, from: document.state, event: call },
  );
}
