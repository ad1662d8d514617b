/**
 * Makes the SDK a package that Node loads: one JavaScript module without dependencies, type
 * declarations and its package.json. Nothing of it is committed; `tests/client/node_test.ts`
 * builds it anew.
 *
 *   scripts/build-client DIRECTORY
 */
// deno-lint-ignore-file no-console -- a script: its output is for a person
import * as esbuild from "esbuild";
import { dirname, join } from "@std/path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import config from "../deno.json" with { type: "json" };

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** The first Node that knows `Symbol.asyncDispose` by itself. */
export const NODE_MIN = "20.4.0";

const ENTRY = join(ROOT, "src/client/layerd.ts");

/** Writes `layerd.js`, `types/` and `package.json` into a directory, which it makes. */
export async function buildClient(directory: string): Promise<void> {
  await esbuild.build({
    entryPoints: [ENTRY],
    outfile: join(directory, "layerd.js"),
    bundle: true,
    format: "esm",
    platform: "node",
    target: `node${NODE_MIN}`,
    sourcemap: "linked",
    logLevel: "error",
  });
  declareTypes(join(directory, "types"));
  const manifest = {
    name: config.name,
    version: config.version,
    license: config.license,
    type: "module",
    exports: { "./client": { types: "./types/client/layerd.d.ts", default: "./layerd.js" } },
    engines: { node: `>=${NODE_MIN}` },
  };
  await Deno.writeTextFile(
    join(directory, "package.json"),
    JSON.stringify(manifest, null, 2) + "\n",
  );
}

/** One declaration file for each module that the entry reaches. The sources are checked elsewhere. */
function declareTypes(directory: string): void {
  const program = ts.createProgram([ENTRY], {
    declaration: true,
    emitDeclarationOnly: true,
    allowImportingTsExtensions: true,
    strict: true,
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ESNext,
    types: [],
    rootDir: join(ROOT, "src"),
    outDir: directory,
  });
  program.emit(undefined, (file, text) => {
    Deno.mkdirSync(dirname(file), { recursive: true });
    Deno.writeTextFileSync(file, text.replaceAll(/(from "\.[^"]*)\.ts"/g, '$1.js"'));
  });
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
