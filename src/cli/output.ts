/** Data goes to standard output, everything meant for a person to standard error. */
import type { CliHost } from "./host.ts";
import {
  ConnectionLost,
  DaemonUnreachable,
  LayerdProblem,
  type ProblemDocument,
} from "../client/client.ts";
import { EXIT, exitCodeOf, UsageError } from "./exit_codes.ts";

export class Output {
  readonly #host: CliHost;
  readonly #json: boolean;
  readonly #red: (text: string) => string;
  readonly #encoder = new TextEncoder();

  constructor(host: CliHost, format: "json" | "text") {
    this.#host = host;
    this.#json = format === "json";
    const colour = wantsColour(host, host.stderrIsTerminal);
    this.#red = (text) => colour ? `\x1b[1;31m${text}\x1b[0m` : text;
  }

  /** The command's answer: as one JSON document with `--json`, else as lines of text. */
  answer(json: unknown, lines: readonly string[]): void {
    this.#print(this.#json ? [JSON.stringify(json, null, 2)] : lines);
  }

  /** One item of a stream: a JSON document a line with `--json`. */
  item(json: unknown, line: string): void {
    this.#print([this.#json ? JSON.stringify(json) : line]);
  }

  bytes(bytes: Uint8Array): void {
    this.#host.stdout(bytes);
  }

  /** Progress, and what to do next. */
  note(text: string): void {
    this.#host.stderr(this.#encoder.encode(`${text}\n`));
  }

  /** Why the command failed: a problem document with `--json`, the daemon's where it is one. */
  failure(error: unknown): void {
    if (this.#json) return this.note(JSON.stringify(problemOf(error), null, 2));
    const [first = "", ...rest] = describe(error, this.#host.env("LAYERD_TRANSACTION"));
    this.note(this.#red(first));
    for (const line of rest) this.note(line);
  }

  #print(lines: readonly string[]): void {
    if (lines.length > 0) this.#host.stdout(this.#encoder.encode(lines.join("\n") + "\n"));
  }
}

/** `1 file`, `2 files`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** Colour only on a terminal; NO_COLOR and FORCE_COLOR decide against and for it (no-color.org). */
export function wantsColour(host: CliHost, isTerminal: boolean): boolean {
  if ((host.env("NO_COLOR") ?? "") !== "") return false;
  const forced = host.env("FORCE_COLOR") ?? "";
  return forced === "" ? isTerminal : forced !== "0";
}

/**
 * The daemon's problem, or one of the same form (RFC 9457) for what went wrong before it was
 * asked: with a code where the daemon would say the same, else of the type `about:blank`.
 */
function problemOf(error: unknown): object {
  if (error instanceof LayerdProblem) return error.problem;
  const detail = error instanceof Error ? error.message : String(error);
  const known = { detail, retryable: false, exit_code: exitCodeOf(error) };
  if (error instanceof UsageError) {
    const [type, title] = ["urn:layerd:error:invalid_request", "Wrong usage of the command"];
    return { type, title, status: 400, code: "invalid_request", ...known };
  }
  if (exitCodeOf(error) === EXIT.permission) {
    const [type, title] = ["urn:layerd:error:permission_denied", "Permission denied"];
    return { type, title, status: 403, code: "permission_denied", ...known };
  }
  const lost = error instanceof DaemonUnreachable || error instanceof ConnectionLost;
  const title = lost ? "The daemon does not answer" : "The command did not succeed";
  return { type: "about:blank", title, ...known };
}

function describe(error: unknown, current: string | undefined): string[] {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof LayerdProblem)) return [`layerd: ${message}`];
  const { problem } = error;
  const lines = [`layerd: ${problem.code}: ${message}`];
  for (const conflict of problem.conflicts ?? []) {
    if (conflict.path !== undefined) {
      const { repository, layer, ref, path, key, reason } = conflict;
      const where = key === undefined || key === "" ? path : `${path} at ${key}`;
      const why = reason === undefined ? "" : ` (${reason})`;
      lines.push(`  ${repository} ${layer ?? ref}: ${where}${why}`);
      continue;
    }
    lines.push(
      `  ${conflict.repository} ${conflict.ref}: expected ${conflict.expected ?? "nothing"}, ` +
        `found ${conflict.actual ?? "nothing"}`,
    );
  }
  for (const holder of problem.holders ?? []) {
    lines.push(`  held ${holder.mode} by ${holder.transaction_id} since ${holder.since}`);
  }
  const next = wasRolledBack(problem)
    ? AFTER_ROLLBACK
    : problem.code === "invalid_transition" && problem.transaction_id === current
    ? STILL_NAMED
    : NEXT_STEPS[problem.code];
  if (next !== undefined) lines.push(`  ${next}`);
  return lines;
}

/** A refusal that leaves a transaction open ends one-shot ones and begins all the same. */
function wasRolledBack({ code, transaction }: ProblemDocument): boolean {
  return LEAVES_OPEN.has(code) && typeof transaction === "object" && transaction !== null &&
    "state" in transaction && transaction.state === "rolled_back";
}

const LEAVES_OPEN: ReadonlySet<string> = new Set(["lock_timeout", "repository_locked", "no_space"]);
const STILL_NAMED = "LAYERD_TRANSACTION still names it: `unset LAYERD_TRANSACTION`";
const AFTER_ROLLBACK = "Nothing is left open: run it again";

/** What a person does about a refusal, where that is always the same. */
const NEXT_STEPS: Partial<Record<string, string>> = {
  write_conflict: "The transaction is rolled back: begin again, look at the new state, repeat",
  deadlock: "The transaction is rolled back: run it again",
  lease_expired: "The transaction is rolled back: begin again (--lease-ms gives it more time)",
  lock_timeout: "The transaction is still open: try again, or `layerd rollback`",
  repository_locked: "The transaction is still open: try again when the other git process is done",
  no_space: "The transaction is still open: make space and try again",
  repository_not_found: "`layerd repo list` names the repositories",
  layer_not_found: "`layerd layer list` names the layers, `layerd layer create` stages a new one",
};
