/** Problem documents (RFC 9457), as section 2 of the wire contract has them. */
import { z } from "zod";
import {
  ERROR_CODES,
  type ErrorCode,
  type ErrorDetails,
  type LayerdError,
} from "../core/errors.ts";

/** Media type of a problem document. */
export const PROBLEM_MEDIA_TYPE = "application/problem+json";

export interface ProblemDocument extends ErrorDetails {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly request_id: string;
}

/** The document of an error that a request ended in. */
export function problemDocument(error: LayerdError, requestId: string): ProblemDocument {
  return {
    type: `urn:layerd:error:${error.code}`,
    title: titleOf(error.code),
    status: error.status,
    detail: error.message,
    code: error.code,
    retryable: error.retryable,
    request_id: requestId,
    ...error.details,
  };
}

/** `write_conflict` as `Write conflict`. */
function titleOf(code: ErrorCode): string {
  const words = code.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export const refConflict = z.object({
  repository: z.string(),
  ref: z.string(),
  layer: z.string().nullable(),
  expected: z.string().nullable(),
  actual: z.string().nullable(),
  path: z.exactOptional(
    z.string().meta({
      description: "One file; expected and actual are then blob ids",
    }),
  ),
  key: z.exactOptional(z.string().meta({ description: "One key of a structured file" })),
  reason: z.exactOptional(
    z.string().meta({
      description: "Of a merge: content, deleted, binary, type, mode, name, comments, too_large",
    }),
  ),
});

const reasonOfParticipant = z.object({ name: z.string(), reason: z.string() });

/** Schema of {@link ProblemDocument}, for the OpenAPI document. */
export const problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: z.enum(ERROR_CODES),
  retryable: z.boolean(),
  request_id: z.string(),
  transaction_id: z.exactOptional(z.string()),
  transaction: z.exactOptional(
    z.unknown().meta({
      description: "The transaction as it is after the refusal",
    }),
  ),
  conflicts: z.exactOptional(z.array(refConflict)),
  holders: z.exactOptional(z.array(z.object({
    transaction_id: z.string(),
    mode: z.enum(["shared", "exclusive"]),
    since: z.string(),
  }))),
  from: z.exactOptional(z.string()),
  event: z.exactOptional(z.string()),
  field: z.exactOptional(z.string()),
  limit: z.exactOptional(z.int()),
  reason: z.exactOptional(z.string()),
  participants: z.exactOptional(z.array(reasonOfParticipant)),
  retry_after_ms: z.exactOptional(z.int()),
}).meta({ id: "Problem" });
