/**
 * Shows that the simulation would notice: breaks the daemon in five agreed places, each in a
 * copy of the tree, and runs the simulation's tests there until one goes red; where none does,
 * further seeds, as the long simulation would. A mutation that survives makes this script fail,
 * and so does one whose place in the code is gone.
 *
 *   deno task mutations
 */
// deno-lint-ignore-file no-console -- a script: its output is for a person
import { fileURLToPath } from "node:url";

interface Edit {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

interface Mutation {
  readonly name: string;
  readonly edits: readonly Edit[];
}

const GROUP = "src/transactions/commit_group.ts";
const PUBLICATION = "src/git/publication.ts";
const LETTING_GO = `    for (const member of this.#members) {
      for (const part of member.request.parts) this.#admission.releasePart(member, part);
    }
    for (const lane of this.#lanes.values()) lane.repository.publisher.unlockPackedRefs();
    await this.#parts.clock.sleep(1);
`;

const MUTATIONS: readonly Mutation[] = [
  {
    name: "skip the log force",
    edits: [{
      file: "src/wal/segmented_log.ts",
      from: "for (const run of runs) await run.segment.syncData();",
      to: "await Promise.resolve(runs);",
    }],
  },
  {
    name: "publish before the log force",
    edits: [
      {
        file: GROUP,
        from: "    let lsns: readonly Lsn[];\n    try {\n      lsns = await this.#decide(",
        to: "    let early = new Map<RepositoryId, LayerdError>();\n" +
          "    let lsns: readonly Lsn[];\n    try {\n" +
          "      early = await this.#publish();\n      lsns = await this.#decide(",
      },
      { file: GROUP, from: "const stalled = await this.#publish();", to: "const stalled = early;" },
    ],
  },
  {
    name: "apply without comparing",
    edits: [{
      file: "src/transactions/lane.ts",
      from: "if (actual !== expected) conflicts.push(",
      to: "if (actual === undefined) conflicts.push(",
    }],
  },
  {
    name: "drop the directory's fsync after the rename",
    edits: [{
      file: PUBLICATION,
      from: "    await this.#parts.fileSystem.syncDirectory(this.#parts.commonDir);\n" +
        "    if (this.#note",
      to: "    if (this.#note",
    }],
  },
  {
    name: "release the locks before the publication",
    edits: [
      {
        file: GROUP,
        from: "    const stalled = await this.#publish();\n",
        to: `${LETTING_GO}    const stalled = await this.#publish();\n`,
      },
      {
        file: PUBLICATION,
        from: "    try {\n      requireLocks(this.#parts, this.#refs);\n",
        to: "    try {\n",
      },
    ],
  },
];

const root = fileURLToPath(new URL("..", import.meta.url));
const COPIED = ["src", "tests", "scripts", "deno.json", "deno.lock"];
const TESTS = ["tests/sim/crash_points_test.ts", "tests/sim/random_simulation_test.ts"];
/** Behind those of the tests. */
const FURTHER_SEEDS = ["--seed", "201", "--seeds", "1000"];

/** Runs the simulation's tests over a copy with the edits; whether one of them failed. */
async function goesRed(edits: readonly Edit[]): Promise<string | null> {
  const directory = await Deno.makeTempDir({ prefix: "layerd-mutation-" });
  try {
    await run("cp", ["-r", ...COPIED.map((name) => `${root}/${name}`), directory]);
    for (const { file, from, to } of edits) {
      const text = await Deno.readTextFile(`${directory}/${file}`);
      if (text.split(from).length !== 2) {
        throw new Error(`${file} holds the place of the mutation not once: ${from}`);
      }
      await Deno.writeTextFile(`${directory}/${file}`, text.replace(from, () => to));
    }
    for (
      const args of [
        ["test", "-A", "--no-check", "--fail-fast", ...TESTS],
        ["run", "-A", "--no-check", "scripts/sim.ts", ...FURTHER_SEEDS],
      ]
    ) {
      const { code, output } = await run(Deno.execPath(), args, directory);
      if (code === 0) continue;
      return /(?:Violation|Damage|LayerdError): .*/.exec(output)?.[0] ?? "red";
    }
    return null;
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function run(command: string, args: readonly string[], cwd = root) {
  const { code, stdout, stderr } = await new Deno.Command(command, {
    args: [...args],
    cwd,
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code, output: decoder.decode(stdout) + decoder.decode(stderr) };
}

let survived = 0;
for (const { name, edits } of MUTATIONS) {
  const failure = await goesRed(edits);
  if (failure === null) survived += 1;
  console.log(`${failure === null ? "SURVIVED" : "found"}  ${name}`);
  if (failure !== null) console.log(`       ${failure.slice(0, 160)}`);
}
console.log(`${MUTATIONS.length - survived} of ${MUTATIONS.length} mutations found`);
Deno.exit(survived === 0 ? 0 : 1);
