/** What a one-file transaction of one client costs as things around it grow. */
import { BenchDaemon } from "../bench_kit/daemon.ts";
import { type Context, fastImport, importedCommit, newRepository } from "../bench_kit/context.ts";
import type { Goal, Section } from "../bench_kit/report.ts";

interface Growth {
  readonly name: string;
  readonly sizes: readonly number[];
  /** Whether the issue bounds it to twice the smallest. */
  readonly bounded: boolean;
  /** Makes a repository (or what else) of that size; answers the daemon to measure. */
  readonly prepare: (context: Context, size: number) => Promise<BenchDaemon>;
}

export async function growth(context: Context): Promise<Section[]> {
  const rows = [];
  const goals: Goal[] = [];
  for (const { name, sizes, bounded, prepare } of growths(context.quick)) {
    let first: number | null = null;
    for (const size of sizes) {
      context.tell(`growth: ${size} ${name}`);
      const daemon = await prepare(context, size);
      try {
        const load = { mode: "one_shot", clients: 1, layer: "measured" } as const;
        await daemon.load({ ...load, seconds: 1 });
        const { p50Ms, p99Ms, perSecond } = await daemon.load({
          ...load,
          seconds: context.seconds,
        });
        first ??= p50Ms;
        rows.push({ name: `${size} ${name}`, values: [perSecond, p50Ms, p99Ms, p50Ms / first] });
        if (bounded && size === sizes.at(-1)) {
          goals.push({
            text: `${size} ${name} over ${sizes[0]}`,
            figure: p50Ms / first,
            atMost: 2,
          });
        }
      } finally {
        await daemon.stop();
      }
    }
  }
  return [{
    title: "Growth",
    note: "One client, one file a transaction, after a second of warming up.",
    columns: ["commits/s", "p50 ms", "p99 ms", "p50 over the smallest"],
    rows,
    goals,
  }];
}

function growths(quick: boolean): Growth[] {
  const to = (large: number) => quick ? [10, Math.min(large, 1_000)] : [10, 1_000, large];
  return [
    { name: "layers", sizes: to(100_000), bounded: true, prepare: withLayers },
    { name: "files in the layer", sizes: to(100_000), bounded: true, prepare: withFiles },
    { name: "commits on the layer", sizes: to(100_000), bounded: false, prepare: withHistory },
    { name: "open transactions", sizes: to(10_000), bounded: true, prepare: withOpen },
    // Each is made by git first, which takes its time.
    {
      name: "repositories",
      sizes: quick ? [10, 100] : [10, 1_000],
      bounded: true,
      prepare: withRepositories,
    },
    {
      name: "transactions in the log's past",
      sizes: to(20_000),
      bounded: false,
      prepare: withPast,
    },
  ];
}

const MEASURED = "refs/layers/measured";

async function served(context: Context, stream: string): Promise<BenchDaemon> {
  const bench = await newRepository(context, "growth");
  await fastImport(bench, stream);
  return await BenchDaemon.start(context, { bench });
}

async function withLayers(context: Context, size: number): Promise<BenchDaemon> {
  const bench = await newRepository(context, "growth");
  await fastImport(bench, importedCommit(MEASURED, 0, [["file.txt", "0"]]));
  const head = new Deno.Command("git", { args: ["-C", bench, "rev-parse", MEASURED] }).outputSync();
  const oid = new TextDecoder().decode(head.stdout).trim();
  // As git pack-refs writes them: 100,000 loose files would measure the file system.
  const refs = Array.from({ length: size }, (_, i) => `refs/layers/many/l${i}`).concat(MEASURED);
  const lines = refs.sort().map((ref) => `${oid} ${ref}\n`).join("");
  const header = "# pack-refs with: peeled fully-peeled sorted \n";
  await Deno.writeTextFile(`${bench}/.git/packed-refs`, header + lines);
  await Deno.remove(`${bench}/.git/${MEASURED}`);
  return await BenchDaemon.start(context, { bench });
}

async function withFiles(context: Context, size: number): Promise<BenchDaemon> {
  const files = Array.from(
    { length: size },
    (_, i) => [`d${i % 100}/f${i}.txt`, `${i}`] as const,
  );
  return await served(context, importedCommit(MEASURED, 0, files));
}

async function withHistory(context: Context, size: number): Promise<BenchDaemon> {
  const commits = Array.from(
    { length: size },
    (_, i) => importedCommit(MEASURED, i, [["other.txt", `${i}`]]),
  );
  return await served(context, commits.join(""));
}

async function withOpen(context: Context, size: number): Promise<BenchDaemon> {
  const daemon = await served(context, importedCommit(MEASURED, 0, [["file.txt", "0"]]));
  for (let opened = 0; opened < size; opened += 100) {
    const some = Array.from({ length: Math.min(100, size - opened) });
    await Promise.all(some.map(() => daemon.client.begin({ lease_ms: 3_600_000 })));
  }
  return daemon;
}

async function withRepositories(context: Context, size: number): Promise<BenchDaemon> {
  const daemon = await served(context, importedCommit(MEASURED, 0, [["file.txt", "0"]]));
  for (let number = 1; number < size; number++) {
    const path = await newRepository(context, "one-of-many");
    await daemon.client.addRepository({ name: `r${number}`, path });
  }
  return daemon;
}

async function withPast(context: Context, size: number): Promise<BenchDaemon> {
  const daemon = await served(context, importedCommit(MEASURED, 0, [["file.txt", "0"]]));
  const lanes = 16;
  for (let lane = 0; lane < lanes; lane++) {
    await daemon.client.begin({
      commit: true,
      operations: [{ op: "create_layer", repository: "bench", layer: `past-${lane}` }],
    });
  }
  const each = async (lane: number) => {
    for (let number = 0; number < size / lanes; number++) {
      const file = { path: "file.txt", content: `${lane} ${number}` };
      const put = { op: "put_file", repository: "bench", layer: `past-${lane}`, ...file } as const;
      await daemon.client.begin({ commit: true, operations: [put] });
    }
  };
  await Promise.all(Array.from({ length: lanes }, (_, lane) => each(lane)));
  return daemon;
}
