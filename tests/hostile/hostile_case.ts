/** One hostile request and the refusal that the contract gives it. */
import type { ErrorCode } from "../../src/core/errors.ts";

export interface HostileCase {
  readonly name: string;
  readonly method: string;
  /** `{id}` stands for the open transaction, `{done}` for a rolled back one. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is. */
  readonly raw?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  readonly code: ErrorCode;
}

/** The layer that exists in the served repository, with the files `f` and `d/g`. */
export const LAYER = "base";
/** The name of the served repository. */
export const REPOSITORY = "r1";

/** `POST /v1/transactions` with a body. */
export function begin(
  name: string,
  body: unknown,
  code: ErrorCode = "invalid_request",
): HostileCase {
  return { name: `begin: ${name}`, method: "POST", path: "/v1/transactions", body, code };
}

/** `POST /v1/transactions` with exactly these bytes. */
export function beginRaw(
  name: string,
  raw: string | Uint8Array,
  code: ErrorCode = "invalid_request",
  headers: Readonly<Record<string, string>> = {},
): HostileCase {
  return { name: `begin: ${name}`, method: "POST", path: "/v1/transactions", raw, headers, code };
}

/** Stages one operation in the open transaction. */
export function stage(
  name: string,
  operation: unknown,
  code: ErrorCode = "invalid_request",
): HostileCase {
  const path = "/v1/transactions/{id}/operations";
  return { name: `stage: ${name}`, method: "POST", path, body: { operations: [operation] }, code };
}

/** Any request without a body. */
export function call(method: string, path: string, code: ErrorCode): HostileCase {
  return { name: `${method} ${path.slice(0, 100)}`, method, path, code };
}
