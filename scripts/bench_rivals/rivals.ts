/** The rivals as sides of a comparison: each a process of its own on a repository of its own. */
import { join } from "@std/path";
import { type Context, newRepository, ROOT, run, scriptPath } from "../bench_kit/context.ts";
import { type Figures, figuresOf } from "../bench_kit/figures.ts";

/** One of several that do the same work in turn. */
export interface Side {
  readonly name: string;
  measure(seconds: number): Promise<Figures>;
}

/** Debian's, which sees Debian's packages. */
const PYTHON = "/usr/bin/python3";

const PYTHON_MODES = [
  ["git hash-object + update-ref, long-lived, durable", "long_lived"],
  ["git fast-import, checkpoint per commit", "fast_import"],
  ["git fast-import in bulk", "fast_import_bulk"],
  ["libgit2 (pygit2), not durable", "pygit2"],
  ["libgit2 (pygit2), core.fsyncObjectFiles", "pygit2_durable"],
] as const;

export const PLUMBING = "git plumbing from a shell script, core.fsync=all";
export const ISOMORPHIC = "isomorphic-git called directly, not durable";
export const [LONG_LIVED, , , , LIBGIT2_DURABLE] = PYTHON_MODES.map(([name]) => name);

/** All rivals that this machine has. */
export async function rivals(context: Context): Promise<Side[]> {
  const isomorphic = ["run", "-q", "-A", "--config", join(ROOT, "deno.json")];
  isomorphic.push(scriptPath("bench_rivals", "isomorphic.ts"));
  const sides = [
    await side(context, PLUMBING, scriptPath("bench_rivals", "plumbing.sh"), []),
    await side(context, ISOMORPHIC, Deno.execPath(), isomorphic),
  ];
  const hasLibgit2 = await run(PYTHON, ["-c", "import pygit2"]).then(() => true, () => false);
  if (!hasLibgit2) context.tell("libgit2 is left out: apt-get install python3-pygit2");
  for (const [name, mode] of PYTHON_MODES) {
    if (mode.startsWith("pygit2") && !hasLibgit2) continue;
    sides.push(
      await side(context, name, PYTHON, [scriptPath("bench_rivals", "rivals.py"), mode]),
    );
  }
  return sides;
}

async function side(
  context: Context,
  name: string,
  program: string,
  args: readonly string[],
): Promise<Side> {
  const repository = await newRepository(context, "rival");
  return {
    name,
    measure: async (seconds) => {
      const output = await run(program, [...args, repository, String(Math.ceil(seconds))]);
      const takenMs = output.split("\n").map((line) => Number(line) / 1_000);
      // What starting the process took is no part of it.
      return figuresOf(takenMs, takenMs.reduce((sum, ms) => sum + ms, 0));
    },
  };
}
