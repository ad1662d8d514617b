/** Handlers of transactions. */
import { STATUS_CODE } from "@std/http";
import type { z } from "zod";
import { LayerdError } from "../core/errors.ts";
import { parseRepositoryName } from "../core/ids.ts";
import { PREPARE_TIMEOUT_MS_DEFAULT, WAIT_TIMEOUT_MS_DEFAULT } from "../core/limits.ts";
import { selectPattern } from "../core/pattern.ts";
import type { TransactionDocument } from "../core/transaction_document.ts";
import type { LedgerFilter } from "../ledger/ledger.ts";
import { encodeCursor } from "../protocol/cursor.ts";
import { decode } from "../protocol/decode.ts";
import type { TransactionRouteId } from "../protocol/routes.ts";
import {
  beginBody,
  emptyBody,
  heartbeatBody,
  savepointBody,
  stageBody,
  transactionQuery,
  transactionsQuery,
  undoBody,
} from "../protocol/transactions.ts";
import type { BeginRequest, IdempotencyKey } from "../transactions/manager.ts";
import { readJsonBody, uploadStream } from "./body.ts";
import { whileConnected } from "./client_presence.ts";
import {
  answerJson,
  type AppContext,
  type AppParts,
  bodyOf,
  type Handler,
  queryOf,
  savepointNameOf,
  transactionIdOf,
} from "./exchange.ts";
import { idempotencyKeyOf } from "./idempotency.ts";

/** The scope of a begin's idempotency key. */
const BEGIN_ROUTE = "POST /v1/transactions";
const UNDO_ROUTE = "POST /v1/transactions/{id}/undo";

type StatusOfTransaction = 200 | 201 | 202;

export function transactionHandlers(parts: AppParts): Record<TransactionRouteId, Handler> {
  return { ...beginAndRead(parts), ...actions(parts) };
}

function beginAndRead(parts: AppParts): Pick<
  Record<TransactionRouteId, Handler>,
  | "beginTransaction"
  | "listTransactions"
  | "getTransaction"
  | "diffTransaction"
  | "checkTransaction"
> {
  return {
    beginTransaction: async (c) => {
      const request = await beginRequestOf(c, parts);
      const transaction = await whileConnected(
        c.req.raw,
        (signal) => parts.manager.begin(request, signal),
      );
      if (request.commit) requireKept(transaction);
      return answerJson(c, { transaction }, statusOfBegin(request, transaction));
    },

    listTransactions: (c) => {
      const { limit, cursor, tenant_id, ...rest } = queryOf(c, transactionsQuery);
      const filter: LedgerFilter = tenant_id === undefined
        ? rest
        : { ...rest, tenantId: tenant_id };
      // One more than asked for tells whether there is a next page.
      const found = parts.manager.list(filter, limit + 1, cursor ?? null);
      if (found.length === 0) requireKnown(parts, filter);
      const transactions = found.slice(0, limit);
      const last = transactions.at(-1);
      return answerJson(c, {
        transactions,
        next_cursor: found.length > limit && last !== undefined
          ? encodeCursor("transactions", last.id)
          : null,
      });
    },

    getTransaction: async (c) => {
      const id = transactionIdOf(c);
      const { wait_for, timeout_ms = WAIT_TIMEOUT_MS_DEFAULT } = queryOf(c, transactionQuery);
      if (wait_for === undefined) return answerJson(c, { transaction: parts.manager.get(id) });
      const transaction = await whileConnected(
        c.req.raw,
        (signal) => parts.manager.waitFor(id, wait_for, timeout_ms, signal),
      );
      return answerJson(c, { transaction });
    },

    diffTransaction: async (c) =>
      answerJson(c, { changes: await parts.manager.diff(transactionIdOf(c)) }),

    checkTransaction: async (c) => answerJson(c, await parts.manager.health(transactionIdOf(c))),
  };
}

/** A repository that is not served may have had transactions; one that never had is unknown. */
function requireKnown({ manager, catalog }: AppParts, { repository }: LedgerFilter): void {
  if (repository === undefined || manager.list({ repository }, 1, null).length > 0) return;
  catalog.get(parseRepositoryName(repository));
}

async function beginRequestOf(c: AppContext, parts: AppParts): Promise<BeginRequest> {
  const json = await readJsonBody(c.req.raw, parts.clock);
  return decodeBegin(json, await idempotencyKeyOf(c.req.raw.headers, BEGIN_ROUTE, json));
}

/** A begin as it is sent, also as the input of a saga's layer step. */
export function decodeBegin(json: unknown, idempotency: IdempotencyKey | null): BeginRequest {
  const body = decode(beginBody, json);
  const plannedMs = plannedTimeoutMs(body);
  return {
    message: body.message,
    author: body.author,
    isolation: body.isolation,
    locks: body.locks,
    lockTimeoutMs: body.lock_timeout_ms,
    leaseMs: body.lease_ms,
    prepareTimeoutMs: body.prepare_timeout_ms ?? plannedMs,
    tenantId: body.tenant_id,
    operationType: body.operation_type,
    labels: body.labels,
    operations: body.operations,
    commit: body.commit,
    idempotency,
  };
}

