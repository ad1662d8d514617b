/** Requests on transactions. */
import { z } from "zod";
import { parseLayerName, parseRefName, parseTransactionId } from "../core/ids.ts";
import {
  AUTHOR_FIELD_BYTES_MAX,
  LABEL_BYTES_MAX,
  LABELS_MAX,
  LEASE_MS_DEFAULT,
  LEASE_MS_MAX,
  LEASE_MS_MIN,
  LOCK_TIMEOUT_MS_DEFAULT,
  LOCK_TIMEOUT_MS_MAX,
  LOCKS_PER_TRANSACTION_MAX,
  MESSAGE_BYTES_MAX,
  PREPARE_TIMEOUT_MS_DEFAULT,
  PREPARE_TIMEOUT_MS_MAX,
  WAIT_TIMEOUT_MS_DEFAULT,
  WAIT_TIMEOUT_MS_MAX,
} from "../core/limits.ts";
import { TRANSACTION_STATES } from "../core/transaction_document.ts";
import { cursorOf } from "./cursor.ts";
import {
  layerName,
  milliseconds,
  operationType,
  parsedString,
  repositoryName,
  savepointName,
  textOfBytes,
} from "./names.ts";
import { operationList } from "./operations.ts";
import { consistency, durationEstimateMs } from "./plans.ts";
import { pageLimit, queryInteger } from "./query.ts";

const message = textOfBytes(MESSAGE_BYTES_MAX)
  .refine((text) => !text.includes("\0"), "Message must not contain NUL");

// Git would take any of these for the end of the name, of the address or of the line.
const authorText = textOfBytes(AUTHOR_FIELD_BYTES_MAX)
  .refine((text) => !/[\p{Cc}<>]/u.test(text), "Author must not have control characters, < or >");

const author = z.strictObject({
  name: authorText.refine((text) => text.trim() !== "", "Author name must not be empty"),
  email: authorText,
});

const labels = z.record(textOfBytes(LABEL_BYTES_MAX).min(1), textOfBytes(LABEL_BYTES_MAX))
  .refine((value) => Object.keys(value).length <= LABELS_MAX, {
    error: `Labels must be at most ${LABELS_MAX}`,
    params: { limit: LABELS_MAX },
  });

/** A tenant's name, opaque to the daemon. */
export const tenantId = textOfBytes(LABEL_BYTES_MAX).min(1)
  .refine((text) => !text.includes("\0"), "Tenant must not contain NUL");

const leaseMs = milliseconds(LEASE_MS_MIN, LEASE_MS_MAX);

const lock = z.strictObject({
  repository: repositoryName,
  layer: layerName,
  mode: z.enum(["shared", "exclusive"]),
});

/** `POST /v1/transactions` */
export const beginBody = z.strictObject({
  message: message.nullable().default(null),
  author: author.nullable().default(null),
  isolation: z.enum(["locking", "optimistic"]).default("locking"),
  locks: z.array(lock).max(LOCKS_PER_TRANSACTION_MAX).default([]),
  lock_timeout_ms: milliseconds(0, LOCK_TIMEOUT_MS_MAX).default(LOCK_TIMEOUT_MS_DEFAULT),
  lease_ms: leaseMs.default(LEASE_MS_DEFAULT),
  prepare_timeout_ms: z.exactOptional(
    milliseconds(1, PREPARE_TIMEOUT_MS_MAX).meta({
      description: `${PREPARE_TIMEOUT_MS_DEFAULT} where it is not given; with the pattern ` +
        "`auto` twice the estimate",
    }),
  ),
  tenant_id: tenantId.nullable().default(null),
  operation_type: operationType.nullable().default(null),
  labels: labels.default({}),
  pattern: z.enum(["two_phase_commit", "auto"]).default("two_phase_commit"),
  consistency: z.exactOptional(consistency),
  duration_estimate_ms: z.exactOptional(durationEstimateMs),
  operations: operationList.default([]),
  commit: z.boolean().default(false).meta({
    description: "Stage, commit and answer in this one call; nothing is left open",
  }),
}).superRefine((body, context) => {
  for (const field of ["consistency", "duration_estimate_ms"] as const) {
    const isGiven = body[field] !== undefined;
    if (isGiven === (body.pattern === "auto")) continue;
    const message = isGiven
      ? `Field ${field} goes with the pattern "auto"`
      : `The pattern "auto" needs ${field}`;
    context.addIssue({ code: "custom", message, path: [field] });
  }
}).meta({ id: "BeginTransaction" });

/** `POST /v1/transactions/{id}/operations` */
export const stageBody = z.strictObject({ operations: operationList })
  .meta({ id: "StageOperations" });

/** `POST /v1/transactions/{id}/heartbeat` */
export const heartbeatBody = z.strictObject({ lease_ms: z.exactOptional(leaseMs) })
  .meta({ id: "Heartbeat" });

/** `POST /v1/transactions/{id}/savepoints` */
export const savepointBody = z.strictObject({ name: savepointName })
  .meta({ id: "SetSavepoint" });

/** `POST /v1/transactions/{id}/undo` */
export const undoBody = z.strictObject({
  message: message.nullable().default(null),
  author: author.nullable().default(null),
  lock_timeout_ms: milliseconds(0, LOCK_TIMEOUT_MS_MAX).default(LOCK_TIMEOUT_MS_DEFAULT),
}).meta({ id: "UndoTransaction" });

/** Calls whose body has nothing to say. */
export const emptyBody = z.strictObject({}).meta({ id: "Nothing" });

const state = z.enum(TRANSACTION_STATES);

/** `GET /v1/transactions/{id}` */
export const transactionQuery = z.strictObject({
  wait_for: z.exactOptional(z.enum([...TRANSACTION_STATES, "terminal"])),
  timeout_ms: z.exactOptional(
    queryInteger(0, WAIT_TIMEOUT_MS_MAX).meta({
      description: `With \`wait_for\`; ${WAIT_TIMEOUT_MS_DEFAULT} where it is not given`,
    }),
  ),
}).refine((query) => query.wait_for !== undefined || query.timeout_ms === undefined, {
  error: "Parameter timeout_ms goes with wait_for",
  path: ["timeout_ms"],
});

/** `GET /v1/transactions` */
export const transactionsQuery = z.strictObject({
  state: z.exactOptional(state),
  repository: z.exactOptional(repositoryName),
  layer: z.exactOptional(parsedString<string>(
    (text) => text.startsWith("refs/") ? parseRefName(text) : parseLayerName(text),
    { description: "A layer, or a full ref" },
  )),
  tenant_id: z.exactOptional(tenantId),
  limit: pageLimit,
  cursor: z.exactOptional(cursorOf("transactions", parseTransactionId)),
});

/** A request without parameters. */
export const noQuery = z.strictObject({});
