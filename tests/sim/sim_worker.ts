/** One worker of the long simulation: takes jobs one at a time, answers what they came to. */
import { parentPort } from "node:worker_threads";
import { CRASH_KINDS, crashAll, type CrashPlan, emptyTally } from "./crash_points.ts";
import type { DiskKind } from "./name_journal.ts";
import { runSeeds } from "./run_seeds.ts";
import { SCENARIOS } from "./scenarios.ts";
import type { CrashKind } from "./simulated_machine.ts";

export type Job =
  | { readonly kind: "seeds"; readonly first: number; readonly count: number }
  | {
    readonly kind: "scenario";
    readonly name: string;
    readonly disk: DiskKind;
    /** One point and crash, or all where it is null. */
    readonly only: { readonly point: number; readonly crash: CrashKind } | null;
  };

/** Figures of one job; they are added up. */
export interface JobResult {
  readonly seeds: number;
  readonly transactions: number;
  readonly committed: number;
  readonly points: number;
  readonly recoveryPoints: number;
  readonly crashes: number;
  readonly faults: ReadonlyMap<string, number>;
  readonly failures: readonly string[];
}

/** Recoveries from these points are crashed at every call. */
const RECOVERY_EVERY = 40;

const EVERYTHING: CrashPlan = {
  tries: () => true,
  recoveryEvery: (point, crash) =>
    point % RECOVERY_EVERY === 0 && CRASH_KINDS[(point / RECOVERY_EVERY) % 4] === crash ? 1 : 0,
};

async function runJob(job: Job): Promise<JobResult> {
  return job.kind === "seeds" ? await seeds(job.first, job.count) : await scenario(job);
}

async function seeds(first: number, count: number): Promise<JobResult> {
  const { figures, failures } = await runSeeds(first, count);
  return { points: 0, recoveryPoints: 0, ...figures, failures: failures.map(inWords) };
}

async function scenario(job: Extract<Job, { kind: "scenario" }>): Promise<JobResult> {
  const scenario = SCENARIOS.find(({ name }) => name === job.name);
  if (scenario === undefined) throw new Error(`There is no scenario "${job.name}"`);
  const tally = emptyTally();
  const { only } = job;
  const plan = only === null ? EVERYTHING : {
    tries: (point: number, crash: CrashKind) => point === only.point && crash === only.crash,
    recoveryEvery: EVERYTHING.recoveryEvery,
  };
  await crashAll(scenario, job.disk, plan, tally);
  const { points, recoveryPoints, crashes, failures } = tally;
  return {
    seeds: 0,
    transactions: 0,
    committed: 0,
    faults: new Map(),
    points,
    recoveryPoints,
    crashes,
    failures: failures.map(inWords),
  };
}

function inWords({ where, error }: { readonly where: string; readonly error: unknown }): string {
  return `${where}: ${error instanceof Error ? error.stack : error}`;
}

parentPort?.on("message", async (job: Job) => parentPort?.postMessage(await runJob(job)));
