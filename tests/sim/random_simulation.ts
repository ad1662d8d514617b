/**
 * One seed of the random simulation: several clients (and native git) at work over several
 * lives of the machine, with faults, kills and power losses; then everything that was read
 * and told is held against what is on the disk.
 */
import { LayerdError } from "../../src/core/errors.ts";
import { parseTransactionId } from "../../src/core/ids.ts";
import { DiskReader } from "./disk_reader.ts";
import { checkHistory } from "./history_checker.ts";
import { readState, straysOf, Violation } from "./invariants.ts";
import { create, put } from "./model.ts";
import { NativeGit, removeStaleLocks } from "./native_git.ts";
import { RandomClient } from "./random_client.ts";
import { RandomFaults } from "./random_faults.ts";
import { LISTS, RandomWorld } from "./random_world.ts";
import { Halted } from "./simulated_clock.ts";
import { CALM, SimulatedFileSystem } from "./simulated_file_system.ts";
import { afterCrash, type CrashKind, type Image, SimulatedMachine } from "./simulated_machine.ts";
import { freshImage, Stage } from "./stage.ts";

const REPOSITORIES = ["app", "web"];
const CLIENTS = ["ann", "bob", "cat"];
const SETTLE_MS = 4_000;
const BOOTS_MAX = 5;
/** In some lives recovery meets so many faults that it rarely gets through everywhere. */
const HARD_BOOT_CHANCE = 0.2;
const HARD_BOOT_RATE = 0.02;

export interface SimulationFigures {
  seeds: number;
  transactions: number;
  committed: number;
  crashes: number;
  readonly faults: Map<string, number>;
}

export function noFigures(): SimulationFigures {
  return { seeds: 0, transactions: 0, committed: 0, crashes: 0, faults: new Map() };
}

/** Runs one seed; throws what is wrong. */
export async function simulate(seed: number, figures: SimulationFigures): Promise<void> {
  const world = new RandomWorld(seed);
  const { random } = world;
  let image = await prepared(random.pick(["journaled", "adversarial"]), seed);
  const lives = random.integer(1, 3);
  for (let life = 1; life <= lives; life++) {
    image = await liveOnce(world, image, figures);
    figures.crashes += 1;
  }
  await checkWorld(world, image, seed);
  figures.seeds += 1;
  figures.transactions += world.transactions.length;
  figures.committed += world.transactions.filter((one) => one.outcome === "committed").length;
}

/** Two repositories with empty lists. */
async function prepared(kind: "journaled" | "adversarial", seed: number): Promise<Image> {
  const stage = new Stage(await freshImage(kind, REPOSITORIES), { seed });
  await stage.machine.boot();
  for (const name of REPOSITORIES) await stage.register(name);
  const lists = LISTS.map(({ repository, layer }) => put(repository, layer, "list", ""));
  await stage.commit(...lists, create("app", "once"));
  await stage.machine.stop();
  return stage.machine.image();
}

/** From a boot to the next crash; the image that the next boot finds. */
async function liveOnce(
  world: RandomWorld,
  image: Image,
  figures: SimulationFigures,
): Promise<Image> {
  const { random } = world;
  const rate = random.pick([0, 0, 0.001, 0.004]);
  let next = image;
  for (let boots = 1; boots <= BOOTS_MAX; boots++) {
    const faults = new RandomFaults(random, rate, figures.faults);
    if (boots === BOOTS_MAX) faults.rate = 0;
    const calmRate = faults.rate;
    if (calmRate > 0 && random.chance(HARD_BOOT_CHANCE)) faults.rate = HARD_BOOT_RATE;
    const options = { seed: random.integer(1, 2 ** 30), faults, checkpointBytes: 40_000 };
    const machine = new SimulatedMachine(next, options);
    const end = new LifeEnd(machine, random.integer(1, 2_500));
    removeStaleLocks(machine, REPOSITORIES);
    try {
      await machine.boot();
      faults.rate = calmRate;
      checkServed(machine);
      await work(world, machine);
      if (random.chance(0.3)) await machine.stop();
    } catch (error) {
      // A start that a fault made impossible is tried again, as a supervisor does.
      const mayFail = rate > 0 && boots < BOOTS_MAX;
      if (!(error instanceof Halted) && (!mayFail || machine.isServing)) throw error;
    }
    next = afterCrash(end.image ?? machine.image(), crashKind(world), random.integer(1, 2 ** 30));
    if (machine.isServing || end.image !== null) return next;
  }
  return next;
}

/** What is served is whole, whatever faults its recovery met: every object can be read. */
function checkServed({ disk, engine }: SimulatedMachine): void {
  readState(disk, engine.catalog.all().map(({ name }) => name));
}

/** Takes the machine down at a call, or where the daemon ends itself. */
class LifeEnd {
  image: Image | null = null;

  constructor(machine: SimulatedMachine, atCall: number) {
    let calls = 0;
    const goDown = () => {
      if (this.image !== null) return;
      this.image = machine.image();
      machine.clock.halt();
    };
    machine.beforeCall = () => {
      calls += 1;
      if (calls === atCall) goDown();
    };
    machine.onFatal = goDown;
  }
}

