/** One call that fails with EIO, each call of a commit in its turn. */
import { assertEquals } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { layerRef, parseLayerName } from "../../src/core/ids.ts";
import { create, put } from "./model.ts";
import { BEGIN, freshImage, Stage } from "./stage.ts";

const REPOSITORIES = ["app", "web"];

async function stageOf(): Promise<Stage> {
  const stage = new Stage(await freshImage("journaled", REPOSITORIES), { seed: 1 });
  await stage.machine.boot();
  for (const name of REPOSITORIES) await stage.register(name);
  await stage.commit(...REPOSITORIES.map((name) => create(name, "base")));
  return stage;
}

/** The layer in each repository. */
function tips(stage: Stage): (string | null)[] {
  const ref = layerRef(parseLayerName("base"));
  return stage.machine.engine.catalog.all().map(({ refs }) => refs.read(ref));
}

async function outcomeOf(stage: Stage, text: string): Promise<string> {
  const operations = REPOSITORIES.map((name) => put(name, "base", "f", text).operation);
  const begun = stage.machine.engine.manager.begin({ ...BEGIN, operations, commit: true });
  return await stage.wait(begun.then(({ state }) => state, (error) => {
    if (error instanceof LayerdError) return error.code;
    throw error;
  }));
}

for (
  const [which, isFailing] of [
    ["a call", (call: number, first: number) => call === first],
    ["each call from one on", (call: number, first: number) => call >= first],
  ] as const
) {
  Deno.test(`${which} that fails in a repository ends no daemon, and no commit by halves`, async () => {
    const outcomes = new Set<string>();
    for (let first = 1, failed = "one"; failed !== ""; first += 1) {
      failed = "";
      const stage = await stageOf();
      const { machine } = stage;
      const before = tips(stage);
      let calls = 0;
      machine.fail(({ name, path }) => {
        if (path.startsWith("/state/")) return null;
        calls += 1;
        if (!isFailing(calls, first)) return null;
        if (failed === "") failed = `${name} ${path}, call ${calls}`;
        return "EIO";
      });
      machine.onFatal = (error) => {
        throw new Error(`${failed} ended the daemon`, { cause: error });
      };
      const outcome = await outcomeOf(stage, "1");
      outcomes.add(outcome);
      machine.fail(() => null);
      await machine.clock.run(60_000);
      const moved = tips(stage).filter((tip, index) => tip !== before[index]);
      assertEquals(moved.length, outcome === "io_error" ? 0 : REPOSITORIES.length, failed);
      assertEquals(await outcomeOf(stage, "2"), "committed", failed);
      await machine.stop();
    }
    assertEquals(outcomes, new Set(["io_error", "committing", "committed"]));
  });
}
