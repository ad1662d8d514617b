/**
 * How much the long checks do. `scripts/test` runs the reduced counts, `scripts/soak` the
 * full ones by `LAYERD_SCALE=full`; `LAYERD_SEED` replays a run.
 */

/** The count for this run. */
export function scaled(counts: { readonly reduced: number; readonly full: number }): number {
  return isFullScale() ? counts.full : counts.reduced;
}

export function isFullScale(): boolean {
  return Deno.env.get("LAYERD_SCALE") === "full";
}

/** The seed of this run: given, or fresh. */
export function seedOfRun(): number {
  const given = Deno.env.get("LAYERD_SEED");
  if (given === undefined || given === "") {
    return crypto.getRandomValues(new Uint32Array(1))[0] ?? 1;
  }
  const seed = Number(given);
  if (!Number.isSafeInteger(seed)) throw new Error(`LAYERD_SEED must be an integer, not ${given}`);
  return seed;
}

/** Runs a check with a seed; a failure says how to replay it. */
export async function withSeed(check: (seed: number) => Promise<void>): Promise<void> {
  const seed = seedOfRun();
  try {
    await check(seed);
  } catch (error) {
    const scale = Deno.env.get("LAYERD_SCALE") ?? "reduced";
    report(`failed with seed ${seed}; replay with LAYERD_SEED=${seed} LAYERD_SCALE=${scale}`);
    throw error;
  }
}

/** A line of figures for whoever reads the run; standard error, so that piping keeps data clean. */
export function report(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`  ${line}\n`));
}
