/**
 * The demo: a real daemon, a real repository, ordinary git looking on. Every claim that it
 * prints with a check mark was tested just before; the first that does not hold ends it.
 */
// deno-lint-ignore-file no-console -- a script: its output is for a person
import { ConnectionLost, DaemonUnreachable, LayerdProblem } from "../src/client/client.ts";
import type { OperationBody } from "../src/client/client.ts";
import {
  check,
  cloneThisProject,
  DemoDaemon,
  type DemoRepository,
  heading,
  openRepository,
  say,
} from "./demo_stage.ts";

const REPOSITORY = "demo";
const CLIENTS = 8;
/** Commits that are acknowledged before the kill. */
const ACKNOWLEDGED_MIN = 40;
const KILLS = 3;

interface Stage {
  readonly daemon: DemoDaemon;
  readonly repository: DemoRepository;
  /** The three layers, and the pattern that finds them. */
  readonly layers: readonly string[];
  readonly pattern: string;
}

function put(layer: string, path: string, content: string): OperationBody {
  return { op: "put_file", repository: REPOSITORY, layer, path, content };
}

function refOf(layer: string): string {
  return `refs/layers/${layer}`;
}

/** The refs of the demo's layers, as `git for-each-ref` shows them. */
function showRefs({ repository, pattern }: Stage): Promise<string> {
  return repository.show("for-each-ref", "--format=%(objectname:short) %(refname)", pattern);
}

async function createLayers(stage: Stage): Promise<void> {
  heading("Three layers, created in one transaction");
  const { client } = stage.daemon;
  const { id } = await client.begin({
    message: "create the layers",
    operations: stage.layers.flatMap((layer): OperationBody[] => [
      { op: "create_layer", repository: REPOSITORY, layer },
      put(layer, "settings.json", JSON.stringify({ layer, timeout: 10 }) + "\n"),
    ]),
  });
  await client.commit(id);
  await showRefs(stage);
}

async function commitOverAll(stage: Stage): Promise<void> {
  heading("One transaction over all three");
  const { client } = stage.daemon;
  const [lowest] = stage.layers;
  if (lowest === undefined) throw new Error("No layers");
  const { id } = await client.begin({ message: "raise the timeout everywhere" });
  await client.stage(
    id,
    stage.layers.map((layer) => put(layer, "settings.json", '{"timeout":30}\n')),
  );
  say(`transaction ${id}: staged, not committed`);
  const inside = await client.file(REPOSITORY, lowest, "settings.json", { transaction: id });
  const outside = await client.file(REPOSITORY, lowest, "settings.json");
  check(inside.content === '{"timeout":30}\n', "inside the transaction the new content is there");
  check(outside.content !== inside.content, "outside, and for git, nothing has changed");
  await showRefs(stage);
  await client.commit(id);
  say("committed:");
  await showRefs(stage);
  await stage.repository.show("log", "-1", refOf(lowest));
}

async function rollBack(stage: Stage): Promise<void> {
  heading("A rollback leaves nothing");
  const { client } = stage.daemon;
  const before = await stage.repository.git("for-each-ref");
  const { id } = await client.begin({ message: "never mind" });
  await client.stage(id, stage.layers.map((layer) => put(layer, "mistake.txt", "oops\n")));
  await client.rollback(id);
  check(await stage.repository.git("for-each-ref") === before, "every ref is where it was");
  const { locks } = await client.locks({ repository: REPOSITORY });
  check(locks.length === 0, "no lock is held");
  await showRefs(stage);
}

