/** How long a start takes: with an empty log, and after SIGKILL with a full one. */
import { join } from "@std/path";
import { BenchDaemon } from "../bench_kit/daemon.ts";
import { type Context, newRepository, ROOT, scriptPath } from "../bench_kit/context.ts";
import { median } from "../bench_kit/figures.ts";
import type { Row, Section } from "../bench_kit/report.ts";

export async function recovery(context: Context): Promise<Section[]> {
  const empty: number[] = [];
  for (let start = 0; start < 5; start++) {
    context.tell(`start ${start + 1} with an empty log`);
    const daemon = await BenchDaemon.start(context, {});
    empty.push(daemon.readyMs);
    await daemon.stop();
  }
  const daemon = await BenchDaemon.start(context, {
    bench: await newRepository(context, "recovery"),
  });
  const rows: Row[] = [{ name: "empty log", values: [0, 0, median(empty)] }];
  for (const seconds of [1, context.seconds, context.seconds * 4]) {
    context.tell(`recovery after ${seconds} s of load`);
    const { perSecond } = await daemon.load({ mode: "one_shot", clients: 64, seconds });
    const { bytes_since_checkpoint: bytes } = await daemon.client.wal();
    await daemon.kill();
    await daemon.start();
    rows.push({
      name: `SIGKILL after ${Math.round(perSecond * seconds)} commits`,
      values: [Number(bytes) / 1_000_000, perSecond, daemon.readyMs],
    });
  }
  await daemon.stop();
  const records = context.quick ? 5_000 : 50_000;
  const full = await recoveryOf(context, records);
  rows.push({
    name: `SIGKILL with ${records} records and no checkpoint`,
    values: [null, null, full],
  });
  return [{
    title: "Starting",
    note: "From spawning the launcher to the ready line. A checkpoint is due after 8 MiB of log, " +
      "so that no start meets much more.",
    columns: ["MB since checkpoint", "commits/s before", "ready ms"],
    rows,
    goals: [
      { text: "start with an empty log, ms", figure: median(empty), atMost: 300 },
      { text: `recovery of ${records} records, ms`, figure: full, atMost: 5_000 },
    ],
  }];
}

/** Milliseconds to ready over a log of so many records behind its last checkpoint. */
async function recoveryOf(context: Context, records: number): Promise<number> {
  context.tell(`a log of ${records} records`);
  const daemon = new BenchDaemon(context);
  const repository = await newRepository(context, "full-log");
  const order = JSON.stringify({ stateDirectory: daemon.stateDirectory, repository, records });
  const script = scriptPath("bench_kit", "fill_log.ts");
  const { signal } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", "--config", join(ROOT, "deno.json"), script, order],
  }).spawn().status;
  if (signal !== "SIGKILL") throw new Error("The log was not filled");
  await daemon.start();
  const { readyMs } = daemon;
  await daemon.stop();
  return readyMs;
}
