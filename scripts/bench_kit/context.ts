/** What every case gets: where it may write, how long it may take, and what the machine costs. */
import { dirname, join } from "@std/path";
import { fileURLToPath } from "node:url";

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

export interface Context {
  /** A temporary directory; removed at the end. */
  readonly directory: string;
  readonly quick: boolean;
  /** Seconds of one measurement. */
  readonly seconds: number;
  /** How often all sides take their turn. */
  readonly rounds: number;
  /** Median of an fdatasync of 512 appended bytes, in this run. */
  readonly syncMs: number;
  /** Says what is going on. */
  readonly tell: (text: string) => void;
}

/** Runs a program to its end; its output. */
export async function run(
  program: string,
  args: readonly string[],
  input: string | null = null,
): Promise<string> {
  const child = new Deno.Command(program, {
    args: [...args],
    stdin: input === null ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const written = input === null
    ? Promise.resolve()
    : new Blob([input]).stream().pipeTo(child.stdin);
  const [{ success, stdout, stderr }] = await Promise.all([child.output(), written]);
  if (success) return new TextDecoder().decode(stdout).trim();
  throw new Error(`${program} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** An empty repository with an identity. */
export async function newRepository(context: Context, name: string): Promise<string> {
  const path = Deno.makeTempDirSync({ dir: context.directory, prefix: `${name}-` });
  await run("git", ["init", "-q", path]);
  for (const [key, value] of [["user.name", "bench"], ["user.email", "bench@localhost"]] as const) {
    await run("git", ["-C", path, "config", key, value]);
  }
  return path;
}

/** Feeds git fast-import. */
export async function fastImport(path: string, stream: string): Promise<void> {
  await run("git", ["-C", path, "fast-import", "--quiet", "--force"], stream);
}

/** A commit for fast-import; `files`: path and content of each. */
export function importedCommit(
  ref: string,
  number: number,
  files: readonly (readonly [path: string, content: string])[],
): string {
  const changes = files.map(([path, content]) =>
    `M 644 inline ${path}\ndata ${content.length}\n${content}\n`
  );
  return `commit ${ref}\ncommitter bench <bench@localhost> ${1_700_000_000 + number} +0000\n` +
    `data 5\nbench\n${changes.join("")}\n`;
}

export function scriptPath(...parts: string[]): string {
  return join(ROOT, "scripts", ...parts);
}