async function conflict(stage: Stage): Promise<void> {
  heading("Two clients in conflict");
  const { client } = stage.daemon;
  const [layer] = stage.layers;
  if (layer === undefined) throw new Error("No layers");
  const ann = await client.begin({ message: "Ann's change", isolation: "optimistic" });
  const bob = await client.begin({ message: "Bob's change", isolation: "optimistic" });
  await client.stage(ann.id, [put(layer, "owner.txt", "Ann\n")]);
  await client.stage(bob.id, [put(layer, "owner.txt", "Bob\n")]);
  await client.commit(ann.id);
  say("Ann committed first; Bob, who started from the same state, commits:");
  const problem = await problemOf(client.commit(bob.id));
  say(`  ${problem.status} ${problem.code}: ${problem.message}`);
  for (const c of problem.problem.conflicts ?? []) {
    say(`  ${c.ref}: expected ${c.expected?.slice(0, 7)}, found ${c.actual?.slice(0, 7)}`);
  }
  check(problem.code === "write_conflict", "Bob is told, and told what he missed");
  const file = await client.file(REPOSITORY, layer, "owner.txt");
  check(file.content === "Ann\n", "Ann's change was not lost");
  await stage.repository.show("log", "-3", "--format=%h %s", refOf(layer));
}

async function problemOf(call: Promise<unknown>): Promise<LayerdProblem> {
  try {
    await call;
  } catch (error) {
    if (error instanceof LayerdProblem) return error;
    throw error;
  }
  throw new Error("Expected a refusal");
}

/** What the clients know when the daemon is gone. */
interface Load {
  /** Acknowledged as committed. */
  readonly acknowledged: Set<string>;
  /** The commit was sent; no answer came. */
  readonly unknown: Set<string>;
}

async function crash(stage: Stage): Promise<void> {
  heading(`SIGKILL in the middle of a commit, with ${CLIENTS} clients at work, ${KILLS} times`);
  const tips = (await stage.repository.git("rev-parse", ...stage.layers.map(refOf))).split("\n");
  const acknowledged = new Set<string>();
  for (let kill = 1; kill <= KILLS; kill++) {
    const load = await commitUntilKilled(stage);
    say(
      `kill -9: ${load.acknowledged.size} transactions were acknowledged, ` +
        `${load.unknown.size} in the middle of a commit`,
    );
    await stage.daemon.start();
    const present = await transactionsIn(stage, `${tips[0]}..${refOf(stage.layers[0] ?? "")}`);
    for (const id of load.unknown) {
      say(`in the middle: ${id}, now ${present.has(id) ? "whole, in all three" : "in none"}`);
    }
    for (const id of load.acknowledged) acknowledged.add(id);
  }
  const histories = await Promise.all(
    stage.layers.map((layer, n) => transactionsIn(stage, `${tips[n]}..${refOf(layer)}`)),
  );
  const [first] = histories;
  if (first === undefined) throw new Error("No layers");
  check(
    histories.every((history) => acknowledged.isSubsetOf(history)),
    `each of the ${acknowledged.size} acknowledged transactions is in all three layers`,
  );
  check(
    histories.every((history) => history.symmetricDifference(first).size === 0),
    "no transaction is in one layer and not in another",
  );
  check(await stage.repository.lockFiles() === 0, "no lock file is left");
  await stage.repository.git("fsck", "--strict", "--no-dangling");
  check(true, "git fsck --strict finds nothing wrong");
  await showRefs(stage);
  for (const layer of stage.layers) {
    const format = "--format=%h %s, %(trailers:key=Layerd-Transaction,separator=)";
    await stage.repository.show("log", "-2", format, refOf(layer));
  }
}

/** Commits from several clients until one of them, in its commit, loses the daemon. */
async function commitUntilKilled(stage: Stage): Promise<Load> {
  const load: Load = { acknowledged: new Set(), unknown: new Set() };
  let killed: Promise<void> | null = null;
  let committingMs = 0;
  const work = async (name: number) => {
    for (let count = 1; killed === null; count++) {
      const { id } = await stage.daemon.client.begin({
        message: `client ${name}, number ${count}`,
        operations: stage.layers.map((layer) => put(layer, `client-${name}`, `${count}\n`)),
        lock_timeout_ms: 60_000,
      });
      if (killed !== null) return;
      load.unknown.add(id);
      const sentAt = performance.now();
      const answer = stage.daemon.client.commit(id);
      if (load.acknowledged.size >= ACKNOWLEDGED_MIN) {
        // A moment between the sending of a commit and its answer, as long as these took so far.
        const withinMs = committingMs / load.acknowledged.size;
        killed ??= new Promise<void>((resolve) => {
          setTimeout(() => resolve(stage.daemon.kill()), Math.random() * withinMs);
        });
      }
      await answer;
      committingMs += performance.now() - sentAt;
      load.unknown.delete(id);
      load.acknowledged.add(id);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, async (_, name) => {
    try {
      await work(name);
    } catch (error) {
      const gone = error instanceof ConnectionLost || error instanceof DaemonUnreachable;
      if (killed === null || !gone) throw error;
    }
  }));
  await killed;
  return load;
}

