/** The README's tour, word for word: every command in it runs, and ends as the text says. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fileURLToPath } from "node:url";
import { GIT_ENVIRONMENT } from "../harness/git.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The shell blocks between the tour's heading and the next one. */
async function tour(): Promise<string[]> {
  const readme = await Deno.readTextFile(`${ROOT}README.md`);
  const [, section] = /^## A five-minute tour$(.*?)^## /ms.exec(readme) ?? [];
  assert(section !== undefined, "The README has no tour");
  return [...section.matchAll(/^```sh$\n(.*?)^```$/gms)].map(([, block]) => block ?? "");
}

Deno.test("README's tour runs word for word", async () => {
  const blocks = await tour();
  assertEquals(blocks.length, 5);
  // Between the blocks a marker, so that each block's output can be looked at alone.
  const script = [
    "set -euo pipefail",
    `trap 'scripts/layerd status 2>/dev/null >&2 && scripts/layerd stop; rm -rf "$PLAY"' EXIT`,
    ...blocks.flatMap((block) => [block, "echo ----"]),
  ].join("\n");
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-c", script],
    cwd: ROOT,
    stdin: "null",
    env: { ...GIT_ENVIRONMENT, LAYERD_REPOSITORY: "", LAYERD_TRANSACTION: "" },
  }).output();
  const decoder = new TextDecoder();
  const [started, committed, conflict, shell] = decoder.decode(stdout).split("----\n");
  assertEquals(code, 0, decoder.decode(stdout) + decoder.decode(stderr));

  assertStringIncludes(started ?? "", '"status":"ok"');
  assertEquals(committed?.match(/^[0-9a-f]{40} commit\trefs\/layers\//gm)?.length, 2);
  assertStringIncludes(committed ?? "", "Layerd-Transaction: ");
  assertStringIncludes(conflict ?? "", '"code":"write_conflict"');
  assertEquals(conflict?.match(/first layers/g)?.length, 1);
  assertStringIncludes(shell ?? "", '{"timeout":60}');
  assertStringIncludes(shell ?? "", "raise the timeout");
});
