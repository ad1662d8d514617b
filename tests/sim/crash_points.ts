/**
 * Exhaustive crash points: a scenario is played once, and at every call that can change the
 * disk the disk is copied. Each copy then crashes in several ways and must recover; and a
 * recovery is itself such a scenario, crashed at every call in turn.
 */
import { checkRecovery, nextProcess } from "./invariants.ts";
import type { DiskKind } from "./name_journal.ts";
import type { Scenario } from "./scenario.ts";
import type { SystemCall } from "./simulated_file_system.ts";
import {
  afterCrash,
  type CrashKind,
  type Image,
  type SimulatedMachine,
} from "./simulated_machine.ts";
import { type Expectation, freshImage, Stage } from "./stage.ts";

/** Calls that change nothing on a disk. */
const READS = new Set(
  "open read pread stat lstat fstat readdir readlink realpath flock".split(" "),
);

export interface CrashPoint {
  readonly image: Image;
  readonly expectation: Expectation;
  readonly call: SystemCall | null;
}

/** One failure, with what replays it. */
export interface Failure {
  readonly where: string;
  readonly error: unknown;
}

export interface Tally {
  points: number;
  recoveryPoints: number;
  crashes: number;
  readonly failures: Failure[];
}

export function emptyTally(): Tally {
  return { points: 0, recoveryPoints: 0, crashes: 0, failures: [] };
}

/** Copies the disk before each call that can change it. */
function record(
  machine: SimulatedMachine,
  expectation: () => Expectation,
  points: CrashPoint[],
): void {
  machine.beforeCall = (call) => {
    if (READS.has(call.name)) return;
    points.push({ image: machine.image(), expectation: expectation(), call });
  };
}

/** Plays the scenario; its crash points. */
export async function crashPoints(scenario: Scenario, kind: DiskKind): Promise<CrashPoint[]> {
  const image = await freshImage(kind, scenario.repositories);
  const stage = new Stage(image, { seed: 1, ...scenario.options });
  const points: CrashPoint[] = [];
  const watch = () => record(stage.machine, () => stage.expectation(), points);
  if (scenario.prologue === undefined) watch();
  await stage.machine.boot();
  if (scenario.prologue !== undefined) {
    await scenario.prologue(stage);
    watch();
  }
  await scenario.play(stage);
  points.push({ image: stage.machine.image(), expectation: stage.expectation(), call: null });
  return points;
}

/** Ways for the machine to go down. */
export const CRASH_KINDS: readonly CrashKind[] = ["all_lost", "some_lost", "all_kept", "killed"];

/** Which of a scenario's crashes are tried. */
export interface CrashPlan {
  /** Whether to crash at this point in this way. */
  readonly tries: (point: number, crash: CrashKind) => boolean;
  /** Whether to crash the recovery from that at its calls, too: every how many; 0 for none. */
  readonly recoveryEvery: (point: number, crash: CrashKind) => number;
}

/** Crashes a scenario as the plan says. */
export async function crashAll(
  scenario: Scenario,
  kind: DiskKind,
  plan: CrashPlan,
  tally: Tally,
): Promise<void> {
  const points = await crashPoints(scenario, kind);
  for (const [index, point] of points.entries()) {
    const kinds = CRASH_KINDS.filter((crash) => plan.tries(index, crash));
    if (kinds.length > 0) tally.points += 1;
    for (const crash of kinds) {
      const where =
        `--scenario "${scenario.name}" --disk ${kind} --point ${index} --crash ${crash}`;
      const recovery: CrashPoint[] = [];
      const every = plan.recoveryEvery(index, crash);
      const options = { seed: index + 1, ...scenario.options };
      const image = afterCrash(point.image, crash, index);
      await attempt(tally, `${where} (${nameOf(point)})`, async () => {
        await checkRecovery(image, point.expectation, options, (machine) => {
          if (every > 0) record(machine, () => point.expectation, recovery);
        });
      });
      for (const [again, { image, expectation, call }] of recovery.entries()) {
        if (again % every !== 0) continue;
        tally.recoveryPoints += 1;
        await attempt(
          tally,
          `${where}, crashed in recovery (${call?.name} ${call?.path})`,
          () =>
            checkRecovery(
              afterCrash(image, crash, again),
              expectation,
              nextProcess(nextProcess(options)),
            ),
        );
      }
    }
  }
}

async function attempt(tally: Tally, where: string, run: () => Promise<void>): Promise<void> {
  tally.crashes += 1;
  try {
    await run();
  } catch (error) {
    tally.failures.push({ where, error });
  }
}

function nameOf({ call }: CrashPoint): string {
  return call === null ? "end" : `${call.name} ${call.path}`;
}
