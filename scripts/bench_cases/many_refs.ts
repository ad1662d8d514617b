/** One transaction over N refs that move between commits which exist: both sides write refs only. */
import { BenchDaemon } from "../bench_kit/daemon.ts";
import {
  type Context,
  fastImport,
  importedCommit,
  newRepository,
  run,
} from "../bench_kit/context.ts";
import { median, timed } from "../bench_kit/figures.ts";
import type { Goal, Section } from "../bench_kit/report.ts";

const DURABLE = ["-c", "core.fsync=committed,reference"];
/** Reflogs would be written by both sides alike; layers have none. */
const refOf = (number: number) => `refs/layers/many/r${number}`;

export async function manyRefs(context: Context): Promise<Section[]> {
  const sizes = context.quick ? [1, 10, 100, 1_000] : [1, 10, 100, 1_000, 10_000];
  const rows = [];
  const goals: Goal[] = [];
  for (const size of sizes) {
    context.tell(`${size} refs in one transaction`);
    const { git, layerd } = await oneSize(context, size);
    rows.push({ name: `${size} refs`, values: [git, layerd, layerd / git] });
    if (size === 1_000) goals.push({ text: "1,000 refs", figure: layerd / git, atMost: 0.5 });
    if (size === 10_000) goals.push({ text: "10,000 refs", figure: layerd / git, atMost: 0.25 });
  }
  return [{
    title: "One transaction over N refs",
    note: "`git update-ref --stdin` with core.fsync=committed,reference, one process a " +
      "transaction, beside one one-shot of `update_ref` operations. Medians.",
    columns: ["git ms", "layerd ms", "layerd over git"],
    rows,
    goals,
  }];
}

async function oneSize(context: Context, size: number) {
  const repositories = [await newRepository(context, "refs"), await newRepository(context, "refs")];
  const [native = "", served = ""] = repositories;
  for (const path of repositories) {
    const commits = Array.from({ length: 3 }, (_, i) => importedCommit("refs/heads/line", i, []));
    await fastImport(path, commits.join(""));
  }
  const commits = (await run("git", ["-C", native, "rev-list", "refs/heads/line"])).split("\n");
  const refs = Array.from({ length: size }, (_, i) => refOf(i));
  const daemon = await BenchDaemon.start(context, { bench: served });
  const [git, layerd]: [number[], number[]] = [[], []];
  try {
    const turns = size >= 1_000 ? 4 : 12;
    for (let turn = 0; turn < turns; turn++) {
      const value = commits[turn % commits.length] ?? "";
      const input = refs.map((ref) => `update ${ref} ${value}\n`).join("");
      git.push(
        await timed(() => run("git", ["-C", native, ...DURABLE, "update-ref", "--stdin"], input)),
      );
      const operations = refs.map((ref) =>
        ({ op: "update_ref", repository: "bench", ref, new: value }) as const
      );
      layerd.push(await timed(() => daemon.client.begin({ commit: true, operations })));
    }
  } finally {
    await daemon.stop();
  }
  // The first turn creates what the others move.
  return { git: median(git.slice(1)), layerd: median(layerd.slice(1)) };
}
