/** Runs seeds of the random simulation one after the other and keeps count. */
import type { Failure } from "./crash_points.ts";
import { noFigures, simulate, type SimulationFigures } from "./random_simulation.ts";

export interface SeedRun {
  readonly figures: SimulationFigures;
  readonly failures: readonly Failure[];
}

/** `count` seeds from `first` on; what a seed throws is kept with the seed. */
export async function runSeeds(first: number, count: number): Promise<SeedRun> {
  const figures = noFigures();
  const failures: Failure[] = [];
  for (let seed = first; seed < first + count; seed++) {
    try {
      await simulate(seed, figures);
    } catch (error) {
      failures.push({ where: `--seed ${seed}`, error });
    }
  }
  return { figures, failures };
}
