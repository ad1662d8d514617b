/**
 * `merge_layer` beside `git merge-tree --write-tree` on the same commits. What is held of
 * every merge that layerd calls clean:
 *
 * - a file that one side changed is that side's;
 * - one that both changed is what git makes of it; where git conflicts, or aligns repeated
 *   lines in another way, oracles of this test's own must find every key (structured files)
 *   or every line (text) of both sides in it.
 *
 * Where git is clean and layerd is not, that is allowed, and counted.
 */
import { assert, assertEquals } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { parseLayerName } from "../../src/core/ids.ts";
import { objectId } from "../../src/git/object_codec.ts";
import { git, tryGit } from "../harness/git.ts";
import { SeededRandom } from "../harness/random.ts";
import { report, scaled, withSeed } from "../harness/scale.ts";
import {
  app,
  createFrom,
  type EngineScene,
  merge,
  withEngine,
} from "../transactions/engine_scene.ts";
import { type Files, generatedCase, type MergeCase, realCases, writeCases } from "./merge_cases.ts";

const CASES = scaled({ reduced: 110, full: 560 });
const REAL = scaled({ reduced: 10, full: 60 });

Deno.test("merge_layer is never clean where git merge-tree says that data would be lost", () =>
  withSeed((seed) =>
    withEngine(async (scene) => {
      const random = new SeededRandom(seed);
      const cases = [
        ...Array.from({ length: CASES }, () => generatedCase(random)),
        ...await realCases(random, REAL),
      ];
      const path = scene.path("app");
      await writeCases(path, cases);
      const table = new Map<string, number>();
      for (const [index, one] of cases.entries()) {
        const ours = await layerdFiles(scene, index);
        const theirs = await gitFiles(path, index, one);
        const other = ours.kind === "clean" ? judge(one, ours.files, theirs) : [];
        const how = other.length === 0 ? "" : `, ${[...new Set(other)].sort().join(" and ")} held`;
        const row = `${one.kind}: layerd ${ours.kind}, git ${theirs.kind}${how}`;
        table.set(row, (table.get(row) ?? 0) + 1);
      }
      const lines = [...table].sort().map(([row, count]) => `${String(count).padStart(5)}  ${row}`);
      report(`${cases.length} merges, seed ${seed}, 0 silent losses\n  ${lines.join("\n  ")}`);
      assert((table.get("generated: layerd clean, git clean") ?? 0) > 0);
    })
  ));

type Outcome =
  | { readonly kind: "clean"; readonly files: ReadonlyMap<string, string> }
  | { readonly kind: "conflict" };

async function layerdFiles(scene: EngineScene, index: number): Promise<Outcome> {
  const ours = createFrom("case", `refs/cases/${index}/ours`);
  const theirs = await git(scene.path("app"), ["rev-parse", `refs/cases/${index}/theirs`]);
  const id = await scene.openTransaction({ operations: [ours] });
  try {
    await scene.manager.stage(id, [merge("case", theirs)]);
    const point = { repository: app, layer: parseLayerName("case"), transaction: id, at: null };
    const { files } = await scene.reader.tree(point);
    // Merged contents are not in the repository yet: their texts are read inside.
    const texts = await Promise.all(
      files.map(async ({ path, mode }) =>
        [path, `${mode} ${await scene.text("case", path, id)}`] as const
      ),
    );
    return { kind: "clean", files: new Map(texts) };
  } catch (error) {
    if (error instanceof LayerdError && error.code === "merge_conflict") {
      return { kind: "conflict" };
    }
    throw error;
  } finally {
    await scene.manager.rollback(id);
  }
}

async function gitFiles(path: string, index: number, one: MergeCase): Promise<Outcome> {
  const unrelated = one.base === null ? ["--allow-unrelated-histories"] : [];
  const { code, stdout } = await tryGit(path, [
    "-c",
    "merge.renames=false",
    "-c",
    "merge.directoryRenames=false",
    "merge-tree",
    "--write-tree",
    ...unrelated,
    `refs/cases/${index}/ours`,
    `refs/cases/${index}/theirs`,
  ]);
  if (code !== 0) return { kind: "conflict" };
  const files = new Map<string, string>();
  for (const line of (await git(path, ["ls-tree", "-r", stdout.trim()])).split("\n")) {
    const [, mode, oid, name] = /^(\d+) blob (\w+)\t(.*)$/.exec(line) ?? [];
    if (mode === undefined || oid === undefined || name === undefined) continue;
    files.set(name, `${mode} ${oid}`);
  }
  return { kind: "clean", files };
}