/**
 * How long votes may take. Where the caller lets the pattern be selected, another answer than
 * two-phase commit refuses the begin: it would be weaker than what a transaction promises.
 */
function plannedTimeoutMs(body: z.output<typeof beginBody>): number {
  const { pattern, consistency, duration_estimate_ms: durationEstimateMs } = body;
  if (pattern !== "auto" || consistency === undefined || durationEstimateMs === undefined) {
    return PREPARE_TIMEOUT_MS_DEFAULT;
  }
  const plan = selectPattern({
    operationType: body.operation_type,
    participants: [...new Set([...body.locks, ...body.operations].map(participantOf))],
    consistency,
    durationEstimateMs,
  });
  if (plan.pattern === "two_phase_commit") return plan.timeout_ms;
  const detail = `The pattern for this is ${plan.pattern}, which no transaction gives. ` +
    [plan.reason, ...plan.warnings].join(". ") + '. Or begin with "two_phase_commit"';
  throw new LayerdError("invalid_request", detail, { field: "pattern", reason: plan.pattern });
}

function participantOf(place: { repository: string } | { participant: string }): string {
  return "participant" in place ? place.participant : `git:${place.repository}`;
}

function statusOfBegin(
  request: BeginRequest,
  transaction: TransactionDocument,
): StatusOfTransaction {
  return request.commit ? statusOfCommit(transaction) : STATUS_CODE.Created;
}

/** A one-shot answers with the committed transaction or with the problem. */
function requireKept(transaction: TransactionDocument): void {
  if (transaction.state !== "failed") return;
  const { id, problem } = transaction;
  const detail = `Transaction ${id} was decided and has failed: ${problem?.detail ?? "see it"}`;
  throw new LayerdError("git_error", detail, { transaction_id: id, transaction });
}

/** 202: decided, and publication lags. */
function statusOfCommit(transaction: TransactionDocument): StatusOfTransaction {
  return transaction.state === "committing" ? STATUS_CODE.Accepted : STATUS_CODE.OK;
}

function actions(parts: AppParts): Omit<
  Record<TransactionRouteId, Handler>,
  keyof ReturnType<typeof beginAndRead>
> {
  return {
    stageOperations: async (c) => {
      const id = transactionIdOf(c);
      const { operations } = await bodyOf(c, parts, stageBody);
      const transaction = await whileConnected(
        c.req.raw,
        (signal) => parts.manager.stage(id, operations, signal),
      );
      return answerJson(c, { transaction });
    },

    uploadBlob: async (c) => {
      const blob = await parts.manager.addBlob(
        transactionIdOf(c),
        uploadStream(c.req.raw, parts.clock),
      );
      return answerJson(c, blob, STATUS_CODE.Created);
    },

    prepareTransaction: async (c) => {
      const id = transactionIdOf(c);
      await bodyOf(c, parts, emptyBody);
      return answerJson(c, { transaction: await parts.manager.prepare(id) });
    },

    commitTransaction: async (c) => {
      const id = transactionIdOf(c);
      await bodyOf(c, parts, emptyBody);
      const transaction = await parts.manager.commit(id);
      return answerJson(c, { transaction }, statusOfCommit(transaction));
    },

    rollbackTransaction: async (c) => {
      const id = transactionIdOf(c);
      await bodyOf(c, parts, emptyBody);
      return answerJson(c, { transaction: await parts.manager.rollback(id) });
    },

    undoTransaction: async (c) => {
      const id = transactionIdOf(c);
      const json = await readJsonBody(c.req.raw, parts.clock);
      const { message, author, lock_timeout_ms } = decode(undoBody, json);
      // The undone transaction is part of what a key was used for.
      const idempotency = await idempotencyKeyOf(c.req.raw.headers, UNDO_ROUTE, { id, json });
      const request = { message, author, lockTimeoutMs: lock_timeout_ms, idempotency };
      const transaction = await whileConnected(
        c.req.raw,
        (signal) => parts.manager.undo(id, request, signal),
      );
      return answerJson(c, { transaction }, statusOfCommit(transaction));
    },

    renewLease: async (c) => {
      const id = transactionIdOf(c);
      const { lease_ms } = await bodyOf(c, parts, heartbeatBody);
      return answerJson(c, { transaction: await parts.manager.heartbeat(id, lease_ms ?? null) });
    },

    setSavepoint: async (c) => {
      const id = transactionIdOf(c);
      const { name } = await bodyOf(c, parts, savepointBody);
      return answerJson(
        c,
        { transaction: await parts.manager.savepoint(id, name) },
        STATUS_CODE.Created,
      );
    },

    rollbackToSavepoint: async (c) => {
      const id = transactionIdOf(c);
      const name = savepointNameOf(c);
      await bodyOf(c, parts, emptyBody);
      return answerJson(c, { transaction: await parts.manager.rollbackTo(id, name) });
    },
  };
}
