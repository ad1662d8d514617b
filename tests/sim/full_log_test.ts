/** A state disk without room: what finishes decisions keeps its place, and nobody waits under a lock. */
import { assert, assertEquals } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { parseTransactionId } from "../../src/core/ids.ts";
import { create, put } from "./model.ts";
import type { SystemCall } from "./simulated_file_system.ts";
import { BEGIN, freshImage, Stage } from "./stage.ts";

const REPOSITORIES = ["app", "web"];
/** More than the reserve has blocks. */
const CHECKPOINTS = 12;
const CHECKPOINT_BYTES = 1 << 30; // None by itself.

async function twoRepositories(): Promise<Stage> {
  const options = { seed: 1, checkpointBytes: CHECKPOINT_BYTES };
  const stage = new Stage(await freshImage("journaled", REPOSITORIES), options);
  await stage.machine.boot();
  for (const name of REPOSITORIES) await stage.register(name);
  await stage.commit(create("app", "base"), create("web", "base"), create("app", "other"));
  return stage;
}

function isNewSegment({ name, path }: SystemCall): boolean {
  return name === "create" && path.startsWith("/state/log/");
}

/** How a commit ends that is given this long. */
async function outcomeOf(stage: Stage, text: string, withinMs: number): Promise<string> {
  const { manager } = stage.machine.engine;
  const operations = [put("app", "other", "f", text).operation];
  const begun = manager.begin({ ...BEGIN, operations, commit: true, lockTimeoutMs: 1_000 })
    .then(({ state }) => state, (error) => error instanceof LayerdError ? error.code : "bug");
  const late = stage.machine.clock.sleep(withinMs).then(() => "nothing yet");
  return await stage.wait(Promise.race([begun, late]));
}

/** Words that hardly compress. */
function text(n: number, length: number): string {
  const words = Array.from({ length }, (_, at) => ((at + 1) * (n + 7_919) * 104_729) % 2e9);
  return words.map((word) => word.toString(36)).join(" ");
}

Deno.test("checkpoints that fail on a full disk leave room for what was decided before", async () => {
  const stage = await twoRepositories();
  const { machine } = stage;
  const { manager } = machine.engine;
  machine.fail(({ name, path }) => name === "rename" && path === "/web/packed-refs" ? "EIO" : null);
  const operations = REPOSITORIES.map((name) => put(name, "base", "a", "1").operation);
  const { id, state } = await stage.wait(manager.begin({ ...BEGIN, operations, commit: true }));
  assertEquals(state, "committing");

  machine.fail((call) => {
    if (call.name === "rename" && call.path === "/web/packed-refs") return "EIO";
    return isNewSegment(call) ? "ENOSPC" : null;
  });
  for (let n = 0; await outcomeOf(stage, text(n, 500), 5_000) !== "no_space"; n++) {
    assert(n < 100, "the log never filled up");
  }
  machine.ledger.afterDurable = () => Promise.reject(new LayerdError("no_space", "Ledger is full"));
  for (let n = 0; n < CHECKPOINTS; n++) {
    assertEquals(await outcomeOf(stage, text(n, 2_000), 5_000), "no_space");
    const failed = await stage.wait(machine.engine.checkpoint().then(() => "passed", () => "full"));
    assertEquals(failed, "full");
  }
  // Checkpoints that could be made and would release nothing take no room either.
  machine.ledger.afterDurable = () => Promise.resolve();
  for (let n = 0; n < CHECKPOINTS; n++) {
    await stage.wait(machine.engine.checkpoint().catch(() => {}));
  }

  machine.fail((call) => isNewSegment(call) ? "ENOSPC" : null);
  const { state: after } = await stage.wait(
    manager.waitFor(parseTransactionId(id), "committed", 60_000),
  );
  assertEquals(after, "committed");
  assertEquals(await outcomeOf(stage, text(0, 2_000), 5_000), "no_space");
  machine.fail(() => null);
  await machine.clock.run(2_000);
  assertEquals(await outcomeOf(stage, "room again", 5_000), "committed");
  await machine.stop();
});

Deno.test("a commit whose publication cannot be logged waits without packed-refs.lock", async () => {
  const stage = await twoRepositories();
  const { machine } = stage;
  const { manager } = machine.engine;
  let published = false;
  let refuses = false;
  machine.fail(({ name, path }) => {
    published ||= name === "rename" && path === "/app/packed-refs";
    if (!published || name !== "write" || !path.startsWith("/state/log/")) return null;
    // Each refused write is followed by one that erases what it left.
    refuses = !refuses;
    return refuses ? "ENOSPC" : null;
  });
  const operations = [put("app", "base", "a", "1").operation];
  const begun = manager.begin({ ...BEGIN, operations, commit: true });
  const late = machine.clock.sleep(5_000).then(() => null);
  const answer = await stage.wait(Promise.race([begun, late]));
  assertEquals([answer?.state, answer?.problem?.code], ["committing", "no_space"]);
  const id = parseTransactionId(answer?.id ?? "");
  for (let n = 0; n < 3; n++) {
    assertEquals(await outcomeOf(stage, `${n}`, 5_000), "no_space");
    assertEquals(machine.fileSystem.lstatIfAny("/app/packed-refs.lock"), null);
  }
  machine.fail(() => null);
  const { state } = await stage.wait(manager.waitFor(id, "committed", 60_000));
  assertEquals(state, "committed");
  assertEquals(await outcomeOf(stage, "room again", 5_000), "committed");
  await machine.stop();
});