/** The ids in a range of history, by the trailers of its commits. */
async function transactionsIn(stage: Stage, range: string): Promise<Set<string>> {
  const output = await stage.repository.git(
    "log",
    "--format=%(trailers:key=Layerd-Transaction,valueonly,separator=)",
    range,
  );
  return new Set(output.split("\n"));
}

/** `demo`, or where layers of that name exist `demo-2`, ... */
async function freeName(repository: DemoRepository): Promise<string> {
  for (let n = 1;; n++) {
    const name = n === 1 ? "demo" : `demo-${n}`;
    if (await repository.git("for-each-ref", `refs/layers/${name}`) === "") return name;
  }
}

/** Deletes what the demo made; starts the daemon again where the demo lost it. */
async function cleanUp(stage: Stage): Promise<void> {
  heading("Your repository as it was");
  if (!stage.daemon.running) await stage.daemon.start();
  const { client } = stage.daemon;
  const { layers } = await client.layers(REPOSITORY, { prefix: stage.pattern.slice(12) + "/" });
  if (layers.length > 0) {
    await client.begin({
      message: "remove the demo's layers",
      operations: layers.map(({ name }) => ({
        op: "delete_layer",
        repository: REPOSITORY,
        layer: name,
      })),
      commit: true,
    });
  }
  await client.removeRepository(REPOSITORY);
  await showRefs(stage);
  say("The demo's objects are unreachable now; git gc removes them in its time");
}

async function perform(stage: Stage): Promise<void> {
  await createLayers(stage);
  await commitOverAll(stage);
  await rollBack(stage);
  await conflict(stage);
  await crash(stage);
}

async function main(given: string | undefined): Promise<void> {
  const from = performance.now();
  const directory = await Deno.makeTempDir({ prefix: "layerd-demo-" });
  const daemon = new DemoDaemon(directory);
  const interrupted = Promise.withResolvers<never>();
  const interrupt = () => interrupted.reject(new Error("Interrupted"));
  Deno.addSignalListener("SIGINT", interrupt);
  try {
    const repository = given === undefined
      ? await cloneThisProject(`${directory}/repository`)
      : await openRepository(given);
    const name = await freeName(repository);
    const stage: Stage = {
      daemon,
      repository,
      layers: ["global", "team", "project"].map((layer) => `${name}/${layer}`),
      pattern: `refs/layers/${name}`,
    };
    console.log(
      given === undefined
        ? "layerd's demo, on a clone of this repository"
        : `layerd's demo, on ${repository.path}`,
    );
    await daemon.start(`${REPOSITORY}=${repository.path}`);
    try {
      await Promise.race([perform(stage), interrupted.promise]);
    } finally {
      if (given !== undefined) await cleanUp(stage);
    }
  } finally {
    await daemon.stop();
    Deno.removeSignalListener("SIGINT", interrupt);
    await Deno.remove(directory, { recursive: true });
  }
  console.log(`\nAll of it held, in ${((performance.now() - from) / 1000).toFixed(1)} s.`);
}

if (import.meta.main) {
  try {
    await main(Deno.args[0]);
    Deno.exit(0);
  } catch (error) {
    console.error(`\nThe demo ended: ${error instanceof Error ? error.message : error}`);
    Deno.exit(1);
  }
}
