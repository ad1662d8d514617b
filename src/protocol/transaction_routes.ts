/** Routes of transactions. */
import type { ErrorCode } from "../core/errors.ts";
import * as answers from "./responses.ts";
import type { Answer, Route } from "./route.ts";
import * as transactions from "./transactions.ts";

const ON_TRANSACTION: readonly ErrorCode[] = [
  "transaction_not_found",
  "invalid_transition",
  "lease_expired",
];

const STAGING: readonly ErrorCode[] = [
  "repository_not_found",
  "layer_not_found",
  "file_not_found",
  "write_conflict",
  "layer_exists",
  "name_conflict",
  "merge_conflict",
  "deadlock",
  "ref_checked_out",
  "invalid_content",
  "lock_timeout",
  "payload_too_large",
  "git_error",
  "repository_quarantined",
  "no_space",
];

const DECIDING: readonly ErrorCode[] = [
  "write_conflict",
  "name_conflict",
  "deadlock",
  "ref_checked_out",
  "transaction_aborted",
  "lock_timeout",
  "repository_locked",
  "git_error",
  "io_error",
  "repository_quarantined",
  "no_space",
];

const T: Answer = { json: answers.transactionAnswer };

export const TRANSACTION_ROUTES = {
  beginTransaction: {
    method: "POST",
    path: "/v1/transactions",
    summary: "Begin a transaction; with `commit` begin, stage and commit in one call",
    body: transactions.beginBody,
    idempotent: true,
    answers: { 200: T, 201: T, 202: T },
    problems: [
      ...STAGING,
      ...DECIDING,
      "lease_expired",
      "idempotency_in_progress",
      "idempotency_key_reused",
      "too_many_transactions",
      "draining",
    ],
  },
  listTransactions: {
    method: "GET",
    path: "/v1/transactions",
    summary: "Transactions, newest first, finished ones included",
    query: transactions.transactionsQuery,
    answers: { 200: { json: answers.transactionsAnswer } },
    problems: [],
  },
  getTransaction: {
    method: "GET",
    path: "/v1/transactions/{id}",
    summary: "One transaction; with `wait_for` once it is in that state or a terminal one",
    query: transactions.transactionQuery,
    answers: { 200: T },
    problems: ["transaction_not_found", "timeout"],
  },
  stageOperations: {
    method: "POST",
    path: "/v1/transactions/{id}/operations",
    summary: "Stage operations: all of them or none",
    body: transactions.stageBody,
    answers: { 200: T },
    problems: [...ON_TRANSACTION, ...STAGING],
  },
  uploadBlob: {
    method: "PUT",
    path: "/v1/transactions/{id}/blobs",
    summary: "Upload content that is too large for JSON, for `put_file` with `oid`",
    body: "bytes",
    answers: { 201: { json: answers.blobAnswer } },
    problems: [...ON_TRANSACTION, "payload_too_large", "timeout", "io_error", "no_space"],
  },
  prepareTransaction: {
    method: "POST",
    path: "/v1/transactions/{id}/prepare",
    summary: "Promise that a commit will succeed, also after a restart",
    body: transactions.emptyBody,
    answers: { 200: T },
    problems: [...ON_TRANSACTION, ...DECIDING, "layer_not_found"],
  },
  commitTransaction: {
    method: "POST",
    path: "/v1/transactions/{id}/commit",
    summary: "Commit; 202 where it is decided and publication lags",
    body: transactions.emptyBody,
    answers: { 200: T, 202: T },
    problems: [...ON_TRANSACTION, ...DECIDING, "layer_not_found"],
  },
  rollbackTransaction: {
    method: "POST",
    path: "/v1/transactions/{id}/rollback",
    summary: "Roll back",
    body: transactions.emptyBody,
    answers: { 200: T },
    problems: [...ON_TRANSACTION, "io_error", "no_space"],
  },
  undoTransaction: {
    method: "POST",
    path: "/v1/transactions/{id}/undo",
    summary: "Restore, in a new committed transaction, what a committed one changed",
    body: transactions.undoBody,
    idempotent: true,
    answers: { 200: T, 202: T },
    problems: [
      "transaction_not_found",
      "invalid_transition",
      ...STAGING,
      ...DECIDING,
      "idempotency_in_progress",
      "idempotency_key_reused",
      "too_many_transactions",
      "draining",
    ],
  },
  renewLease: {
    method: "POST",
    path: "/v1/transactions/{id}/heartbeat",
    summary: "Renew the lease",
    body: transactions.heartbeatBody,
    answers: { 200: T },
    problems: ON_TRANSACTION,
  },
  setSavepoint: {
    method: "POST",
    path: "/v1/transactions/{id}/savepoints",
    summary: "Set a savepoint",
    body: transactions.savepointBody,
    answers: { 201: T },
    problems: [...ON_TRANSACTION, "name_conflict"],
  },
  rollbackToSavepoint: {
    method: "POST",
    path: "/v1/transactions/{id}/savepoints/{name}/rollback",
    summary: "Drop the operations after a savepoint; locks stay",
    body: transactions.emptyBody,
    answers: { 200: T },
    problems: [...ON_TRANSACTION, "savepoint_not_found"],
  },
  diffTransaction: {
    method: "GET",
    path: "/v1/transactions/{id}/diff",
    summary: "What a transaction changes or changed",
    answers: { 200: { json: answers.diffAnswer } },
    problems: ["transaction_not_found", "lease_expired", "git_error"],
  },
  checkTransaction: {
    method: "GET",
    path: "/v1/transactions/{id}/health",
    summary: "Whether what a transaction published is still there and readable",
    answers: { 200: { json: answers.transactionHealthAnswer } },
    problems: ["transaction_not_found"],
  },
} as const satisfies Record<string, Route>;