/** A file with its mode, as git names it. */
function named(file: string | null): string | undefined {
  if (file === null) return undefined;
  const [mode = ""] = file.split(" ", 1);
  return `${mode} ${objectId("blob", new TextEncoder().encode(file.slice(mode.length + 1)))}`;
}

/** Holds a clean merge to git's and to the oracles; answers which oracles were asked. */
function judge(
  { base, ours, theirs }: MergeCase,
  files: ReadonlyMap<string, string>,
  gits: Outcome,
): string[] {
  const asked: string[] = [];
  const paths = new Set([...ours.keys(), ...theirs.keys(), ...files.keys()]);
  if (gits.kind === "clean") { for (const name of gits.files.keys()) paths.add(name); }
  for (const name of paths) {
    const result = files.get(name) ?? null;
    const [was, mine, yours] = [base, ours, theirs].map((side) => shown(side, name));
    // What only one side changed is that side's, whatever git says.
    if (same(was, mine)) assertEquals(result, yours ?? null, name);
    else if (same(was, yours) || same(mine, yours)) assertEquals(result, mine ?? null, name);
    else if (gits.kind === "clean" && named(result) === gits.files.get(name)) continue;
    else {
      const [b, o, t, r] = [was, mine, yours, result].map(text);
      assert(o !== undefined && t !== undefined && r !== undefined, name);
      const keys = name.endsWith(".json");
      asked.push(keys ? "keys" : "lines");
      if (keys) requireKeys(name, b ?? "{}", o, t, r);
      else requireLines(name, b ?? "", o, t, r);
    }
  }
  return asked;
}

function shown(files: Files | null, name: string): string | null {
  const file = files?.get(name);
  return file === undefined ? null : `${file.mode} ${file.text}`;
}

function text(file: string | null | undefined): string | undefined {
  return file?.slice("100644 ".length);
}

function same(one: string | null | undefined, other: string | null | undefined): boolean {
  return (one ?? null) === (other ?? null);
}

/** Each line is there as often as both sides' changes together say. */
function requireLines(
  name: string,
  was: string,
  mine: string,
  yours: string,
  result: string,
): void {
  const [b, o, t, r] = [was, mine, yours, result].map((one) =>
    Map.groupBy(one.split(/(?<=\n)/), (line) => line)
  );
  assert(b && o && t && r);
  for (const line of [b, o, t, r].flatMap((side) => [...side.keys()])) {
    const [before, one, other, now] = [b, o, t, r].map((side) => side.get(line)?.length ?? 0);
    assert(before !== undefined && one !== undefined && other !== undefined && now !== undefined);
    const [mineBy, yoursBy] = [one - before, other - before];
    // The same change of both sides counts once.
    const both = mineBy * yoursBy > 0 ? Math.min(Math.abs(mineBy), Math.abs(yoursBy)) : 0;
    const far = before + mineBy + yoursBy;
    const near = far - Math.sign(mineBy) * both;
    assert(
      Math.min(near, far) <= now && now <= Math.max(near, far),
      `${name}: ${JSON.stringify(line)} ${before} became ${one} and ${other}, merged ${now}`,
    );
  }
}

/** Every leaf of parsed JSON is what the one side that changed it made of it. */
function requireKeys(name: string, was: string, mine: string, yours: string, result: string): void {
  const [b, o, t, r] = [was, mine, yours, result].map((one) => leaves(JSON.parse(one)));
  assert(b && o && t && r);
  for (const key of new Set([b, o, t, r].flatMap((side) => [...side.keys()]))) {
    const [before, one, other, now] = [b, o, t, r].map((side) => side.get(key) ?? "absent");
    const wanted = one === before ? other : one;
    assertEquals(now, wanted, `${name} ${key}: ${before} became ${one} and ${other}`);
    assert(one === before || other === before || one === other, `${name} ${key} was in conflict`);
  }
}

function leaves(value: unknown, path = ""): Map<string, string> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return new Map([[path, JSON.stringify(value)]]);
  }
  const found = new Map<string, string>();
  for (const [key, member] of Object.entries(value)) {
    for (const [at, leaf] of leaves(member, `${path}/${key}`)) found.set(at, leaf);
  }
  return found;
}
