/** Repositories for tests, and what must be true of every repository after one. */
import { assertEquals } from "@std/assert";
import { git, tryGit } from "./git.ts";

/** Makes a repository with one commit on `main`; answers its path. */
export async function makeRepository(path: string): Promise<string> {
  await Deno.mkdir(path, { recursive: true });
  await git(path, ["init", "-q", "-b", "main"]);
  await Deno.writeTextFile(`${path}/readme`, "a native file\n");
  await git(path, ["add", "readme"]);
  await git(path, ["commit", "-q", "-m", "first"]);
  return path;
}

/** Makes a bare repository without commits; answers its path. */
export async function makeBareRepository(path: string): Promise<string> {
  await Deno.mkdir(path, { recursive: true });
  await git(path, ["init", "-q", "--bare", "-b", "main"]);
  return path;
}

/** A commit made by native git, with the tree of `parent`; nothing points at it yet. */
export async function makeCommit(
  repository: string,
  parent: string,
  message: string,
): Promise<string> {
  return await git(repository, ["commit-tree", `${parent}^{tree}`, "-p", parent, "-m", message]);
}

/** What a ref holds, or null where git does not see it. */
export async function readRef(repository: string, ref: string): Promise<string | null> {
  const { code, stdout } = await tryGit(repository, ["rev-parse", "--verify", "-q", ref]);
  return code === 0 ? stdout.trim() : null;
}

/** The transaction ids in a ref's history, oldest first, by their trailers. */
export async function transactionsIn(repository: string, range: string): Promise<string[]> {
  const format = "--format=%(trailers:key=Layerd-Transaction,valueonly,separator=%x2C)";
  const output = await git(repository, ["log", "--reverse", format, range]);
  return output.split("\n").filter((line) => line !== "");
}

/**
 * `git fsck --strict` finds nothing wrong. It complains also of a pack that a fold took away
 * after fsck had listed it; what is damaged is damaged at the next look as well.
 */
export async function assertFsckClean(repository: string): Promise<void> {
  let before: string | null = null;
  for (let look = 1; look <= LOOKS_MAX; look++) {
    const complaints = await fsck(repository);
    if (complaints.length === 0) return;
    if (complaints.join("\n") === before) break;
    before = complaints.join("\n");
  }
  assertEquals(before, null);
}

async function fsck(repository: string): Promise<string[]> {
  const args = ["fsck", "--strict", "--no-dangling", "--no-progress"];
  const { code, stdout, stderr } = await tryGit(repository, args);
  // Before git 2.40 an unborn HEAD of a bare repository is a notice.
  const lines = (stdout + stderr).split("\n").filter((line) =>
    line !== "" && !line.startsWith("notice:")
  );
  return code !== 0 && lines.length === 0 ? [`git fsck ended with ${code}`] : lines;
}

/** What a daemon's own checkpoint writes aside is gone again by then; what is left behind stays. */
const LOOKS_MAX = 40;
const LOOK_EVERY_MS = 50;

/** No lock file and no temporary file of anybody stands in the common directory. */
export async function assertNothingLeftBehind(commonDirectory: string): Promise<void> {
  for (let look = 1; look < LOOKS_MAX; look++) {
    if ((await leftovers(commonDirectory)).length === 0) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
  assertEquals(await leftovers(commonDirectory), []);
}

/** Lock files anywhere, strays under `refs`, files in `layerd/tmp`, temporary objects and packs. */
export async function leftovers(commonDirectory: string): Promise<string[]> {
  const found: string[] = [];
  for await (const path of filesBelow(commonDirectory, "")) {
    const stray = path.endsWith(".lock") ||
      path.startsWith("layerd/tmp/") ||
      /^objects\/.*tmp_/.test(path) ||
      path === "packed-refs.new" ||
      (path.startsWith("refs/") && await isNoRef(`${commonDirectory}/${path}`));
    if (stray) found.push(path);
  }
  return found.sort();
}

async function isNoRef(path: string): Promise<boolean> {
  const text = await Deno.readTextFile(path);
  return !/^([0-9a-f]{40}|ref: refs\/.*)\n$/.test(text);
}

async function* filesBelow(root: string, below: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(`${root}/${below}`)) {
    const path = below === "" ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory) yield* filesBelow(root, path);
    else yield path;
  }
}
