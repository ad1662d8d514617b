/**
 * Staging of work at participants. Statements of one participant run in the order in which
 * they were staged; a service is called with one payload, so one operation a service.
 */
import { LayerdError } from "../core/errors.ts";
import { type Branch, branchKey } from "../core/branch.ts";
import type { LogId } from "../core/ids.ts";
import { PAYLOAD_BYTES_MAX, STATEMENTS_PER_TRANSACTION_MAX } from "../core/limits.ts";
import type { ExternalOperation, SqlStatement } from "../core/operations.ts";
import { statementRefusal } from "../core/sql_text.ts";
import type { ParticipantWork } from "../participants/participant.ts";
import type { OpenTransaction } from "./open_transaction.ts";
import type { StagingContext } from "./staging_checks.ts";
import type { BranchWork } from "./two_phase_coordinator.ts";

/** Checks one operation and stages it. */
export function stageCall(context: StagingContext, operation: ExternalOperation): void {
  const { changes } = context;
  const kind = operation.op === "sql" ? "postgres" : "http";
  const participant = context.participant(operation.participant);
  if (participant.kind !== kind) {
    throw invalid(
      "participant",
      `Participant ${participant.name} is ${participant.kind}, so ${operation.op} is not for it`,
    );
  }
  if (operation.op === "sql") {
    for (const { text } of operation.statements) {
      const refusal = statementRefusal(text);
      if (refusal !== null) throw invalid("statements", `A statement ${refusal}`);
    }
    const staged = changes.calls.flatMap((call) => call.op === "sql" ? call.statements : []);
    if (staged.length + operation.statements.length > STATEMENTS_PER_TRANSACTION_MAX) {
      throw invalid("statements", `At most ${STATEMENTS_PER_TRANSACTION_MAX} statements`);
    }
  } else {
    if (changes.calls.some((call) => call.participant === operation.participant)) {
      throw invalid(
        "participant",
        `Participant ${participant.name} is called once a transaction: put all of it into one ` +
          "payload",
      );
    }
    const calls = [...changes.calls, operation];
    const payloads = calls.map((call) => call.op === "http" ? JSON.stringify(call.payload) : "");
    if (new TextEncoder().encode(payloads.join("")).length > PAYLOAD_BYTES_MAX) {
      throw invalid("payload", `Payloads have at most ${PAYLOAD_BYTES_MAX} bytes together`);
    }
  }
  changes.call(operation);
}

/** The branches of a transaction's next attempt. */
export function branchWorkOf(transaction: OpenTransaction, logId: LogId): BranchWork[] {
  const { header, changes } = transaction;
  const attempt = ++transaction.attempts;
  const context = {
    transactionId: header.id,
    tenantId: header.tenantId,
    operationType: header.operationType,
    fencingToken: header.fencingToken,
  };
  const byName = Map.groupBy(changes.calls, (call) => call.participant);
  return [...byName].map(([participant, calls]) => {
    const work = workOf(calls);
    const branch: Branch = {
      participant,
      kind: work.kind,
      key: branchKey(logId, header.id, participant, attempt),
      context,
      payload: work.kind === "http" ? work.payload : null,
    };
    return { branch, work };
  });
}

function workOf(calls: readonly ExternalOperation[]): ParticipantWork {
  const statements: SqlStatement[] = [];
  for (const call of calls) {
    if (call.op === "http") return { kind: "http", payload: call.payload };
    statements.push(...call.statements);
  }
  return { kind: "postgres", statements };
}

function invalid(field: string, message: string): LayerdError {
  return new LayerdError("invalid_request", message, { field });
}
