/** One transaction of 10,000 files, and one of a 100 MB file sent as a blob. */
import { BenchDaemon } from "../bench_kit/daemon.ts";
import { type Context, newRepository, run } from "../bench_kit/context.ts";
import { median, timed } from "../bench_kit/figures.ts";
import type { Section } from "../bench_kit/report.ts";

const repository = "bench";
const layer = "large";
const DURABLE = ["-c", "core.fsync=all"];

export async function large(context: Context): Promise<Section[]> {
  const served = await newRepository(context, "large");
  const native = await newRepository(context, "large");
  const daemon = await BenchDaemon.start(context, { bench: served });
  try {
    await daemon.client.begin({
      commit: true,
      operations: [{ op: "create_layer", repository, layer }],
    });
    const files = context.quick ? 1_000 : 10_000;
    const megabytes = context.quick ? 10 : 100;
    const taken = { manyOurs: [], manyGit: [], blobOurs: [], blobGit: [] } as Record<
      "manyOurs" | "manyGit" | "blobOurs" | "blobGit",
      number[]
    >;
    for (let round = 0; round < 3; round++) {
      context.tell(`large transactions, round ${round + 1}`);
      taken.manyOurs.push(await timed(() => manyFiles(daemon, files, round)));
      taken.manyGit.push(await timed(() => manyFilesByGit(native, files, round)));
      const bytes = noise(megabytes * 1_000_000);
      taken.blobOurs.push(await timed(() => oneBlob(daemon, bytes, round)));
      taken.blobGit.push(await timed(() => oneBlobByGit(native, bytes)));
    }
    const row = (name: string, git: number[], ours: number[]) => {
      const [gitMs, oursMs] = [median(git), median(ours)];
      return { name, values: [gitMs, oursMs, oursMs / gitMs] };
    };
    return [{
      title: "Large transactions",
      note: "Beside `git fast-import` of the files, and `git hash-object -w` of the blob alone, " +
        "each with core.fsync=all. Medians of three.",
      columns: ["git ms", "layerd ms", "layerd over git"],
      rows: [
        row(`${files} files in one commit`, taken.manyGit, taken.manyOurs),
        row(`one file of ${megabytes} MB`, taken.blobGit, taken.blobOurs),
      ],
      goals: [],
    }];
  } finally {
    await daemon.stop();
  }
}

async function manyFiles(daemon: BenchDaemon, files: number, round: number): Promise<void> {
  const operations = Array.from({ length: files }, (_, i) => ({
    op: "put_file" as const,
    repository,
    layer,
    path: pathOf(i),
    content: `file ${i} of round ${round}\n`,
  }));
  await daemon.client.begin({ commit: true, operations });
}

async function manyFilesByGit(path: string, files: number, round: number): Promise<void> {
  const changes = Array.from({ length: files }, (_, i) => {
    const content = `file ${i} of round ${round}\n`;
    return `M 644 inline ${pathOf(i)}\ndata ${content.length}\n${content}\n`;
  });
  const from = round === 0 ? "" : "from refs/layers/large^0\n";
  const stream = "commit refs/layers/large\ncommitter bench <bench@localhost> " +
    `${1_700_000_000 + round} +0000\ndata 5\nbench\n${from}${changes.join("")}\n`;
  await run("git", ["-C", path, ...DURABLE, "fast-import", "--quiet"], stream);
}

async function oneBlob(daemon: BenchDaemon, bytes: Uint8Array, round: number): Promise<void> {
  const { client } = daemon;
  const { id } = await client.begin();
  const { oid } = await client.putBlob(id, bytes);
  await client.stage(id, [{ op: "put_file", repository, layer, path: `blob-${round}`, oid }]);
  await client.commit(id);
}

async function oneBlobByGit(path: string, bytes: Uint8Array): Promise<void> {
  const file = `${path}/blob`;
  await Deno.writeFile(file, bytes);
  await run("git", ["-C", path, ...DURABLE, "hash-object", "-w", file]);
}

function pathOf(number: number): string {
  return `d${number % 100}/f${number}.txt`;
}

/** Bytes that do not compress. */
function noise(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) {
    crypto.getRandomValues(bytes.subarray(at, Math.min(at + 65_536, length)));
  }
  return bytes;
}
