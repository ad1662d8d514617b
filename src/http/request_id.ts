import { REQUEST_ID_LENGTH_MAX } from "../core/limits.ts";
import type { Clock } from "../system/clock.ts";
import type { Random } from "../system/random.ts";

const VISIBLE_ASCII = /^[\x21-\x7e]+$/;

/**
 * The caller's `X-Request-Id`, or a fresh ULID where it sent none or one that has no place
 * in a header or a log line.
 */
export function requestIdOf(
  sent: string | undefined,
  parts: { readonly clock: Clock; readonly random: Random },
): string {
  const sane = sent !== undefined && sent.length <= REQUEST_ID_LENGTH_MAX &&
    VISIBLE_ASCII.test(sent);
  return sane ? sent : parts.random.ulid(parts.clock.now());
}
