/**
 * Merges to put before layerd and git: made up from a seed, and real ones out of this
 * project's own history. All are written by one `git fast-import`, as three commits each.
 */
import { fileURLToPath } from "node:url";
import { git, tryGit } from "../harness/git.ts";
import type { SeededRandom } from "../harness/random.ts";

const PROJECT = fileURLToPath(new URL("../..", import.meta.url));

/** Files of one commit: content and mode by path. */
export type Files = ReadonlyMap<string, { readonly text: string; readonly mode: string }>;

export interface MergeCase {
  readonly kind: "generated" | "real";
  readonly base: Files | null;
  readonly ours: Files;
  readonly theirs: Files;
}

const NAMES = ["a.txt", "b.txt", "d/c.txt", "d/e/f.txt", "s.json", "d/t.json", "bin", "d"];
const WORDS = ["one", "two", "three", "", "x", "alpha", "beta", "  indented", "}", "{"];

/** A merge made up of a few files and a few edits on each side. */
export function generatedCase(random: SeededRandom): MergeCase {
  const base = new Map<string, { text: string; mode: string }>();
  for (const name of NAMES) {
    if (random.chance(0.6) && fits(base, name)) base.set(name, fresh(random, name));
  }
  return {
    kind: "generated",
    base: random.chance(0.1) ? null : base,
    ours: changed(random, base),
    theirs: changed(random, base),
  };
}

/** No file lies below another file. */
function fits(files: Files, path: string): boolean {
  return ![...files.keys()].some((other) =>
    other !== path && (other.startsWith(`${path}/`) || path.startsWith(`${other}/`))
  );
}

function fresh(random: SeededRandom, name: string): { text: string; mode: string } {
  const mode = random.chance(0.1) ? "100755" : "100644";
  if (name === "bin") return { text: `\0${random.integer(1, 3)}`, mode };
  if (!name.endsWith(".json")) {
    const lines = Array.from({ length: random.integer(0, 14) }, () => random.pick(WORDS));
    return { text: lines.join("\n") + (random.chance(0.8) ? "\n" : ""), mode };
  }
  const value: Record<string, unknown> = {};
  for (const key of random.sample(["a", "b", "c", "d", "e"], random.integer(1, 5))) {
    value[key] = random.chance(0.3) ? { x: 1, y: 2 } : random.integer(1, 3);
  }
  return { text: JSON.stringify(value, null, 2) + "\n", mode };
}

function changed(random: SeededRandom, base: Files): Files {
  const files = new Map(base);
  for (const name of NAMES) {
    const file = files.get(name);
    if (file === undefined) {
      if (random.chance(0.1) && fits(files, name)) files.set(name, fresh(random, name));
    } else if (random.chance(0.08)) files.delete(name);
    else if (random.chance(0.05)) files.set(name, { ...file, mode: "100755" });
    else if (random.chance(0.5)) {
      files.set(name, { ...file, text: edited(random, name, file.text) });
    }
  }
  return files;
}

function edited(random: SeededRandom, name: string, text: string): string {
  if (name === "bin") return `\0${random.integer(1, 3)}`;
  if (name.endsWith(".json")) {
    const value: Record<string, unknown> = JSON.parse(text);
    const key = random.pick(["a", "b", "c", "d", "e", "f"]);
    if (random.chance(0.2)) delete value[key];
    else value[key] = random.chance(0.3) ? { x: random.integer(1, 3), z: 1 } : random.integer(1, 9);
    return JSON.stringify(value, null, 2) + "\n";
  }
  const lines = text.split("\n");
  for (let edits = random.integer(1, 2); edits > 0; edits -= 1) {
    const at = random.integer(0, lines.length);
    lines.splice(at, random.integer(0, 2), ...random.sample(WORDS, random.integer(0, 2)));
  }
  return lines.join("\n");
}

/** Cherry-picks out of the project's history: what a commit did, onto another commit. */
export async function realCases(random: SeededRandom, count: number): Promise<MergeCase[]> {
  const { code, stdout } = await tryGit(PROJECT, ["rev-list", "--no-merges", "-n", "300", "HEAD"]);
  const commits = code === 0 ? stdout.trim().split("\n") : [];
  if (commits.length < 30) return [];
  const cases: MergeCase[] = [];
  while (cases.length < count) {
    const picked = random.integer(0, commits.length - 2);
    const onto = Math.max(0, Math.min(commits.length - 2, picked + random.integer(-20, 20)));
    const [theirs, base, ours] = await Promise.all(
      [commits[picked], commits[picked + 1], commits[onto]].map((commit) => filesOf(commit ?? "")),
    );
    if (theirs && base && ours) cases.push({ kind: "real", base, ours, theirs });
  }
  return cases;
}

/** Most files are the same in most commits. */
const texts = new Map<string, string>();
const known = new Map<string, Promise<Files>>();

function filesOf(commit: string): Promise<Files> {
  const files = known.get(commit) ?? readFiles(commit);
  known.set(commit, files);
  return files;
}

/** Documents, settings and a few sources: enough to merge, not the whole tree. */
async function readFiles(commit: string): Promise<Files> {
  const listing = await git(PROJECT, ["ls-tree", "-r", commit]);
  const files = new Map<string, { text: string; mode: string }>();
  for (const line of listing.split("\n")) {
    const [, mode, oid = "", path] = /^(\d+) blob (\w+)\t(.*)$/.exec(line) ?? [];
    if (mode === undefined || path === undefined) continue;
    if (!/^(README|ARCHITECTURE|deno\.json|main\.ts|src\/(cli|protocol)\/)/.test(path)) continue;
    const text = texts.get(oid) ?? await git(PROJECT, ["cat-file", "blob", oid]) + "\n";
    texts.set(oid, text);
    files.set(path, { mode, text });
  }
  return files;
}

/** Writes all cases; answers nothing: their refs are `refs/cases/<n>/<side>`. */
export async function writeCases(path: string, cases: readonly MergeCase[]): Promise<void> {
  const chunks: Uint8Array[] = [];
  const encoder = new TextEncoder();
  const say = (text: string) => chunks.push(encoder.encode(text));
  let mark = 0;
  const commit = (ref: string, files: Files, parent: number | null): number => {
    mark += 1;
    say(`commit ${ref}\nmark :${mark}\ncommitter A <a@b> ${mark} +0000\ndata 1\nx\n`);
    if (parent !== null) say(`from :${parent}\n`);
    say("deleteall\n");
    for (const [name, { text, mode }] of files) {
      const bytes = encoder.encode(text);
      say(`M ${mode} inline ${name}\ndata ${bytes.length}\n`);
      chunks.push(bytes);
      say("\n");
    }
    return mark;
  };
  for (const [index, { base, ours, theirs }] of cases.entries()) {
    const root = base === null ? null : commit(`refs/cases/${index}/base`, base, null);
    commit(`refs/cases/${index}/ours`, ours, root);
    commit(`refs/cases/${index}/theirs`, theirs, root);
  }
  const child = new Deno.Command("git", {
    args: ["-C", path, "fast-import", "--quiet"],
    stdin: "piped",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  const writer = child.stdin.getWriter();
  for (const chunk of chunks) await writer.write(chunk);
  await writer.close();
  if (!(await child.status).success) throw new Error("git fast-import failed");
}
