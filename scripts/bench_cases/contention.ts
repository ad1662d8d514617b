/** 16 clients that read and write one layer. */
import { BenchDaemon } from "../bench_kit/daemon.ts";
import { type Context, newRepository } from "../bench_kit/context.ts";
import { type Figures, medianOf } from "../bench_kit/figures.ts";
import type { Section } from "../bench_kit/report.ts";

const MODES = [
  ["locking, exclusive from the start", "contention_locking"],
  ["optimistic, again after each conflict", "contention_optimistic"],
] as const;

export async function contention(context: Context): Promise<Section[]> {
  const daemon = await BenchDaemon.start(context, {
    bench: await newRepository(context, "contention"),
  });
  try {
    const file = { repository: "bench", layer: "shared" };
    await daemon.client.begin({
      commit: true,
      operations: [
        { op: "create_layer", ...file },
        { op: "put_file", ...file, path: "file.txt", content: "0" },
      ],
    });
    const rounds = new Map<string, Figures[]>();
    for (let round = 0; round < context.rounds; round++) {
      for (const [name, mode] of MODES) {
        context.tell(`contention, round ${round + 1}: ${name}`);
        const load = { mode, clients: 16, seconds: context.seconds, layer: "shared" };
        rounds.set(name, [...rounds.get(name) ?? [], await daemon.load(load)]);
      }
    }
    return [{
      title: "Contention",
      note: "16 clients on one layer: begin, read, stage, commit, as often as it takes.",
      columns: ["commits/s", "p50 ms", "p99 ms", "refused in a round"],
      rows: [...rounds].map(([name, figures]) => {
        const { perSecond, p50Ms, p99Ms, refused } = medianOf(figures);
        return { name, values: [perSecond, p50Ms, p99Ms, refused ?? 0] };
      }),
      goals: [],
    }];
  } finally {
    await daemon.stop();
  }
}
