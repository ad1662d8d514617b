/**
 * Kills {daemon, PostgreSQL, service} before and after each message and each log record of
 * two-phase commit, and starts them again: all sides agree, nothing stays prepared, no ref
 * lock remains. A reduced run takes cells from all over the matrix.
 */
import { SeededRandom } from "../harness/random.ts";
import { isFullScale, report, withSeed } from "../harness/scale.ts";
import type { Scene } from "../harness/scene.ts";
import type { PostgresServer } from "../participants/postgres.ts";
import { allCells, type Cell } from "./matrix_cells.ts";
import { MatrixStage } from "./matrix_stage.ts";

const REDUCED = 4;

export async function playMatrix(scene: Scene, postgres: PostgresServer): Promise<void> {
  const stage = await MatrixStage.make(scene, postgres);
  try {
    await withSeed(async (seed) => {
      const cells = chosen(seed);
      for (const cell of cells) await stage.play(cell);
      await stage.assertClean();
      report(`kill matrix: ${cells.length} of ${allCells().length} cells, seed ${seed}`);
    });
  } finally {
    await stage.close();
  }
}

/** All, or so many evenly spread over the matrix, from another start each run. */
function chosen(seed: number): Cell[] {
  const all = allCells();
  if (isFullScale()) return all;
  const offset = new SeededRandom(seed).integer(0, all.length - 1);
  return Array.from(
    { length: REDUCED },
    (_, n) => all[(offset + Math.floor((n * all.length) / REDUCED)) % all.length],
  ).filter((cell) => cell !== undefined);
}
