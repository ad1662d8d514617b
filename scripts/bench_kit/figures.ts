/** Figures of one measurement, and how several come to one. */

export interface Figures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Refused and tried again (contention). */
  readonly refused?: number;
}

/** From the milliseconds that each piece of work took. */
export function figuresOf(takenMs: readonly number[], elapsedMs: number): Figures {
  const sorted = [...takenMs].sort((one, other) => one - other);
  const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? 0;
  return { perSecond: sorted.length / (elapsedMs / 1_000), p50Ms: at(0.5), p99Ms: at(0.99) };
}

/** Repeats work for a while, one after the other in each lane; lanes run side by side. */
export async function measure(
  seconds: number,
  ...lanes: readonly (() => Promise<void>)[]
): Promise<Figures> {
  const taken: number[] = [];
  const start = performance.now();
  const end = start + seconds * 1_000;
  await Promise.all(lanes.map(async (work) => {
    for (let before = performance.now(); before < end;) {
      await work();
      const now = performance.now();
      taken.push(now - before);
      before = now;
    }
  }));
  return figuresOf(taken, performance.now() - start);
}

/** Of several rounds: the median of each figure. */
export function medianOf(rounds: readonly Figures[]): Figures {
  const of = (figure: (one: Figures) => number) => median(rounds.map(figure));
  const refused = of((one) => one.refused ?? 0);
  return {
    perSecond: of((one) => one.perSecond),
    p50Ms: of((one) => one.p50Ms),
    p99Ms: of((one) => one.p99Ms),
    ...refused > 0 ? { refused } : {},
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1] ?? 0, sorted[Math.floor(middle)] ?? 0];
  return (low + high) / 2;
}

/** Milliseconds that one piece of work takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const before = performance.now();
  await work();
  return performance.now() - before;
}
