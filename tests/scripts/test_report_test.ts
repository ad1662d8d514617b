import { assertEquals } from "@std/assert";
import { countTests } from "../../scripts/test_report.ts";

function report(attributes: string, cases = ""): string {
  return `<?xml version="1.0"?>\n<testsuites name="deno test" ${attributes} time="0.1">${cases}</testsuites>`;
}

Deno.test("countTests() counts passed and failed, and leaves skipped out", () => {
  const text = report('tests="5" failures="1" errors="0"', "<testcase><skipped/></testcase>");
  assertEquals(countTests(text, 1), { passed: 3, failed: 1 });
  assertEquals(countTests(report('tests="5" failures="0" errors="0"'), 0), {
    passed: 5,
    failed: 0,
  });
});

Deno.test("countTests() counts one failure where the run failed and the report names none", () => {
  assertEquals(countTests(report('tests="5" failures="0" errors="0"'), 1), {
    passed: 5,
    failed: 1,
  });
  assertEquals(countTests("", 1), { passed: 0, failed: 1 });
});
