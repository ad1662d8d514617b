/** The daemon's memory through very many transactions. */
import { BenchDaemon } from "../bench_kit/daemon.ts";
import { type Context, newRepository } from "../bench_kit/context.ts";
import type { Section } from "../bench_kit/report.ts";

export async function memory(context: Context): Promise<Section[]> {
  const steps = context.quick ? [1_000, 2_000, 4_000] : [20_000, 60_000, 100_000, 150_000, 200_000];
  const daemon = await BenchDaemon.start(context, {
    bench: await newRepository(context, "memory"),
  });
  try {
    const idle = await daemon.residentMiB();
    const rows = [{ name: "idle", values: [idle] }];
    let done = 0;
    for (const step of steps) {
      while (done < step) {
        context.tell(`memory: ${Math.round(done)} of ${steps.at(-1)} transactions`);
        const seconds = context.quick ? 2 : 10;
        const { perSecond } = await daemon.load({ mode: "one_shot", clients: 16, seconds });
        done += perSecond * seconds;
      }
      rows.push({ name: `after ${Math.round(done)}`, values: [await daemon.residentMiB()] });
    }
    const [first, last] = [rows[1]?.values[0] ?? NaN, rows.at(-1)?.values[0] ?? NaN];
    return [{
      title: "Memory",
      note: "Resident memory of the daemon, 16 clients, one file a transaction.",
      columns: ["MiB"],
      rows,
      goals: [
        { text: "idle, MiB", figure: idle, atMost: 120 },
        { text: "last over first", figure: last / first, atMost: 1.1 },
      ],
    }];
  } finally {
    await daemon.stop();
  }
}
