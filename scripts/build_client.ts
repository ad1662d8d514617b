/**
 * Makes the SDK a package that Node loads: one JavaScript module without dependencies, and
 * its package.json. Nothing of it is committed; `tests/client/node_test.ts` builds it anew.
 *
 *   scripts/build-client DIRECTORY
 */
// deno-lint-ignore-file no-console -- a script: its output is for a person
import * as esbuild from "esbuild";
import { dirname, join } from "@std/path";
import { fileURLToPath } from "node:url";
import config from "../deno.json" with { type: "json" };

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** The first Node that knows `Symbol.asyncDispose` by itself. */
export const NODE_MIN = "20.4.0";

/** Writes `layerd.js` and `package.json` into a directory, which it makes. */
export async function buildClient(directory: string): Promise<void> {
  await esbuild.build({
    entryPoints: [join(ROOT, "src/client/layerd.ts")],
    outfile: join(directory, "layerd.js"),
    bundle: true,
    format: "esm",
    platform: "node",
    target: `node${NODE_MIN}`,
    sourcemap: "linked",
    logLevel: "error",
  });
  const manifest = {
    name: config.name,
    version: config.version,
    license: config.license,
    type: "module",
    exports: { "./client": "./layerd.js" },
    engines: { node: `>=${NODE_MIN}` },
  };
  await Deno.writeTextFile(
    join(directory, "package.json"),
    JSON.stringify(manifest, null, 2) + "\n",
  );
}

if (import.meta.main) {
  const [directory] = Deno.args;
  if (directory === undefined) {
    console.error("build_client: name the directory to write to");
    Deno.exit(64);
  }
  await buildClient(directory);
  await esbuild.stop();
  console.log(`${directory}/layerd.js`);
}
