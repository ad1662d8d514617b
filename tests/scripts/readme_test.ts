/** The README's tour, word for word: every command in it runs, and ends as the text says. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fileURLToPath } from "node:url";

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
    // By the tour's own socket: at its end it has forgotten where that was.
    'stop() { scripts/layerd stop --socket "$PLAY/layerd.sock" >/dev/null 2>&1 || true; rm -rf "$PLAY"; }',
    "trap stop EXIT",
    ...blocks.flatMap((block) => [block, "echo ----"]),
  ].join("\n");
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-c", script],
    cwd: ROOT,
    stdin: "null",
    // As on a fresh machine: git knows nobody.
    env: {
      GIT_CONFIG_GLOBAL: "/dev/null",
      GIT_CONFIG_NOSYSTEM: "1",
      LAYERD_REPOSITORY: "",
      LAYERD_TRANSACTION: "",
    },
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

Deno.test("every row of the README's compatibility table names a test that is there", async () => {
  const readme = await Deno.readTextFile(`${ROOT}README.md`);
  const table = readme.slice(readme.indexOf("shape by shape"), readme.indexOf("**System**"));
  const named = [...table.matchAll(/\| `([^`]+)` +\|$/gm)].map((match) => match[1] ?? "");
  assert(named.length >= 25, `only ${named.length} rows name a test`);
  let tests = "";
  for await (const { name } of Deno.readDir(`${ROOT}tests/interop`)) {
    tests += await Deno.readTextFile(`${ROOT}tests/interop/${name}`);
  }
  for (const name of named) {
    if (name.endsWith(".ts")) await Deno.stat(`${ROOT}${name}`);
    // An ellipsis stands for the cases of one test.
    else for (const part of name.split("…")) assert(tests.includes(part), name);
  }
});
