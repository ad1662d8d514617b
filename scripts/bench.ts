/**
 * One file in one layer, durable, one-shot: layerd at several numbers of clients beside what
 * people use today. Sides are measured in turn, twice, and the better of each is taken: the
 * machine is shared, and noise only ever makes a side slower. Every side forces its work to
 * disk. Further cases belong to the speed work.
 */
// deno-lint-ignore-file no-console -- a script: its output is for a person
import { dirname, join } from "@std/path";
import { fileURLToPath } from "node:url";
import { type Figures, measure } from "./bench_measure.ts";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const CLIENTS = [1, 4, 16, 64];
const ROUNDS = 2;

const seconds = Number(Deno.args[0] ?? "4");
if (!(seconds > 0)) {
  console.error(`bench: SECONDS must be a positive number, not ${Deno.args[0]}`);
  Deno.exit(64);
}
const directory = Deno.makeTempDirSync({ prefix: "layerd-bench-" });
try {
  await bench();
} finally {
  Deno.removeSync(directory, { recursive: true });
}

async function bench(): Promise<void> {
  console.log(
    `${await version("git", "--version")}, Deno ${Deno.version.deno}, ` +
      `${navigator.hardwareConcurrency} cores, ${seconds} s a measurement`,
  );
  const sync = await measure(seconds / 2, syncOnce(join(directory, "sync")));
  console.log(`fdatasync of 512 appended bytes: ${sync.p50Ms.toFixed(2)} ms (median)\n`);
  const best = new Map<string, Figures>();
  const keep = (name: string, figures: Figures) => {
    const known = best.get(name);
    if (!known || figures.perSecond > known.perSecond) best.set(name, figures);
  };
  for (let round = 0; round < ROUNDS; round++) {
    keep("git plumbing from a script, durable", await plumbing());
    for (const clients of CLIENTS) {
      const name = `layerd, ${clients} ${clients === 1 ? "client" : "clients"}`;
      keep(name, await layerd(clients));
    }
  }
  printTable(best);
}

function printTable(best: ReadonlyMap<string, Figures>): void {
  const [rival] = best.values();
  console.log("| side | commits a second | p50 ms | p99 ms | ratio |");
  console.log("| --- | ---: | ---: | ---: | ---: |");
  for (const [name, { perSecond, p50Ms, p99Ms }] of best) {
    const ratio = perSecond / (rival?.perSecond ?? perSecond);
    console.log(
      `| ${name} | ${perSecond.toFixed(0)} | ${p50Ms.toFixed(2)} | ` +
        `${p99Ms.toFixed(2)} | ${ratio.toFixed(1)} |`,
    );
  }
}

/** Blob, tree, commit and ref by one git process each, as a shell script would. */
async function plumbing(): Promise<Figures> {
  const repository = await newRepository("plumbing");
  let number = 0;
  let parent: string | null = null;
  const git = async (args: string[], input = "") => {
    const child = new Deno.Command("git", {
      args: ["-C", repository, "-c", "core.fsync=all", ...args],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(input));
    await writer.close();
    const { success, stdout } = await child.output();
    if (!success) throw new Error(`git ${args[0]} failed`);
    return new TextDecoder().decode(stdout).trim();
  };
  return await measure(seconds, async () => {
    const blob = await git(["hash-object", "-w", "--stdin"], `value ${number++}`);
    const tree = await git(["mktree"], `100644 blob ${blob}\tfile.txt\n`);
    const parents: string[] = parent === null ? [] : ["-p", parent];
    const commit: string = await git(["commit-tree", "-m", "bench", ...parents, tree]);
    await git(["update-ref", "refs/layers/bench", commit]);
    parent = commit;
  });
}

/** A daemon process, and the load from another one. */
async function layerd(clients: number): Promise<Figures> {
  const repository = await newRepository(`layerd-${clients}`);
  const run = Deno.makeTempDirSync({ dir: directory });
  Deno.chmodSync(run, 0o700);
  const socket = join(run, "s.sock");
  const daemon = new Deno.Command(join(ROOT, "scripts/layerd"), {
    args: ["serve", "--socket", socket, "--state-dir", join(run, "state")].concat([
      "--repository",
      `bench=${repository}`,
    ]),
    stdout: "piped",
    stderr: "null",
  }).spawn();
  try {
    await daemon.stdout.getReader().read();
    const load = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "-A", "--config", join(ROOT, "deno.json")].concat([
        join(ROOT, "scripts/bench_load.ts"),
        socket,
        String(clients),
        String(seconds),
      ]),
      stderr: "inherit",
    }).output();
    if (!load.success) throw new Error("The load generator failed");
    return JSON.parse(new TextDecoder().decode(load.stdout));
  } finally {
    daemon.kill("SIGTERM");
    await daemon.status;
  }
}

async function newRepository(name: string): Promise<string> {
  const path = Deno.makeTempDirSync({ dir: directory, prefix: name });
  await new Deno.Command("git", { args: ["init", "-q", path] }).output();
  for (const [key, value] of [["user.name", "bench"], ["user.email", "bench@localhost"]] as const) {
    await new Deno.Command("git", { args: ["-C", path, "config", key, value] }).output();
  }
  return path;
}

function syncOnce(path: string): () => Promise<void> {
  const file = Deno.openSync(path, { create: true, write: true });
  const bytes = new Uint8Array(512);
  return async () => {
    file.writeSync(bytes);
    await file.syncData();
  };
}

async function version(program: string, flag: string): Promise<string> {
  const { stdout } = await new Deno.Command(program, { args: [flag] }).output();
  return new TextDecoder().decode(stdout).trim();
}
