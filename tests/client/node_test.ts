/** The SDK's own test file under Node: the package is built, then run as a user would load it. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import * as esbuild from "esbuild";
import { fileURLToPath } from "node:url";
import { buildClient, NODE_MIN } from "../../scripts/build_client.ts";
import ts from "typescript";
import { SdkStage } from "./sdk_stage.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const NODE_MS_MAX = 120_000;

/** The test file as Node reads it; it imports the package, not the client's sources. */
async function bundleTest(outfile: string): Promise<void> {
  await esbuild.build({
    entryPoints: [`${ROOT}tests/client/sdk_test.ts`],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    target: `node${NODE_MIN}`,
    logLevel: "error",
    plugins: [{
      name: "the-built-package",
      setup: (build) => {
        build.onResolve({ filter: /src\/client\/layerd\.ts$/ }, () => ({
          path: "@layerd/layerd/client",
          external: true,
        }));
      },
    }],
  });
}

// The processes belong to Node; esbuild keeps one of its own until stop().
Deno.test("the SDK's test passes under Node 20 with the built package", async () => {
  const directory = await Deno.makeTempDir({ prefix: "layerd-node-" });
  try {
    await buildClient(`${directory}/node_modules/@layerd/layerd`);
    await bundleTest(`${directory}/sdk_test.mjs`);
    await esbuild.stop();
    const { code, stdout, stderr } = await new Deno.Command("node", {
      args: ["--test", "--test-reporter=tap", `${directory}/sdk_test.mjs`],
      cwd: ROOT,
      signal: AbortSignal.timeout(NODE_MS_MAX),
    }).output();
    const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    assertEquals(code, 0, said);
    const declared = (await Deno.readTextFile(`${ROOT}tests/client/sdk_test.ts`))
      .match(/^(sdkTest|test)\(/gm)?.length ?? 0;
    assert(declared >= 10, "the test file declares fewer tests than it did");
    assert(said.includes(`# pass ${declared}`) && said.includes("# fail 0"), said);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("the built package's types know a transaction's state, for who compiles for Node", async () => {
  const directory = await Deno.makeTempDir({ prefix: "layerd-types-" });
  const complaintsOf = async (text: string) => {
    const path = `${directory}/use.mts`;
    await Deno.writeTextFile(path, text);
    const program = ts.createProgram([path], {
      strict: true,
      noEmit: true,
      module: ts.ModuleKind.NodeNext,
      target: ts.ScriptTarget.ESNext,
      types: [],
    });
    return ts.getPreEmitDiagnostics(program)
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, " "));
  };
  const use = `import { Layerd } from "@layerd/layerd/client";
    const layerd = new Layerd({ socketPath: "/run/layerd.sock" });
    const tx = await layerd.begin({ message: "m" });
    const done = await tx.commit();
    const id: string = done.id;\n`;
  try {
    await buildClient(`${directory}/node_modules/@layerd/layerd`);
    await esbuild.stop();
    assertEquals(await complaintsOf(use), []);
    const [twice, ...others] = await complaintsOf(`${use} await done.commit();`);
    assert(twice !== undefined && others.length === 0, "a second commit compiles");
    assertStringIncludes(twice, "commit");
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("the README's TypeScript compiles and runs", async () => {
  const readme = await Deno.readTextFile(`${ROOT}README.md`);
  const [, example] = /^```ts$\n(.*?)^```$/ms.exec(readme) ?? [];
  assert(example !== undefined, "the README has no TypeScript");
  const stage = new SdkStage();
  // Within the project, so that its configuration and the package's own name hold.
  await Deno.mkdir(`${ROOT}.tmp`, { recursive: true });
  const directory = await Deno.makeTempDir({ dir: `${ROOT}.tmp` });
  try {
    await stage.start();
    const path = `${directory}/example.ts`;
    await Deno.writeTextFile(path, `import process from "node:process";\n${example}`);
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--check", "-A", path],
      cwd: ROOT,
      env: { LAYERD_SOCKET: stage.socket },
      signal: AbortSignal.timeout(NODE_MS_MAX),
    }).output();
    const decoder = new TextDecoder();
    assertEquals(
      [code, decoder.decode(stdout)],
      [0, "committed\nname_conflict\n"],
      decoder.decode(stderr),
    );
  } finally {
    await stage.close();
    await Deno.remove(directory, { recursive: true });
  }
});