function crashKind({ random, hasNative }: RandomWorld): CrashKind {
  if (hasNative) return "killed";
  return random.pick(["all_lost", "some_lost", "some_lost", "all_kept", "killed"]);
}

async function work(world: RandomWorld, machine: SimulatedMachine): Promise<void> {
  const { clock } = machine;
  await clock.until(settlePromises(world, machine));
  const clients = CLIENTS.map((name) => new RandomClient(world, machine, name));
  const asking = [...world.once].filter(([, state]) => state === "asked");
  await clock.until(Promise.all(asking.map(([message]) => clients[0]?.ask(message))));
  const jobs = clients.map((client) => client.work(3));
  if (world.hasNative) jobs.push(new NativeGit(world, machine).work(4));
  await clock.until(Promise.all(jobs));
}

/** What an outside coordinator does after a crash: ends what was prepared, as it decided. */
async function settlePromises(world: RandomWorld, machine: SimulatedMachine): Promise<void> {
  const { manager } = machine.engine;
  for (const running of world.transactions) {
    if (running.promised === null) continue;
    const { state } = manager.get(running.promised);
    if (state === "prepared") {
      running.outcome = "unknown";
      const after = await manager.commit(running.promised).catch(refusedForNow);
      if (after === null) continue;
      if (after.state === "committing") world.decided(running);
      else world.end(running, "committed");
    } else if (state === "committed") world.end(running, "committed");
    else if (state === "rolled_back") world.end(running, "rolled_back");
    else if (state === "committing") world.decided(running);
    else {
      throw new Violation(`${running.id} was promised and is ${state}`);
    }
    running.promised = null;
  }
  for (const { id } of manager.list({ state: "prepared" }, 100, null)) {
    if (world.transactions.some((one) => one.promised === id)) continue;
    await manager.rollback(parseTransactionId(id)).catch(refusedForNow);
  }
}

/** A repository that a fault keeps away: the promise stands, and is kept in the next life. */
function refusedForNow(error: unknown): null {
  if (error instanceof LayerdError && (error.retryable || error.code === "io_error")) return null;
  throw error;
}

async function checkWorld(world: RandomWorld, image: Image, seed: number): Promise<void> {
  const machine = new SimulatedMachine(image, { seed });
  removeStaleLocks(machine, REPOSITORIES);
  await machine.boot();
  await machine.clock.run(SETTLE_MS);
  await machine.clock.until(settlePromises(world, machine));
  const { failed, in_doubt } = machine.engine.manager.counts();
  if (failed + in_doubt > 0) throw new Violation(`${failed} failed, ${in_doubt} in doubt`);
  await machine.stop();
  const state = readState(machine.disk, REPOSITORIES);
  const finals = new Map(LISTS.map(({ key, repository, layer }) => {
    const text = state[`${repository} refs/layers/${layer}`]?.["list"];
    if (text === undefined) throw new Violation(`List ${key} is gone`);
    return [key, text.split("\n").filter((line) => line !== "")] as const;
  }));
  const problems = checkHistory(world.transactions, finals, world.level);
  problems.push(...checkOwn(world, state, finals), ...checkOnce(world, machine));
  for (const repository of REPOSITORIES) {
    const strays = straysOf(machine.disk, repository);
    problems.push(...strays.map((path) => `left behind: ${repository} ${path}`));
  }
  if (problems.length > 0) throw new Violation(problems.join("\n"));
}

/** A client's own layer is what its last committed transaction made of it. */
function checkOwn(
  { transactions }: RandomWorld,
  state: Readonly<Record<string, Readonly<Record<string, string>>>>,
  finals: ReadonlyMap<string, readonly string[]>,
): string[] {
  const values = new Set([...finals.values()].flat());
  return CLIENTS.flatMap((client) => {
    const last = transactions.findLast((one) =>
      one.own !== undefined && one.id.startsWith(`${client}.`) &&
      one.operations.some((operation) => operation.kind === "append" && values.has(operation.value))
    );
    const found = state[`web refs/layers/own/${client}`]?.["by"] ?? null;
    const expected = last?.own ?? null;
    return found === expected ? [] : [`own layer of ${client} holds ${found}, not ${expected}`];
  });
}

/** Each keyed commit is in the history once where it was acknowledged, else at most once. */
function checkOnce({ once }: RandomWorld, machine: SimulatedMachine): string[] {
  const reader = new DiskReader(new SimulatedFileSystem(machine.disk, CALM), "/app");
  const counts = new Map<string, number>();
  let commit = reader.refs().get("refs/layers/once");
  while (commit !== undefined) {
    const message = reader.message(commit).split("\n")[0] ?? "";
    counts.set(message, (counts.get(message) ?? 0) + 1);
    commit = reader.parents(commit)[0];
  }
  return [...once].flatMap(([message, state]) => {
    const count = counts.get(message) ?? 0;
    const sound = state === "acknowledged" ? count === 1 : count <= (state === "refused" ? 0 : 1);
    return sound ? [] : [`${message} was ${state} and is there ${count} times`];
  });
}
