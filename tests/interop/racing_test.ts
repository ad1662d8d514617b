/**
 * Native writers at every step of a commit: the engine over a file system that, before its
 * n-th change under the repository, lets one native command run to its end. Whatever the step,
 * one of the two wins and the other is told.
 *
 *   compare-and-swap writers  (update-ref, update-ref -d, a long-lived update-ref --stdin)
 *                             exactly one wins
 *   writers without a compare (branch -D, fetch --prune) win where they succeed; a commit that
 *                             was published before them has won, too, and is in the log
 *   pack-refs                 takes nothing from either
 */
import { assert, assertEquals } from "@std/assert";
import { parseObjectId, parseRefName, parseRepositoryName } from "../../src/core/ids.ts";
import type { Operation } from "../../src/core/operations.ts";
import { LayerdError } from "../../src/core/errors.ts";
import { git, GIT_ENVIRONMENT } from "../harness/git.ts";
import { SeededRandom } from "../harness/random.ts";
import {
  assertFsckClean,
  assertNothingLeftBehind,
  makeCommit,
  readRef,
} from "../harness/repositories.ts";
import { isFullScale, report, withSeed } from "../harness/scale.ts";
import { InterruptedFileSystem } from "./interrupted_file_system.ts";
import { LongLivedWriter } from "./long_lived_writer.ts";
import { engineOver } from "./raced_engine.ts";

/** Native git that gives up at once: the engine stands still while it runs. */
const IMPATIENT = ["-c", "core.packedRefsTimeout=0", "-c", "core.filesRefLockTimeout=0"];
const REF = parseRefName("refs/heads/raced");
/** A reduced run tries every so-many-th step of each writer. */
const STRIDE = isFullScale() ? 1 : 7;

interface Values {
  readonly old: string;
  readonly ours: string;
  readonly theirs: string;
}

interface Writer {
  readonly name: string;
  readonly kind: "compares" | "overrides" | "packs";
  /** What the ref holds where it wins. */
  wins(values: Values): string | null;
  /** Prepares a run; what is answered acts, synchronously, and says whether it succeeded. */
  start(path: string, values: Values): Promise<() => boolean>;
}

function plain(args: (values: Values) => string[]): Writer["start"] {
  return (path, values) =>
    Promise.resolve(() =>
      new Deno.Command("git", {
        args: ["-C", path, ...IMPATIENT, ...args(values)],
        env: { ...GIT_ENVIRONMENT },
        stdin: "null",
        stdout: "null",
        stderr: "null",
      }).outputSync().success
    );
}

const WRITERS: readonly Writer[] = [
  {
    name: "update-ref",
    kind: "compares",
    wins: ({ theirs }) => theirs,
    start: plain(({ old, theirs }) => ["update-ref", REF, theirs, old]),
  },
  {
    name: "update-ref -d",
    kind: "compares",
    wins: () => null,
    start: plain(({ old }) => ["update-ref", "-d", REF, old]),
  },
  {
    name: "a long-lived update-ref --stdin",
    kind: "compares",
    wins: ({ theirs }) => theirs,
    start: async (path, { old, theirs }) => {
      const writer = await LongLivedWriter.start(path, IMPATIENT, `update ${REF} ${theirs} ${old}`);
      return () => writer.commit();
    },
  },
  {
    name: "branch -D",
    kind: "overrides",
    wins: () => null,
    start: plain(() => ["branch", "-q", "-D", "raced"]),
  },
  {
    name: "fetch --prune",
    kind: "overrides",
    wins: () => null,
    start: plain(() => ["fetch", "-q", "--prune", "empty", "+refs/heads/rac*:refs/heads/rac*"]),
  },
  {
    name: "pack-refs",
    kind: "packs",
    wins: ({ ours }) => ours,
    start: plain(() => ["pack-refs", "--all"]),
  },
];

