/** Requests and answers of sagas. */
import { z } from "zod";
import { LayerdError } from "../core/errors.ts";
import { parseSagaId, quote } from "../core/ids.ts";
import {
  SAGA_BACKOFF_MS_DEFAULT,
  SAGA_BACKOFF_MS_MAX_DEFAULT,
  SAGA_DOCUMENT_BYTES_MAX,
  SAGA_REASON_LENGTH_MAX,
  SAGA_RETRIES_MAX,
  SAGA_SERVICES_MAX,
  SAGA_STEP_TIMEOUT_MS_MAX,
  SAGA_STEPS_MAX,
  WAIT_TIMEOUT_MS_DEFAULT,
  WAIT_TIMEOUT_MS_MAX,
} from "../core/limits.ts";
import type { SagaDefinition, VersionedDefinition } from "../core/saga_definition.ts";
import type { CompensationDocument, SagaDocument } from "../core/saga_document.ts";
import { SAGA_EVENT_TYPES, type SagaEventDocument } from "../core/saga_event.ts";
import { SAGA_STATES, SAGA_STEP_STATES } from "../core/saga.ts";
import type { Json } from "../core/structured_value.ts";
import { cursorOf } from "./cursor.ts";
import { milliseconds, parsedString } from "./names.ts";
import { pageLimit, queryInteger } from "./query.ts";
import type { Same } from "./same.ts";
import { tenantId } from "./transactions.ts";

const encoder = new TextEncoder();
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** Name of a definition, a replica, a service or a step: one segment of a path. */
export function parseSagaName(text: string): string {
  if (NAME.test(text)) return text;
  throw new LayerdError(
    "invalid_request",
    `Name ${quote(text)} must be 1 to 100 characters of A-Z a-z 0-9 . _ - and start with a ` +
      "letter or digit",
  );
}

const name = parsedString(parseSagaName, { description: "A name", pattern: NAME.source });

const action = z.string().regex(
  /^[A-Za-z0-9][A-Za-z0-9._-]*(\/[A-Za-z0-9._-]+)*$/,
  "Action must be a relative path of A-Z a-z 0-9 . _ - and /",
).max(200).refine((text) => !text.split("/").includes(".."), "Action must not have a .. part");

function parseBaseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  const isHttp = url?.protocol === "http:" || url?.protocol === "https:";
  const isBare = url?.search === "" && url.hash === "" && url.username + url.password === "";
  if (isHttp && isBare) return text;
  throw new LayerdError(
    "invalid_request",
    "Base URL must be http or https, without query, fragment, user and password",
  );
}

const service = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("http"),
    base_url: parsedString(parseBaseUrl, { description: "Absolute URL", format: "uri" }),
  }),
  z.strictObject({ kind: z.literal("layer") }),
  z.strictObject({
    kind: z.literal("command"),
    program: z.string().startsWith("/", "Program must be an absolute path").max(4_096),
  }),
]);

const json: z.ZodType<Json> = z.json();

const bounded = (schema: z.ZodType<Json>) =>
  schema.refine(
    (value) => encoder.encode(JSON.stringify(value)).length <= SAGA_DOCUMENT_BYTES_MAX,
    {
      error: `Value must be at most ${SAGA_DOCUMENT_BYTES_MAX} bytes of JSON`,
      params: { limit: SAGA_DOCUMENT_BYTES_MAX },
    },
  );

const backoff = milliseconds(1, SAGA_STEP_TIMEOUT_MS_MAX);

const step = z.strictObject({
  step_id: name,
  service_name: name,
  action,
  compensation_action: action.nullable().default(null),
  kind: z.enum(["compensatable", "pivot", "retriable"]).default("compensatable"),
  timeout_ms: milliseconds(1, SAGA_STEP_TIMEOUT_MS_MAX).default(30_000),
  retry_count: z.int().min(0).max(SAGA_RETRIES_MAX).default(3).meta({
    description: "Calls after the first",
  }),
  backoff_ms: backoff.default(SAGA_BACKOFF_MS_DEFAULT),
  backoff_max_ms: backoff.default(SAGA_BACKOFF_MS_MAX_DEFAULT),
  idempotency_key: z.string().regex(/^[\x21-\x7e]+$/, "Key must be visible ASCII").max(150)
    .default("{saga_id}-{step_id}"),
  input: json.default({}).meta({
    description: 'JSON; `{"$": "<JSONata>"}` in it is replaced by the value of the expression ' +
      "over `{saga_id, tenant_id, input, steps: {<step_id>: <output>}}`",
  }),
});

