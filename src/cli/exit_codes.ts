/** Exit codes of the command (API section 7), and which error ends in which. */
import { ConnectionLost, DaemonUnreachable, LayerdProblem } from "../client/problem.ts";

export const EXIT = {
  done: 0,
  /** The answer is no: a conflict, rolled back, not running, not there. */
  no: 1,
  usage: 64,
  unreachable: 69,
  internal: 70,
  tryAgain: 75,
  permission: 77,
} as const;

export type ExitCode = typeof EXIT[keyof typeof EXIT];

/** The command was given wrongly; the message says how to give it. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The command ran and its answer is no; the message is for a person. */
export class AnsweredNo extends Error {
  override readonly name = "AnsweredNo";
}

/** The user may not do this here; the message says what is in the way. */
export class NotPermitted extends Error {
  override readonly name = "NotPermitted";
}

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof UsageError) return EXIT.usage;
  if (error instanceof NotPermitted) return EXIT.permission;
  if (error instanceof AnsweredNo) return EXIT.no;
  if (error instanceof DaemonUnreachable) {
    return error.permissionDenied ? EXIT.permission : EXIT.unreachable;
  }
  if (error instanceof ConnectionLost) return EXIT.unreachable;
  if (error instanceof LayerdProblem) return exitCodeOfProblem(error);
  return EXIT.internal;
}

function exitCodeOfProblem(problem: LayerdProblem): ExitCode {
  switch (problem.code) {
    case "invalid_request":
    case "unsupported_media_type":
    case "payload_too_large":
      return EXIT.usage;
    case "permission_denied":
      return EXIT.permission;
    case "internal":
    case "git_error":
    case "io_error":
      return EXIT.internal;
    // Both can be repeated, but only after a new look at what is there: the answer was no.
    case "write_conflict":
    case "transaction_aborted":
      return EXIT.no;
    default:
      return problem.retryable ? EXIT.tryAgain : EXIT.no;
  }
}
