/** Idempotency keys: the header, and the hash by which a repeated body is recognised. */
import { LayerdError } from "../core/errors.ts";
import { IDEMPOTENCY_KEY_LENGTH_MAX } from "../core/limits.ts";
import type { IdempotencyKey } from "../transactions/manager.ts";

const HEADER = "Idempotency-Key";
const VISIBLE_ASCII = /^[\x21-\x7e]+$/;

/**
 * The request's key, or null where it sent none. Bodies are compared as parsed: the order
 * of members and white space make no difference.
 */
export async function idempotencyKeyOf(
  headers: Headers,
  route: string,
  body: unknown,
): Promise<IdempotencyKey | null> {
  const key = headers.get(HEADER);
  if (key === null) return null;
  if (key.length > IDEMPOTENCY_KEY_LENGTH_MAX || !VISIBLE_ASCII.test(key)) {
    throw new LayerdError(
      "invalid_request",
      `${HEADER} must be 1 to ${IDEMPOTENCY_KEY_LENGTH_MAX} visible ASCII characters`,
      { field: HEADER },
    );
  }
  return { route, key, requestHash: await hashOf(body) };
}

async function hashOf(body: unknown): Promise<string> {
  const bytes = new TextEncoder().encode(canonicalJson(body));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/** JSON with sorted members. The body's depth is limited already (protocol/json_body.ts). */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .sort(([a], [b]) => a < b ? -1 : 1)
    .map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`);
  return `{${members.join(",")}}`;
}
