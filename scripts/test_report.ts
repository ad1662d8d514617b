/** Reads the counts from the report that `deno test --junit-path` writes. */

export interface Counts {
  readonly passed: number;
  readonly failed: number;
}

/**
 * Counts of a whole run. `exitCode` is that of `deno test`: where it failed and the report
 * names no failure (a file that does not load, a leak after the last test), one is counted.
 */
export function countTests(report: string, exitCode: number): Counts {
  const suites = /<testsuites\b[^>]*>/.exec(report)?.[0] ?? "";
  const attribute = (name: string) =>
    Number(new RegExp(`\\b${name}="(\\d+)"`).exec(suites)?.[1] ?? 0);
  const skipped = report.match(/<skipped\b/g)?.length ?? 0;
  const failed = attribute("failures") + attribute("errors");
  const passed = attribute("tests") - failed - skipped;
  return { passed, failed: exitCode !== 0 && failed === 0 ? 1 : failed };
}
