/**
 * The bench: every case in one run, against rivals that do the same durable work, all sides in
 * turn. What it compares and how stands with each case in bench_cases/.
 */
// deno-lint-ignore-file no-console -- a script: its output is for a person
import { parseArgs } from "node:util";
import { join } from "@std/path";
import { contention } from "./bench_cases/contention.ts";
import { growth } from "./bench_cases/growth.ts";
import { large } from "./bench_cases/large.ts";
import { manyRefs } from "./bench_cases/many_refs.ts";
import { memory } from "./bench_cases/memory.ts";
import { oneShot } from "./bench_cases/one_shot.ts";
import { reads } from "./bench_cases/reads.ts";
import { recovery } from "./bench_cases/recovery.ts";
import { shell } from "./bench_cases/shell.ts";
import { twoPhase } from "./bench_cases/two_phase.ts";
import { type Context, run } from "./bench_kit/context.ts";
import { measure } from "./bench_kit/figures.ts";
import { markdownOf, type Section } from "./bench_kit/report.ts";

const CASES: Readonly<Record<string, (context: Context) => Promise<Section[]>>> = {
  one_shot: oneShot,
  many_refs: manyRefs,
  large,
  growth,
  reads,
  recovery,
  contention,
  memory,
  shell,
  two_phase: twoPhase,
};

const { values, positionals } = parseArgs({
  args: Deno.args,
  allowPositionals: true,
  options: {
    case: { type: "string", multiple: true },
    out: { type: "string", default: ".tmp/bench" },
  },
});
const names = values.case ?? Object.keys(CASES);
const wrong = names.find((name) => !(name in CASES)) ??
  positionals.find((word) => word !== "quick");
if (wrong !== undefined) {
  console.error(`bench: ${wrong} is neither 'quick' nor a case: ${Object.keys(CASES).join(", ")}`);
  Deno.exit(64);
}
await bench(positionals.includes("quick"), names, values.out);

async function bench(quick: boolean, names: readonly string[], out: string): Promise<void> {
  const directory = Deno.makeTempDirSync({ prefix: "layerd-bench-" });
  const started = new Date();
  const sections: Section[] = [];
  try {
    const machine = await machineOf(directory);
    const context: Context = {
      directory,
      quick,
      seconds: quick ? 2 : 8,
      rounds: quick ? 2 : 3,
      syncMs: machine.fdatasync_ms,
      tell: (text) => console.error(`bench: ${text}`),
    };
    const text = [`# Bench of ${started.toISOString()}`, "", machineText(machine), ""];
    console.log(text.join("\n"));
    for (const name of names) {
      for (const section of await CASES[name]?.(context) ?? []) {
        sections.push(section);
        text.push(markdownOf(section));
        console.log(markdownOf(section));
      }
    }
    Deno.mkdirSync(out, { recursive: true });
    const document = { started: started.toISOString(), quick, machine, sections };
    await Deno.writeTextFile(join(out, "bench.md"), text.join("\n"));
    await Deno.writeTextFile(join(out, "bench.json"), JSON.stringify(document, null, 2) + "\n");
    console.error(`bench: written to ${join(out, "bench.md")} and bench.json`);
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

async function machineOf(directory: string) {
  const file = Deno.openSync(join(directory, "sync"), { create: true, write: true });
  const bytes = new Uint8Array(512);
  const sync = await measure(1, async () => {
    file.writeSync(bytes);
    await file.syncData();
  });
  file.close();
  const cpu = /^model name\s*: (.*)$/m.exec(await Deno.readTextFile("/proc/cpuinfo"))?.[1];
  return {
    git: await run("git", ["--version"]),
    deno: Deno.version.deno,
    kernel: await run("uname", ["-sr"]),
    cpu: cpu ?? "unknown processor",
    cores: navigator.hardwareConcurrency,
    file_system: await run("stat", ["-f", "-c", "%T", directory]),
    load_before: Deno.loadavg()[0] ?? 0,
    fdatasync_ms: sync.p50Ms,
  };
}

function machineText(machine: Awaited<ReturnType<typeof machineOf>>): string {
  const { git, deno, kernel, cpu, cores, file_system, load_before, fdatasync_ms } = machine;
  return `${git}, Deno ${deno}, ${kernel}, ${cores} cores of ${cpu}, ${file_system}; load before ` +
    `the run ${load_before.toFixed(1)}; fdatasync of 512 appended bytes ${
      fdatasync_ms.toFixed(2)
    } ms.`;
}
