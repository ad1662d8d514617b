/**
 * What must hold after any crash, once the daemon has started again:
 *
 * I1. Each acknowledged transaction is whole, each other one whole or absent: the state is one
 *     that the client's commits lead through.
 * I2. Every object that a ref reaches can be read by its hash (disk_reader.ts).
 * I3. `packed-refs` is sorted and parses.
 * I4. What was promised by a prepare is still promised, and can be kept.
 * I5. What recovery settled is durable: another power loss changes none of it (refs of promises
 *     that are over may come back until the next start). The refs are so
 *     without the log's help.
 * I6. No lock, no temporary file, no stray is left.
 * I7. Another start changes nothing.
 */
import { parseRepositoryName, parseTransactionId } from "../../src/core/ids.ts";
import { DiskReader } from "./disk_reader.ts";
import { canonical, type Model } from "./model.ts";
import type { FileSystem } from "../../src/system/file_system.ts";
import { CALM, SimulatedFileSystem } from "./simulated_file_system.ts";
import type { SimulatedDisk } from "./simulated_disk.ts";
import {
  afterCrash,
  type Image,
  type MachineOptions,
  SimulatedMachine,
} from "./simulated_machine.ts";
import { applyAll, type Expectation, isAllowed } from "./stage.ts";

export class Violation extends Error {
  override readonly name = "Violation";
}

/** Time after a start in which whatever is still to be done gets done. */
const SETTLE_MS = 4_000;

/** Boots from a crashed image and checks everything; `watch` sees the machine before it boots. */
export async function checkRecovery(
  image: Image,
  expectation: Expectation,
  options: MachineOptions,
  watch: (machine: SimulatedMachine) => void = () => {},
): Promise<void> {
  const { repositories } = expectation;
  const machine = new SimulatedMachine(image, options);
  watch(machine);
  await machine.boot();
  await machine.clock.run(SETTLE_MS);
  machine.beforeCall = () => {};
  const found = readState(machine.disk, repositories);
  if (!isAllowed(found, expectation)) {
    const allowed = expectation.allowed.map(brief).join(" or ");
    throw new Violation(`I1: found ${brief(found)}, allowed ${allowed}`);
  }
  await registerAgain(machine, repositories);
  const settled = await keepPromises(machine, expectation, found);
  await checkDurable(machine.image(), repositories, settled, options);
  await machine.stop();
  checkTidy(machine.disk, repositories);
  await checkRepeatable(machine.image(), repositories, options);
}

/** The state of all repositories as a reader of the disk finds it (I2, I3). */
export function readState(disk: SimulatedDisk, repositories: readonly string[]): Model {
  const state: Record<string, Readonly<Record<string, string>>> = {};
  for (const repository of repositories) {
    const reader = readerOf(disk, repository);
    for (const [ref, commit] of reader.refs()) {
      const files = reader.files(commit);
      if (!ref.startsWith("refs/layerd/")) state[`${repository} ${ref}`] = files;
    }
  }
  return state;
}

function readerOf(disk: SimulatedDisk, repository: string): DiskReader {
  const fileSystem: FileSystem = new SimulatedFileSystem(disk, CALM);
  return new DiskReader(fileSystem, `/${repository}`);
}

/** A registration that was not acknowledged is asked for again, and must be possible. */
async function registerAgain(
  machine: SimulatedMachine,
  repositories: readonly string[],
): Promise<void> {
  const { catalog } = machine.engine;
  const served = new Set<string>(catalog.all().map((one) => one.name));
  const known = new Set<string>(catalog.registrations().map((one) => one.repository));
  for (const name of repositories) {
    if (served.has(name)) continue;
    // Throws why a registered repository is not served.
    if (known.has(name)) catalog.get(parseRepositoryName(name));
    const request = { name: parseRepositoryName(name), path: `/${name}`, adopt: false };
    await machine.clock.until(catalog.add(request));
  }
}

