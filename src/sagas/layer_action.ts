/**
 * Steps that are transactions of this daemon. The step's input is what a one-shot commit
 * takes (`message`, `author`, `operations`, ...), its output the transaction and the commits
 * that it made; its compensation is `undo` of that transaction.
 *
 * A step whose outcome is unknown is compensated by asking for it again under its key, which
 * answers with what it did, or does it now, and then undoing that. So nothing that it did is
 * missed, and what can no longer be done is not there to be undone.
 */
import { LayerdError } from "../core/errors.ts";
import type { TransactionDocument } from "../core/transaction_document.ts";
import type { Json } from "../core/structured_value.ts";
import { SAGA_STEP_ROUTE, SAGA_UNDO_ROUTE } from "../core/idempotency_life.ts";
import { actionKey } from "../core/saga_definition.ts";
import { parseTransactionId } from "../core/ids.ts";
import type { BeginRequest, IdempotencyKey, TransactionManager } from "../transactions/manager.ts";
import { type CallOutcome, type StepAction, type StepCall, unknownOutcome } from "./step_action.ts";

const LOCK_TIMEOUT_MS_MAX = 3_600_000;

export interface LayerActionParts {
  readonly manager: () => Pick<TransactionManager, "begin" | "undo">;
  /** Decodes a step's input as a one-shot begin; throws `invalid_request`. */
  readonly decodeBegin: (
    input: Json,
    idempotency: IdempotencyKey,
  ) => BeginRequest;
}

export function layerAction(parts: LayerActionParts): StepAction {
  return async (call) => {
    try {
      if (call.what === "action") {
        return { kind: "done", output: outputOf(await commit(parts, call)) };
      }
      return await undo(parts, call);
    } catch (error) {
      if (!(error instanceof LayerdError)) throw error;
      return outcomeOf(error);
    }
  };
}

function commit(
  parts: LayerActionParts,
  { body, timeoutMs }: StepCall,
): Promise<TransactionDocument> {
  const request = parts.decodeBegin(body.input, keyOf(SAGA_STEP_ROUTE, body.idempotency_key));
  return parts.manager().begin({
    ...request,
    tenantId: body.tenant_id,
    lockTimeoutMs: Math.min(request.lockTimeoutMs, timeoutMs, LOCK_TIMEOUT_MS_MAX),
    labels: { ...request.labels, saga_id: body.saga_id, step_id: body.step_id },
    commit: true,
  });
}

async function undo(parts: LayerActionParts, call: StepCall): Promise<CallOutcome> {
  const done = transactionIn(call.body.output ?? null) ?? await repeated(parts, call);
  if (done === null) return { kind: "done", output: null };
  const undone = await parts.manager().undo(parseTransactionId(done), {
    message: null,
    author: null,
    lockTimeoutMs: Math.min(call.timeoutMs, LOCK_TIMEOUT_MS_MAX),
    idempotency: keyOf(SAGA_UNDO_ROUTE, call.body.idempotency_key),
  });
  return { kind: "done", output: outputOf(undone) };
}

/** The transaction of a step whose outcome is unknown, or null where it did nothing. */
async function repeated(parts: LayerActionParts, call: StepCall): Promise<string | null> {
  const key = actionKey(call.body.idempotency_key);
  try {
    return (await commit(parts, { ...call, body: { ...call.body, idempotency_key: key } })).id;
  } catch (error) {
    if (error instanceof LayerdError && outcomeOf(error).kind === "refused") return null;
    throw error;
  }
}

/** What the daemon refuses for good is a refusal; what a repeat can change is unknown. */
function outcomeOf(error: LayerdError): CallOutcome {
  const text = `${error.code}: ${error.message}`;
  return error.retryable || error.status >= 500
    ? unknownOutcome(text)
    : { kind: "refused", error: text };
}

function outputOf({ id, state, results }: TransactionDocument): Json {
  return {
    transaction_id: id,
    state,
    results: results.map((result) => ({ ...result })),
  };
}

function transactionIn(output: Json): string | null {
  if (typeof output !== "object" || output === null || Array.isArray(output)) return null;
  const id = "transaction_id" in output ? output.transaction_id : undefined;
  return typeof id === "string" ? id : null;
}

/** The key says it all: a step sends the same input under the same key, always. */
function keyOf(route: string, key: string): IdempotencyKey {
  return { route, key, requestHash: "" };
}
