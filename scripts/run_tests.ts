/**
 * All checks, then all tests. The last line is `N passed, N failed`, where a check that
 * fails counts as one; the exit code is 0 only if something passed and nothing failed.
 */
// deno-lint-ignore-file no-console -- a script: its output is for a person
import { fileURLToPath } from "node:url";
import { countTests } from "./test_report.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

const CHECKS: readonly (readonly [name: string, ...args: string[]])[] = [
  ["format", "fmt", "--check", "--quiet"],
  ["types", "check", "--quiet", "main.ts", "src", "tests", "scripts", "examples"],
  ["lint", "lint", "--quiet"],
  ["imports", "run", "--quiet", "--allow-read", "--allow-run", "scripts/check_imports.ts"],
];

/** A test that hangs must not hang whoever waits for the run. */
const TESTS_MS_MAX = (Deno.env.get("LAYERD_SCALE") === "full" ? 180 : 25) * 60_000;

async function deno(args: readonly string[]): Promise<number> {
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: root,
    stdin: "null",
    signal: AbortSignal.timeout(TESTS_MS_MAX),
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  return code;
}

async function timed(name: string, run: () => Promise<number>): Promise<number> {
  const from = performance.now();
  console.log(`== ${name}`);
  const code = await run();
  const seconds = ((performance.now() - from) / 1000).toFixed(1);
  console.log(`== ${name}: ${code === 0 ? "ok" : "FAILED"} (${seconds} s)`);
  return code;
}

const failedChecks: string[] = [];
// A narrowed run is somebody at work on one thing: the checks of everything can wait.
const narrowed = Deno.args.length > 0;
for (const [name, ...args] of narrowed ? [] : CHECKS) {
  if (await timed(name, () => deno(args)) !== 0) failedChecks.push(name);
}

const reportPath = await Deno.makeTempFile({ prefix: "layerd-test-", suffix: ".xml" });
let counts;
try {
  const code = await timed("tests", () =>
    deno([
      "test",
      "--allow-all",
      "--no-check",
      "--frozen",
      // Most of the time tests wait for processes, so files side by side halve the run.
      "--parallel",
      `--junit-path=${reportPath}`,
      ...(narrowed ? Deno.args : ["tests"]),
    ]));
  counts = countTests(await Deno.readTextFile(reportPath), code);
} finally {
  await Deno.remove(reportPath);
}

if (failedChecks.length > 0) console.log(`Failed checks: ${failedChecks.join(", ")}`);
const failed = counts.failed + failedChecks.length;
console.log(`${counts.passed} passed, ${failed} failed`);
Deno.exit(failed === 0 && counts.passed > 0 ? 0 : 1);
