/** Repeats work for a while and says how long it took. */

export interface Figures {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** One after the other in each lane; lanes run side by side. */
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
  const elapsed = (performance.now() - start) / 1_000;
  taken.sort((one, other) => one - other);
  const at = (share: number) => taken[Math.floor(taken.length * share)] ?? 0;
  return { perSecond: taken.length / elapsed, p50Ms: at(0.5), p99Ms: at(0.99) };
}
