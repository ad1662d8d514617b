/** Programs as steps: what they may do to the daemon that runs them. */
import { assert, assertEquals } from "@std/assert";
import { commandAction } from "../../src/sagas/command_action.ts";
import type { CallOutcome } from "../../src/sagas/step_action.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";

async function run(script: string, timeoutMs: number): Promise<CallOutcome> {
  const program = await Deno.makeTempFile({ prefix: "layerd-test-" });
  try {
    await Deno.writeTextFile(program, `#!/bin/sh\n${script}\n`);
    await Deno.chmod(program, 0o755);
    const body = {
      saga_id: "s",
      step_id: "a",
      tenant_id: null,
      attempt: 1,
      idempotency_key: "s-a",
      fencing_token: 1,
      input: "x".repeat(100_000),
    };
    const service = { kind: "command", program } as const;
    const call = { service, what: "action", action: "go", timeoutMs, body } as const;
    return await commandAction(new DenoClock())(call, new AbortController().signal);
  } finally {
    await Deno.remove(program);
  }
}

Deno.test("commandAction() does not wait for a child that holds the pipe of an ended program", async () => {
  const since = performance.now();
  const outcome = await run("sleep 5 & exit 0", 200);
  assertEquals(outcome, { kind: "unknown", error: "No end in 200 ms", timedOut: true });
  assert(performance.now() - since < 4_000);
});

const CASES: readonly (readonly [what: string, script: string, error: RegExp])[] = [
  ["never ends", "exec sleep 5", /No end in 200 ms/],
  ["writes without end", "exec cat /dev/zero", /No end in 200 ms/],
  [
    "nests without end",
    "head -c 100000 /dev/zero | tr '\\0' '['; head -c 100000 /dev/zero | tr '\\0' ']'",
    /nested deeper/,
  ],
  ["writes no JSON", "echo hello", /not JSON/],
  ["kills itself", "kill -9 $$", /SIGKILL/],
];

for (const [what, script, error] of CASES) {
  Deno.test(`commandAction() knows nothing of the outcome of a program that ${what}`, async () => {
    const outcome = await run(script, what === "nests without end" ? 5_000 : 200);
    assertEquals(outcome.kind, "unknown");
    assert(outcome.kind === "unknown" && error.test(outcome.error), JSON.stringify(outcome));
  });
}