for (const writer of WRITERS) {
  Deno.test(`${writer.name} at every step of a commit: one wins, the other is told`, async () => {
    await withSeed(async (seed) => {
      const fileSystem = new InterruptedFileSystem();
      await using engine = await engineOver(fileSystem);
      const { path } = engine;
      await Deno.mkdir(`${path}.empty`);
      await git(`${path}.empty`, ["init", "-q", "--bare"]);
      await git(path, ["remote", "add", "empty", `${path}.empty`]);
      const counts = { ours: 0, native: 0, both: 0, steps: 0 };
      const first = 1 + (STRIDE === 1 ? 0 : new SeededRandom(seed).integer(0, STRIDE - 1));
      for (const state of ["loose", "packed"] as const) {
        for (let step = first;; step += STRIDE) {
          const reached = await race({ engine, fileSystem, writer, state, step, counts });
          if (!reached) break;
        }
      }
      await assertNothingLeftBehind(`${path}/.git`);
      await assertFsckClean(path);
      report(`racing ${writer.name}: seed ${seed}, ${JSON.stringify(counts)}`);
      assert(counts.steps >= (isFullScale() ? 20 : 3), `only ${counts.steps} steps`);
    });
  });
}

interface Race {
  readonly engine: Awaited<ReturnType<typeof engineOver>>;
  readonly fileSystem: InterruptedFileSystem;
  readonly writer: Writer;
  readonly state: "loose" | "packed";
  readonly step: number;
  readonly counts: { ours: number; native: number; both: number; steps: number };
}

/** One commit with the writer before its change number `step`; false where it has fewer. */
async function race({ engine, fileSystem, writer, state, step, counts }: Race): Promise<boolean> {
  const { path } = engine;
  const main = await git(path, ["rev-parse", "main"]);
  const values = {
    old: await makeCommit(path, main, `old ${state} ${step}`),
    ours: await makeCommit(path, main, `ours ${state} ${step}`),
    theirs: await makeCommit(path, main, `theirs ${state} ${step}`),
  };
  await git(path, ["update-ref", REF, values.old]);
  if (state === "packed") await git(path, ["pack-refs", "--all"]);
  const act = await writer.start(path, values);
  let native: boolean | null = null;
  fileSystem.interrupt(`${path}/.git`, step, () => native = act());
  const ours = await outcome(() => engine.run(moveTo(values.ours)));
  const reached = fileSystem.disarm();
  if (!reached) native = act();
  const context = `${writer.name}, ${state}, before change ${step}: ours ${ours}, native ${native}`;
  const now = await readRef(path, REF);
  if (native === null) throw new Error(`The writer did not run: ${context}`);
  judge(writer, values, ours, native, now, context);
  counts.steps += 1;
  if (ours === "committed" && native) counts.both += 1;
  else if (native) counts.native += 1;
  else counts.ours += 1;
  return reached;
}

function judge(
  writer: Writer,
  values: Values,
  ours: string,
  native: boolean,
  now: string | null,
  context: string,
): void {
  if (writer.kind === "packs") {
    assertEquals([ours, now], ["committed", values.ours], context);
  } else if (writer.kind === "compares") {
    assertEquals(native, ours !== "committed", context);
    assertEquals(now, native ? writer.wins(values) : values.ours, context);
  } else {
    // Between our two locks git removes the packed entry and then reports an error: it won.
    const took = now === writer.wins(values);
    if (!took) assertEquals([now, ours, native], [values.ours, "committed", false], context);
    else assert(native || ours !== "committed", context);
  }
  if (ours !== "committed") assertEquals(ours, "write_conflict", context);
}

function moveTo(oid: string): Operation {
  const repository = parseRepositoryName("app");
  return { op: "update_ref", repository, ref: REF, new: parseObjectId(oid) };
}

/** `committed`, or the code of the refusal. */
async function outcome(work: () => Promise<{ readonly state: string }>): Promise<string> {
  try {
    return (await work()).state;
  } catch (error) {
    if (error instanceof LayerdError) return error.code;
    throw error;
  }
}
