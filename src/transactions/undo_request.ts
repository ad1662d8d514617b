/** The transaction that undoes another one, as a begin request. */
import { LayerdError } from "../core/errors.ts";
import { LEASE_MS_DEFAULT, PREPARE_TIMEOUT_MS_DEFAULT } from "../core/limits.ts";
import type { TransactionDocument } from "../core/transaction_document.ts";
import type { BeginRequest, UndoRequest } from "./manager.ts";

/** Label of an undoing transaction; its value is the id of the undone one. */
const UNDOES = "undoes";

/** Throws `invalid_transition` unless the transaction is committed. */
export function undoingRequest(undone: TransactionDocument, request: UndoRequest): BeginRequest {
  const { id, state, message, tenant_id } = undone;
  if (state !== "committed") {
    throw new LayerdError(
      "invalid_transition",
      `Transaction ${id} is ${state}; only a committed one can be undone`,
      { transaction_id: id, transaction: undone, from: state, event: "undo" },
    );
  }
  const [subject = ""] = message.trimStart().split("\n");
  return {
    message: request.message ?? `Undo "${subject}"\n\nThis undoes transaction ${id}.`,
    author: request.author,
    isolation: "locking",
    locks: [],
    lockTimeoutMs: request.lockTimeoutMs,
    leaseMs: LEASE_MS_DEFAULT,
    prepareTimeoutMs: PREPARE_TIMEOUT_MS_DEFAULT,
    operationType: null,
    tenantId: tenant_id,
    labels: { [UNDOES]: id },
    operations: [],
    commit: true,
    idempotency: request.idempotency,
  };
}
