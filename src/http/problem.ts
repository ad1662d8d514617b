/** Any error to its problem document; the one place where a request's failure is answered. */
import { getLogger } from "@logtape/logtape";
import { LayerdError } from "../core/errors.ts";
import { PROBLEM_MEDIA_TYPE, problemDocument } from "../protocol/problem.ts";
import { FileSystemError } from "../system/file_system.ts";

const logger = getLogger(["layerd", "http"]);

/** Out of space or of quota: the same to whoever has to mend it. */
const NO_SPACE: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT"]);

/** The error as the wire contract can say it. What nobody foresaw becomes `internal`. */
export function toLayerdError(error: unknown, requestId: string): LayerdError {
  if (error instanceof LayerdError) return error;
  if (error instanceof FileSystemError) {
    const code = NO_SPACE.has(error.code) ? "no_space" : "io_error";
    return new LayerdError(code, error.message, {}, error);
  }
  const detail = `An error that nobody foresaw; the daemon's log has it under ${requestId}`;
  return new LayerdError("internal", detail, {}, error);
}

/** Answers an error, and logs those that are not the client's doing. */
export function problemResponse(error: unknown, request: Request, requestId: string): Response {
  const known = toLayerdError(error, requestId);
  if (known.status === 500 || known.code === "no_space") {
    logger.error("{method} {url} ended in {code} ({requestId}): {error}", {
      method: request.method,
      url: request.url,
      code: known.code,
      requestId,
      error: known.cause ?? known,
    });
  }
  const headers = new Headers({ "content-type": PROBLEM_MEDIA_TYPE, "x-request-id": requestId });
  const retryAfterMs = known.details.retry_after_ms;
  if (retryAfterMs !== undefined) {
    headers.set("retry-after", String(Math.ceil(retryAfterMs / 1_000)));
  }
  return new Response(JSON.stringify(problemDocument(known, requestId)), {
    status: known.status,
    headers,
  });
}
