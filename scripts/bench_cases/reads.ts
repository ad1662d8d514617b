/** Reads of files, trees and views, warm and cold, and from a large pack. */
import { BenchDaemon } from "../bench_kit/daemon.ts";
import { type Context, fastImport, newRepository } from "../bench_kit/context.ts";
import { measure, median, timed } from "../bench_kit/figures.ts";
import type { Row, Section } from "../bench_kit/report.ts";

const repository = "bench";
const LAYERS = 6;
const FILES = 500;

export async function reads(context: Context): Promise<Section[]> {
  const loose = await newRepository(context, "reads");
  const packed = await newRepository(context, "reads");
  const megabytes = context.quick ? 20 : 100;
  await fastImport(packed, largeHistory(megabytes));
  const daemon = await BenchDaemon.start(context, { bench: loose, packed });
  try {
    const operations = Array.from({ length: LAYERS }, (_, number) => [
      { op: "create_layer", repository, layer: `l${number}` } as const,
      ...Array.from({ length: 10 }, (_, file) => ({
        op: "put_file" as const,
        repository,
        layer: `l${number}`,
        path: `f${file}.txt`,
        content: `file ${file} of ${number}`,
      })),
    ]).flat();
    await daemon.client.begin({ commit: true, operations });
    const rows: Row[] = [];
    const warm: number[] = [];
    for (let round = 0; round < context.rounds; round++) {
      context.tell(`reads, round ${round + 1}`);
      const load = { mode: "read", clients: 16, seconds: context.seconds } as const;
      const figures = await daemon.load({ ...load, layer: "l0", path: "f0.txt" });
      warm.push(figures.perSecond);
      if (round === 0) {
        rows.push({
          name: "file, loose, warm, 16 clients",
          values: [figures.perSecond, figures.p50Ms, figures.p99Ms],
        });
      }
    }
    rows.push(
      await single("tree of 10 files, warm, 1 client", context, async () => {
        await daemon.client.tree(repository, "l0");
      }),
    );
    rows.push(...await views(context, daemon));
    const { growthMiB, coldMs, row } = await fromPack(context, daemon);
    rows.push(row);
    return [{
      title: "Reads",
      note:
        `From a pack of ${megabytes} MB: the first read takes ${coldMs.toFixed(0)} ms; memory ` +
        `grows by ${growthMiB.toFixed(0)} MiB over ${FILES} files.`,
      columns: ["reads/s", "p50 ms", "p99 ms"],
      rows,
      goals: [
        { text: "warm file reads a second, 16 clients", figure: median(warm), atLeast: 5_000 },
        { text: "memory growth over the pack, MiB", figure: growthMiB, atMost: 64 },
      ],
    }];
  } finally {
    await daemon.stop();
  }
}

/** A view of all layers, whole and one file of it; cold is the first after a start. */
async function views(context: Context, daemon: BenchDaemon): Promise<Row[]> {
  const layers = Array.from({ length: LAYERS }, (_, number) => `l${number}`);
  await daemon.stop();
  await daemon.start();
  const coldMs = await timed(() => daemon.client.views.view(repository, { layers }));
  const whole = async () => void await daemon.client.views.view(repository, { layers });
  const one = async () =>
    void await daemon.client.views.view(repository, { layers }, { path: "f0.txt" });
  return [
    { name: `view of ${LAYERS} layers, cold`, values: [null, coldMs, null] },
    await single(`view of ${LAYERS} layers, warm, 1 client`, context, whole),
    await single(`one file of that view, warm, 1 client`, context, one),
  ];
}

async function fromPack(context: Context, daemon: BenchDaemon) {
  const before = await daemon.residentMiB();
  const start = performance.now();
  await daemon.client.fileBytes("packed", "big", "f0.bin");
  const coldMs = performance.now() - start;
  let number = 0;
  const row = await single("file of a large pack, each once, 1 client", context, async () => {
    await daemon.client.fileBytes("packed", "big", `f${++number % FILES}.bin`);
  });
  return { growthMiB: await daemon.residentMiB() - before, coldMs, row };
}

async function single(name: string, context: Context, work: () => Promise<void>): Promise<Row> {
  const { perSecond, p50Ms, p99Ms } = await measure(context.seconds, work);
  return { name, values: [perSecond, p50Ms, p99Ms] };
}

/** One commit with so many megabytes that do not compress, as text that fast-import takes. */
function largeHistory(megabytes: number): string {
  const bytes = Math.ceil(megabytes * 1_000_000 / FILES / 0.75);
  const files = Array.from({ length: FILES }, (_, file) => {
    let text = "";
    while (text.length < bytes) {
      text += crypto.getRandomValues(new Uint8Array(48_000)).toBase64();
    }
    return `M 644 inline f${file}.bin\ndata ${bytes}\n${text.slice(0, bytes)}\n`;
  });
  return "commit refs/layers/big\ncommitter bench <bench@localhost> 1700000000 +0000\n" +
    `data 5\nbench\n${files.join("")}\n`;
}
