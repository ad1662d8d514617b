/**
 * SIGKILL while a view is written, at random moments: the directory is wholly one view or
 * wholly the other, the next run goes on, and nothing of the killed one is left.
 */
import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { SeededRandom } from "../harness/random.ts";
import { report, scaled, withSeed } from "../harness/scale.ts";

const KILLS = scaled({ reduced: 15, full: 100 });
const CHILD = fileURLToPath(new URL("../views/materialize_child.ts", import.meta.url));

Deno.test("materialize killed at any moment leaves one whole view", () =>
  withSeed(async (seed) => {
    const random = new SeededRandom(seed);
    const directory = await Deno.makeTempDir({ prefix: "layerd-killed-" });
    const target = `${directory}/config`;
    const found = { views: new Set<string>(), unfinished: 0 };
    try {
      for (let kill = 0; kill < KILLS; kill += 1) {
        await killedRun(target, kill, random.uniform() * 40);
        found.views.add(await wholeView(target));
        const names = [...Deno.readDirSync(`${directory}/.config.layerd`)].map(({ name }) => name);
        if (names.some((name) => name.endsWith(".tmp") || name === "next")) found.unfinished += 1;
      }
      report(
        `${KILLS} kills, ${found.unfinished} of them in the middle of a write, seed ${seed}: ` +
          "always one whole view",
      );
      assertEquals([...found.views].sort(), ["0", "1"]);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  }));

/** Starts the writer, lets it write at least twice, and kills it `delayMs` later. */
async function killedRun(target: string, turn: number, delayMs: number): Promise<void> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--quiet", CHILD, target, String(turn)],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  while ((said.match(/\n/g) ?? []).length < 2) {
    const { value, done } = await reader.read();
    assert(!done, `The writer ended: ${said}`);
    said += value;
  }
  assert(!/refused|edited/.test(said), said);
  await new Promise((resolve) => setTimeout(resolve, delayMs));
  child.kill("SIGKILL");
  await child.status;
  await reader.cancel();
}

/** The view that the directory holds, every file of it and no other. */
async function wholeView(target: string): Promise<string> {
  const files = new Map<string, string>();
  for (const directory of ["d0", "d1", "d2"]) {
    for await (const { name } of Deno.readDir(`${target}/${directory}`)) {
      files.set(name, await Deno.readTextFile(`${target}/${directory}/${name}`));
    }
  }
  const views = new Set([...files.values()].flatMap((text) => /^view (\d)/.exec(text)?.[1] ?? []));
  assertEquals(views.size, 1, [...files.values()].join("; "));
  const [view = ""] = views;
  const wanted = Array.from({ length: 20 }, (_, n) => n).filter((n) => view === "1" || n % 5 !== 0);
  assertEquals([...files.keys()].sort(), wanted.map((n) => `f${n}`).sort());
  return view;
}