/** I4; answers the state that all kept promises lead to. */
async function keepPromises(
  machine: SimulatedMachine,
  { promised, preparing, repositories }: Expectation,
  found: Model,
): Promise<Model> {
  let state = found;
  const { manager } = machine.engine;
  for (const { id, steps, asked } of promised) {
    const before = manager.get(id).state;
    if (before === "rolled_back" && asked === "rollback") continue;
    if (before === "committed" && asked === "commit") continue;
    if (before !== "prepared") throw new Violation(`I4: ${id} was promised and is ${before}`);
    const { state: after } = await machine.clock.until(manager.commit(id));
    if (after !== "committed") throw new Violation(`I4: the commit of ${id} ended ${after}`);
    state = applyAll(state, steps);
  }
  for (const { id } of manager.list({ state: "prepared" }, 10, null)) {
    if (!preparing) throw new Violation(`I4: ${id} was promised to nobody`);
    await machine.clock.until(manager.rollback(parseTransactionId(id)));
  }
  const now = readState(machine.disk, repositories);
  if (canonical(now) !== canonical(state)) {
    throw new Violation(`I4: kept promises led to ${brief(now)}, not to ${brief(state)}`);
  }
  return state;
}

/** I5. */
async function checkDurable(
  image: Image,
  repositories: readonly string[],
  settled: Model,
  options: MachineOptions,
): Promise<void> {
  const crashed = afterCrash(image, "all_lost", options.seed);
  for (const repository of repositories) {
    const [before, after] = [image.disk, crashed.disk].map((disk) =>
      JSON.stringify([...readerOf(disk, repository).refs()].filter(isNoPromise).sort())
    );
    if (before !== after) {
      throw new Violation(`I5: refs of ${repository} were ${before}, and ${after} without power`);
    }
  }
  const machine = new SimulatedMachine(crashed, nextProcess(options));
  await machine.boot();
  await machine.clock.run(SETTLE_MS);
  const found = readState(machine.disk, repositories);
  if (canonical(found) !== canonical(settled)) {
    throw new Violation(`I5: ${brief(settled)} was settled, and is ${brief(found)} now`);
  }
  for (const repository of repositories) {
    const left = [...readerOf(machine.disk, repository).refs()].filter((ref) => !isNoPromise(ref));
    if (left.length > 0) throw new Violation(`I5: ${left.join(", ")} stand for no promise`);
  }
}

/** What keeps a promise's objects may come back with a power loss; the next start removes it. */
function isNoPromise([ref]: readonly [string, string]): boolean {
  return !/^refs\/layerd\/[0-9A-Z]{26}\//.test(ref);
}

/** I6. */
function checkTidy(disk: SimulatedDisk, repositories: readonly string[]): void {
  for (const repository of repositories) {
    const strays = straysOf(disk, repository);
    if (strays.length > 0) throw new Violation(`I6: ${repository} has ${strays.join(", ")}`);
  }
}

/** What must not be there. */
export function straysOf(disk: SimulatedDisk, repository: string): string[] {
  return readerOf(disk, repository).strays();
}

/** I7. */
async function checkRepeatable(
  image: Image,
  repositories: readonly string[],
  options: MachineOptions,
): Promise<void> {
  const listing = (disk: SimulatedDisk) =>
    repositories.map((repository) => readerOf(disk, repository).listing());
  const before = listing(image.disk);
  const machine = new SimulatedMachine(afterCrash(image, "killed", 0), nextProcess(options));
  await machine.boot();
  await machine.stop();
  for (const [index, after] of listing(machine.disk).entries()) {
    const was = before[index] ?? {};
    const changed = [...new Set([...Object.keys(was), ...Object.keys(after)])]
      .filter((path) => was[path] !== after[path]);
    if (changed.length > 0) {
      throw new Violation(`I7: a start changed ${changed.join(", ")} in ${repositories[index]}`);
    }
  }
}

/** Another process draws other names for its temporary files. */
export function nextProcess(options: MachineOptions): MachineOptions {
  return { ...options, seed: options.seed + 1_000_003 };
}

/** A state for the message of a failure: long texts are cut. */
function brief(model: Model): string {
  return canonical(model).replaceAll(/"([^"]{30})[^"]{30,}"/g, '"$1..."');
}
