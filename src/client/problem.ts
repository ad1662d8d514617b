/** What a call can end in, besides its answer. */
import type { ErrorCode, ErrorDetails } from "../core/errors.ts";

/** Every code that a problem can have, as a union. */
export type ProblemCode = ErrorCode;

/** Whether an error is a problem of one of these codes; narrows `code` to them. */
export function isProblem<const C extends ProblemCode>(
  error: unknown,
  ...codes: readonly C[]
): error is LayerdProblem & { readonly code: C } {
  return error instanceof LayerdProblem && codes.some((code) => code === error.code);
}

/** A problem document (RFC 9457) as the daemon answers it. */
export interface ProblemDocument extends ErrorDetails {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly request_id: string;
}

/** The daemon refused a request. `problem` is the whole document. */
export class LayerdProblem extends Error {
  override readonly name = "LayerdProblem";
  readonly problem: ProblemDocument;

  constructor(problem: ProblemDocument) {
    super(problem.detail);
    this.problem = problem;
  }

  get code(): ErrorCode {
    return this.problem.code;
  }

  get status(): number {
    return this.problem.status;
  }

  /** Whether the same request can succeed when it is repeated. */
  get retryable(): boolean {
    return this.problem.retryable;
  }
}

/** Nobody answers at the socket: no such file, a dead socket, or no permission to enter. */
export class DaemonUnreachable extends Error {
  override readonly name = "DaemonUnreachable";
  readonly socketPath: string;
  /** Whether the daemon may be there and this user may not talk to it. */
  readonly permissionDenied: boolean;

  constructor(socketPath: string, permissionDenied: boolean, cause: unknown) {
    super(
      permissionDenied
        ? `The socket ${socketPath} belongs to another user`
        : `No daemon answers at ${socketPath}; \`layerd start\` starts one`,
      { cause },
    );
    this.socketPath = socketPath;
    this.permissionDenied = permissionDenied;
  }
}

/**
 * The connection ended before the answer was complete. What the daemon did is not known:
 * ask it by id or repeat with the same idempotency key.
 */
export class ConnectionLost extends Error {
  override readonly name = "ConnectionLost";
}