/** `PUT /v1/saga-definitions/{name}`: D of the wire contract. */
export const definitionBody = z.strictObject({
  services: z.record(name, service)
    .refine((all) => Object.keys(all).length <= SAGA_SERVICES_MAX, {
      error: `Services must be at most ${SAGA_SERVICES_MAX}`,
      params: { limit: SAGA_SERVICES_MAX },
    }),
  steps: z.array(step).min(1).max(SAGA_STEPS_MAX),
  deadline_ms: z.exactOptional(milliseconds(1, SAGA_STEP_TIMEOUT_MS_MAX)),
}).meta({ id: "SagaDefinition" });

definitionBody satisfies z.ZodType<SagaDefinition>;

/** `POST /v1/sagas` */
export const startBody = z.strictObject({
  definition: name,
  input: bounded(json).default({}),
  tenant_id: tenantId.nullable().default(null),
}).meta({ id: "StartSaga" });

/** `POST /v1/sagas/{id}/<verb>` */
export const verbBody = z.strictObject({
  reason: z.string().max(SAGA_REASON_LENGTH_MAX).nullable().default(null),
}).meta({ id: "SagaReason" });

/** `GET /v1/sagas/{id}` */
export const sagaQuery = z.strictObject({
  wait_for: z.exactOptional(z.literal("terminal")),
  timeout_ms: z.exactOptional(
    queryInteger(0, WAIT_TIMEOUT_MS_MAX).meta({
      description: `With \`wait_for\`; ${WAIT_TIMEOUT_MS_DEFAULT} where it is not given`,
    }),
  ),
}).refine((query) => query.wait_for !== undefined || query.timeout_ms === undefined, {
  error: "Parameter timeout_ms goes with wait_for",
  path: ["timeout_ms"],
});

const time = parsedString((text) => {
  const ms = Date.parse(text);
  if (!Number.isNaN(ms) && /^\d{4}-\d\d-\d\d/.test(text)) return new Date(ms).toISOString();
  throw new LayerdError("invalid_request", `Time ${quote(text)} is not RFC 3339`);
}, { description: "RFC 3339", format: "date-time" });

/** `GET /v1/sagas` */
export const sagasQuery = z.strictObject({
  state: z.exactOptional(z.enum(SAGA_STATES)),
  condition: z.exactOptional(z.enum(["paused", "needs_operator"])),
  definition: z.exactOptional(name),
  tenant_id: z.exactOptional(tenantId),
  created_after: z.exactOptional(time),
  created_before: z.exactOptional(time),
  limit: pageLimit,
  cursor: z.exactOptional(cursorOf("sagas", parseSagaId)),
});

const moment = z.string().meta({ format: "date-time", description: "RFC 3339, milliseconds" });

const stepDocument = z.object({
  step_id: z.string(),
  state: z.enum(SAGA_STEP_STATES),
  attempts: z.int(),
  started_at: moment.nullable(),
  finished_at: moment.nullable(),
  output: json,
  error: z.string().nullable(),
});

/** S of the wire contract. */
export const saga = z.object({
  id: z.string(),
  definition: z.string(),
  definition_version: z.int(),
  state: z.enum(SAGA_STATES),
  condition: z.enum(["paused", "needs_operator"]).nullable(),
  tenant_id: z.string().nullable(),
  input: json,
  output: json,
  current_step: z.string().nullable(),
  steps: z.array(stepDocument),
  created_at: moment,
  updated_at: moment,
  execution_time_ms: z.int(),
  problem: z.object({
    code: z.enum(["step_failed", "compensation_failed", "cancelled", "deadline_exceeded"]),
    detail: z.string(),
    step_id: z.string().nullable(),
  }).nullable(),
}).meta({ id: "Saga" });

saga satisfies z.ZodType<SagaDocument>;

export const sagaAnswer = z.object({ saga });
export const sagasAnswer = z.object({ sagas: z.array(saga), next_cursor: z.string().nullable() });

/** E of the wire contract. */
export const sagaEvent = z.object({
  saga_id: z.string(),
  sequence: z.int(),
  type: z.enum(SAGA_EVENT_TYPES),
  at: moment,
  step_id: z.string().nullable(),
  attempt: z.int().nullable(),
  data: z.record(z.string(), z.unknown()),
}).meta({ id: "SagaEvent" });

true satisfies Same<z.output<typeof sagaEvent>, SagaEventDocument>;

export const sagaEventsAnswer = z.object({ events: z.array(sagaEvent) });

const definition = definitionBody.extend({ name: z.string(), version: z.int() })
  .meta({ id: "VersionedSagaDefinition" });

definition satisfies z.ZodType<VersionedDefinition>;

export const definitionAnswer = z.object({ definition });
export const definitionsAnswer = z.object({ definitions: z.array(definition) });

const compensation = z.object({
  step_id: z.string(),
  service_name: z.string(),
  compensation_action: z.string().nullable(),
  plan: z.enum(["compensate", "keep"]),
});

true satisfies Same<z.output<typeof compensation>, CompensationDocument>;

export const compensationAnswer = z.object({ compensation: z.array(compensation) });
