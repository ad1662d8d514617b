import { assertEquals } from "@std/assert";
import { type ErrorCode, LayerdError } from "../../src/core/errors.ts";
import { ConnectionLost, DaemonUnreachable, LayerdProblem } from "../../src/client/client.ts";
import { AnsweredNo, exitCodeOf, UsageError } from "../../src/cli/exit_codes.ts";

function problem(code: ErrorCode): LayerdProblem {
  const { status, retryable } = new LayerdError(code, "");
  return new LayerdProblem({
    type: `urn:layerd:error:${code}`,
    title: code,
    status,
    detail: "said so",
    code,
    retryable,
    request_id: "r",
  });
}

const CODES: readonly (readonly [ErrorCode, number])[] = [
  ["write_conflict", 1],
  ["transaction_aborted", 1],
  ["invalid_transition", 1],
  ["lease_expired", 1],
  ["layer_not_found", 1],
  ["transaction_not_found", 1],
  ["repository_quarantined", 1],
  ["invalid_request", 64],
  ["payload_too_large", 64],
  ["internal", 70],
  ["io_error", 70],
  ["git_error", 70],
  ["lock_timeout", 75],
  ["deadlock", 75],
  ["repository_locked", 75],
  ["draining", 75],
  ["timeout", 75],
  ["no_space", 75],
  ["permission_denied", 77],
];

for (const [code, exit] of CODES) {
  Deno.test(`exitCodeOf() answers ${exit} for ${code}`, () => {
    assertEquals(exitCodeOf(problem(code)), exit);
  });
}

Deno.test("exitCodeOf() tells errors of the command itself apart", () => {
  assertEquals(exitCodeOf(new UsageError("")), 64);
  assertEquals(exitCodeOf(new AnsweredNo("")), 1);
  assertEquals(exitCodeOf(new DaemonUnreachable("/s", false, null)), 69);
  assertEquals(exitCodeOf(new DaemonUnreachable("/s", true, null)), 77);
  assertEquals(exitCodeOf(new ConnectionLost("")), 69);
  assertEquals(exitCodeOf(new Error("a bug")), 70);
});
