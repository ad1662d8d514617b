/** Commands of the README, to be run word for word. */
import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The shell blocks between a heading and the next one. */
export async function blocksUnder(heading: string): Promise<string[]> {
  const readme = await Deno.readTextFile(`${ROOT}README.md`);
  const [, section] = new RegExp(`^## ${heading}$(.*?)^## `, "ms").exec(readme) ?? [];
  assert(section !== undefined, `The README has no section "${heading}"`);
  return [...section.matchAll(/^( *)```sh$\n(.*?)^ *```$/gms)].map(([, indent = "", block = ""]) =>
    block.replaceAll(new RegExp(`^${indent}`, "gm"), "")
  );
}

/** Runs the blocks in one shell, and ends what they left; answers what each wrote. */
export async function runBlocks(
  blocks: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<string[]> {
  // Between the blocks a marker, so that each block's output can be looked at alone.
  const script = [
    "set -euo pipefail",
    // By the tour's own socket: at its end it has forgotten where that was.
    // The path is whole because some blocks go elsewhere.
    `stop() { ${ROOT}scripts/layerd stop --socket "$PLAY/layerd.sock" >/dev/null 2>&1 || true; ` +
    'kill $(jobs -p) 2>/dev/null || true; rm -rf "$PLAY"; }',
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
      ...environment,
    },
  }).output();
  const decoder = new TextDecoder();
  assertEquals(code, 0, decoder.decode(stdout) + decoder.decode(stderr));
  return decoder.decode(stdout).split("----\n");
}
