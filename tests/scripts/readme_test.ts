/** The README's tours, word for word: every command in them runs, and ends as the text says. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The shell blocks between a heading and the next one. */
async function blocksUnder(heading: string): Promise<string[]> {
  const readme = await Deno.readTextFile(`${ROOT}README.md`);
  const [, section] = new RegExp(`^## ${heading}$(.*?)^## `, "ms").exec(readme) ?? [];
  assert(section !== undefined, `The README has no section "${heading}"`);
  return [...section.matchAll(/^```sh$\n(.*?)^```$/gms)].map(([, block]) => block ?? "");
}

/** Runs the blocks in one shell; answers what each wrote. */
async function run(blocks: readonly string[]): Promise<string[]> {
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
  assertEquals(code, 0, decoder.decode(stdout) + decoder.decode(stderr));
  return decoder.decode(stdout).split("----\n");
}

Deno.test("README's tour runs word for word", async () => {
  const blocks = await blocksUnder("A five-minute tour");
  assertEquals(blocks.length, 5);
  const [started, committed, conflict, shell] = await run(blocks);

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

Deno.test("README's path of a new user runs word for word", async () => {
  const blocks = await blocksUnder("A new user's path");
  assertEquals(blocks.length, 8);
  const [, made, view, explained, written, changed, edited, undone] = await run(blocks);

  assertEquals(made?.match(/refs\/layers\//g)?.length, 3);
  assertStringIncludes(view ?? "", "// What everybody starts from.");
  assertStringIncludes(view ?? "", '"editor.fontSize": 16,');
  assert(!view?.includes("telemetry"));
  assertStringIncludes(explained ?? "", '"editor.fontSize"\tfrom user/ann:3');
  assertStringIncludes(explained ?? "", '"telemetry.level"\tremoved by team/web:4');
  assertEquals(written, view);
  assertEquals(changed?.match(/"editor.fontSize": 18/g)?.length, 2);
  assertEquals(edited, "modified\tsettings.json\nexit code 1\n");
  assertStringIncludes(undone ?? "", '"editor.fontSize": 16');
  assertStringIncludes(undone ?? "", 'Undo "a larger font"');
});
