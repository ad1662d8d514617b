/** One file in one layer, durable: layerd at several numbers of clients beside its rivals. */
import { BenchDaemon, type Load } from "../bench_kit/daemon.ts";
import { type Context, newRepository } from "../bench_kit/context.ts";
import { type Figures, measure, medianOf } from "../bench_kit/figures.ts";
import type { Goal, Section } from "../bench_kit/report.ts";
import {
  ISOMORPHIC,
  LIBGIT2_DURABLE,
  LONG_LIVED,
  PLUMBING,
  rivals,
  type Side,
} from "../bench_rivals/rivals.ts";

const AT_64 = "layerd, one-shot, 64 clients";
const AT_1 = "layerd, one-shot, 1 client";

export async function oneShot(context: Context): Promise<Section[]> {
  const daemon = await BenchDaemon.start(context, {
    bench: await newRepository(context, "one-shot"),
  });
  try {
    const sides = [...await rivals(context), ...layerdSides(daemon)];
    const rounds = new Map<string, Figures[]>();
    const roundTrips: number[] = [];
    for (let round = 0; round < context.rounds; round++) {
      for (const side of sides) {
        context.tell(`one-shot, round ${round + 1}: ${side.name}`);
        const figures = await side.measure(context.seconds);
        rounds.set(side.name, [...rounds.get(side.name) ?? [], figures]);
      }
      const trip = await measure(1, async () => void await daemon.client.version());
      roundTrips.push(trip.p50Ms);
    }
    const medians = new Map([...rounds].map(([name, figures]) => [name, medianOf(figures)]));
    return [section(medians, context.syncMs, Math.min(...roundTrips))];
  } finally {
    await daemon.stop();
  }
}

function layerdSides(daemon: BenchDaemon): Side[] {
  const side = (mode: Load["mode"], name: string, clients: number): Side => ({
    name: `layerd, ${name}, ${clients} ${clients === 1 ? "client" : "clients"}`,
    measure: (seconds) => daemon.load({ mode, clients, seconds }),
  });
  return [1, 4, 16, 64].flatMap((clients) => [
    side("one_shot", "one-shot", clients),
    side("staged", "begin + stage + commit", clients),
  ]);
}

function section(
  medians: ReadonlyMap<string, Figures>,
  syncMs: number,
  roundTripMs: number,
): Section {
  const plumbing = medians.get(PLUMBING)?.perSecond ?? NaN;
  const best = medians.get(AT_64)?.perSecond ?? NaN;
  const over = (name: string | undefined, atLeast: number): Goal[] => {
    const rival = name === undefined ? undefined : medians.get(name);
    if (rival === undefined) return [];
    return [{ text: `64 clients over ${name}`, figure: best / rival.perSecond, atLeast }];
  };
  return {
    title: "One file in one layer, durable",
    note: "Blob, tree, commit and ref for each; medians of the rounds. fdatasync of 512 bytes: " +
      `${syncMs.toFixed(2)} ms, one HTTP round trip: ${roundTripMs.toFixed(2)} ms.`,
    columns: ["commits/s", "p50 ms", "p99 ms", "times plumbing"],
    rows: [...medians].map(([name, { perSecond, p50Ms, p99Ms }]) => ({
      name,
      values: [perSecond, p50Ms, p99Ms, perSecond / plumbing],
    })),
    goals: [
      ...over(PLUMBING, 45),
      ...over(LIBGIT2_DURABLE, 15),
      ...over(LONG_LIVED, 6),
      ...over(ISOMORPHIC, 7),
      {
        text: "1 client, p50 over fdatasync + round trip",
        figure: (medians.get(AT_1)?.p50Ms ?? NaN) / (syncMs + roundTripMs),
        atMost: 5,
      },
    ],
  };
}
