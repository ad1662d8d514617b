/**
 * The one error class of layerd. Every refusal that a client can see has a code
 * of the closed union below; its HTTP status and whether a repeat can succeed
 * follow from the code. Outcomes that are expected inside (a vote of no, a wait)
 * are return values, not errors; a broken invariant goes through {@link invariant}.
 */

/** Status and retryability of every problem code of the wire contract (API section 2). */
const CODES = {
  invalid_request: [400, false],
  permission_denied: [403, false],
  not_found: [404, false],
  repository_not_found: [404, false],
  layer_not_found: [404, false],
  file_not_found: [404, false],
  transaction_not_found: [404, false],
  savepoint_not_found: [404, false],
  stack_not_found: [404, false],
  participant_not_found: [404, false],
  saga_not_found: [404, false],
  replica_not_found: [404, false],
  method_not_allowed: [405, false],
  write_conflict: [409, true],
  invalid_transition: [409, false],
  layer_exists: [409, false],
  name_conflict: [409, false],
  merge_conflict: [409, false],
  deadlock: [409, true],
  lease_expired: [409, false],
  ref_checked_out: [409, false],
  transaction_aborted: [409, true],
  repository_exists: [409, false],
  repository_busy: [409, true],
  repository_owned: [409, false],
  idempotency_in_progress: [409, true],
  cursor_expired: [410, false],
  payload_too_large: [413, false],
  unsupported_media_type: [415, false],
  idempotency_key_reused: [422, false],
  unsupported_repository: [422, false],
  invalid_content: [422, false],
  lock_timeout: [423, true],
  repository_locked: [423, true],
  too_many_transactions: [429, true],
  too_many_subscribers: [429, true],
  internal: [500, false],
  git_error: [500, false],
  io_error: [500, false],
  draining: [503, true],
  recovering: [503, true],
  repository_quarantined: [503, false],
  timeout: [504, true],
  no_space: [507, true],
} as const satisfies Record<string, readonly [status: number, retryable: boolean]>;

/** A problem code of the wire contract. */
export type ErrorCode = keyof typeof CODES;

/** All problem codes, for schemas and tables. */
export const ERROR_CODES: readonly ErrorCode[] = Object.keys(CODES) as ErrorCode[];

/**
 * One ref that was not where the transaction expected it; with `path` one file of it, whose
 * values are then blob ids, and with `key` one key of that file. In a merge `expected` is
 * what the layer has and `actual` what was to be merged into it.
 */
export interface RefConflict {
  readonly repository: string;
  readonly ref: string;
  /** The layer's name, or null for a ref outside `refs/layers/`. */
  readonly layer: string | null;
  readonly expected: string | null;
  readonly actual: string | null;
  readonly path?: string;
  /** Of a structured file, in the form that `explain` prints. */
  readonly key?: string;
  /** Of a merge: why both sides cannot be had (`content`, `deleted`, `binary`, ...). */
  readonly reason?: string;
}

/** Who holds a lock that a request ran into. */
export interface LockHolder {
  readonly transaction_id: string;
  readonly mode: "shared" | "exclusive";
  /** RFC 3339, milliseconds. */
  readonly since: string;
}

/** Extra members of a problem document; each only where it applies. */
export interface ErrorDetails {
  readonly transaction_id?: string;
  /** The transaction as it is after a refusal (wire form). */
  readonly transaction?: unknown;
  readonly conflicts?: readonly RefConflict[];
  readonly holders?: readonly LockHolder[];
  readonly from?: string;
  readonly event?: string;
  readonly field?: string;
  readonly limit?: number;
  readonly reason?: string;
  readonly participants?: readonly { readonly name: string; readonly reason: string }[];
  readonly retry_after_ms?: number;
}

/** An error with a code of the wire contract. */
export class LayerdError extends Error {
  override readonly name = "LayerdError";
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.details = details;
  }

  /** HTTP status that the wire contract gives this code. */
  get status(): number {
    return CODES[this.code][0];
  }

  /** Whether the same request can succeed when it is repeated. */
  get retryable(): boolean {
    return CODES[this.code][1];
  }

  /** The same error with further details; the receiver is unchanged. */
  with(details: ErrorDetails): LayerdError {
    return new LayerdError(
      this.code,
      this.message,
      { ...this.details, ...details },
      this.cause ?? undefined,
    );
  }
}

/**
 * Stops the program on a broken invariant: such a failure is a bug of ours, never a
 * client's mistake, and going on could damage committed work.
 */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`BUG: ${message}`);
}

/** Message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
