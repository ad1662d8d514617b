/** Files in `layerd/tmp` that cannot be removed when a commit is taken back. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { create, put } from "./model.ts";
import type { SystemCall } from "./simulated_file_system.ts";
import { freshImage, Stage } from "./stage.ts";

function isAside({ path }: SystemCall): boolean {
  return path.includes("/layerd/tmp/ref.");
}

async function stageOf(repositories: readonly string[]): Promise<Stage> {
  const stage = new Stage(await freshImage("journaled", repositories), { seed: 1 });
  stage.machine.onFatal = (error) => {
    throw error;
  };
  await stage.machine.boot();
  for (const name of repositories) await stage.register(name);
  await stage.commit(...repositories.map((name) => create(name, "base")));
  return stage;
}

async function findingsOf(stage: Stage): Promise<string[]> {
  const { catalog } = stage.machine.engine;
  const all = await stage.wait(
    Promise.all(catalog.all().map((repository) => catalog.findings(repository))),
  );
  return all.flat().map(({ code, detail }) => `${code} ${detail}`);
}

/** The unlinks work again: what is left goes by itself, and commits go on. */
async function assertMends(stage: Stage, path: string): Promise<void> {
  const [finding, ...more] = await findingsOf(stage);
  assertStringIncludes(finding ?? "", `own_leftover ${path}`);
  assertEquals(more, []);
  stage.machine.fail(() => null);
  await stage.machine.clock.run(30_000);
  assertEquals(await findingsOf(stage), []);
  assertEquals(stage.machine.fileSystem.lstatIfAny(path), null);
  await stage.commit(put("app", "base", "f", "after"));
  await stage.machine.stop();
}

Deno.test("a staged publication that cannot be removed changes no refusal and ends no daemon", async () => {
  const stage = await stageOf(["app", "web"]);
  let staged = "";
  stage.machine.fail((call) => {
    if (!isAside(call)) return null;
    if (call.path.startsWith("/web/")) return "ENOSPC";
    staged = call.path;
    return call.name === "unlink" ? "EIO" : null;
  });
  await stage.refused("no_space", put("app", "base", "f", "1"), put("web", "base", "f", "1"));
  for (const name of ["/app/packed-refs.lock", "/app/refs/layers/base.lock"]) {
    assertEquals(stage.machine.fileSystem.lstatIfAny(name), null, name);
  }
  await assertMends(stage, staged);
});

Deno.test("a file that can be neither written nor removed refuses for the first reason", async () => {
  const stage = await stageOf(["app"]);
  let written = "";
  stage.machine.fail((call) => {
    if (!isAside(call)) return null;
    written = call.path;
    if (call.name === "unlink") return "EIO";
    return call.name === "write" ? "ENOSPC" : null;
  });
  await stage.refused("no_space", put("app", "base", "f", "1"));
  await assertMends(stage, written);
});
