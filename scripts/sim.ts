/**
 * The long simulation: every crash point of every scenario, crashed in every way on both
 * kinds of disk, recoveries crashed at their calls, then seeds of random work.
 *
 *   deno task sim                       everything, 10,000 seeds from a fresh one on
 *   deno task sim --seeds N --seed S    N seeds from S on, and no crash points
 *   deno task sim --seeds 0             the crash points alone
 *   deno task sim --seed S              replays one seed
 *   deno task sim --scenario NAME --disk KIND --point P --crash KIND
 *                                       replays one crash, as a failure names it
 */
// deno-lint-ignore-file no-console -- a script: its output is for a person
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { SCENARIOS } from "../tests/sim/scenarios.ts";
import { CRASH_KINDS } from "../tests/sim/crash_points.ts";
import type { Job, JobResult } from "../tests/sim/sim_worker.ts";

const SEEDS = 10_000;
const SEEDS_PER_JOB = 50;
const WORKERS = 2;

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    scenario: { type: "string" },
    disk: { type: "string" },
    point: { type: "string" },
    crash: { type: "string" },
  },
});

function jobs(): Job[] {
  if (values.scenario !== undefined) return [replayOf(values.scenario)];
  const given = values.seed === undefined ? null : Number(values.seed);
  const first = given ?? (crypto.getRandomValues(new Uint32Array(1))[0] ?? 1) % 1_000_000_000;
  const count = Number(values.seeds ?? (given === null ? SEEDS : 1));
  console.log(`sim: ${count} seeds from ${first} on`);
  const seeds: Job[] = [];
  for (let done = 0; done < count; done += SEEDS_PER_JOB) {
    const some = Math.min(SEEDS_PER_JOB, count - done);
    seeds.push({ kind: "seeds", first: first + done, count: some });
  }
  if (given !== null) return seeds;
  const scenarios = SCENARIOS.flatMap(({ name }) =>
    (["journaled", "adversarial"] as const).map((disk): Job => ({
      kind: "scenario",
      name,
      disk,
      only: null,
    }))
  );
  return [...scenarios, ...seeds];
}

function replayOf(name: string): Job {
  const crash = CRASH_KINDS.find((kind) => kind === values.crash);
  if (crash === undefined) throw new Error(`--crash is one of ${CRASH_KINDS.join(", ")}`);
  const disk = values.disk === "journaled" ? "journaled" : "adversarial";
  return { kind: "scenario", name, disk, only: { point: Number(values.point), crash } };
}

/** Hands the jobs to the workers, one at a time each. */
async function runAll(work: Job[]): Promise<JobResult[]> {
  const results: JobResult[] = [];
  const total = work.length;
  await Promise.all(Array.from({ length: Math.min(WORKERS, total) }, async () => {
    const url = new URL("../tests/sim/sim_worker.ts", import.meta.url);
    const worker = new Worker(url);
    for (let job = work.shift(); job !== undefined; job = work.shift()) {
      const { promise, resolve, reject } = Promise.withResolvers<JobResult>();
      worker.once("message", resolve);
      worker.once("error", reject);
      worker.postMessage(job);
      const result = await promise;
      worker.removeAllListeners();
      results.push(result);
      for (const failure of result.failures) console.log(`VIOLATION deno task sim ${failure}`);
      if (results.length % 10 === 0) console.log(progress(results, total));
    }
    await worker.terminate();
  }));
  return results;
}

/** What has been tried so far, so that a run that is cut short has said something. */
function progress(results: readonly JobResult[], total: number): string {
  const sum = (pick: (result: JobResult) => number) =>
    results.reduce((all, result) => all + pick(result), 0);
  return `sim: ${results.length} of ${total} jobs: ${sum((one) => one.points)} crash points, ` +
    `${sum((one) => one.recoveryPoints)} in recovery, ${sum((one) => one.seeds)} seeds, ` +
    `${sum((one) => one.failures.length)} violations`;
}

const startedAt = performance.now();
const results = await runAll(jobs());
const sum = (pick: (result: JobResult) => number) =>
  results.reduce((total, result) => total + pick(result), 0);
const faults = new Map<string, number>();
for (const result of results) {
  for (const [kind, count] of result.faults) faults.set(kind, (faults.get(kind) ?? 0) + count);
}
const places = `${SCENARIOS.length} scenarios on 2 kinds of disk, ${CRASH_KINDS.length} ways each`;
console.log(`crash points             ${sum((one) => one.points)}, in ${places}`);
console.log(`crash points in recovery ${sum((one) => one.recoveryPoints)}`);
console.log(`crashes tried            ${sum((one) => one.crashes)}`);
console.log(`seeds                    ${sum((one) => one.seeds)}`);
const committed = sum((one) => one.committed);
console.log(`transactions             ${sum((one) => one.transactions)}, ${committed} committed`);
for (const [kind, count] of [...faults].sort()) console.log(`fault ${kind.padEnd(24)} ${count}`);
const violations = sum((one) => one.failures.length);
console.log(`violations               ${violations}`);
console.log(`${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
Deno.exit(violations === 0 ? 0 : 1);
