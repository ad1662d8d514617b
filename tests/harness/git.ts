/**
 * The real git, cut off from the machine's configuration: no global or system file, a
 * fixed identity, no prompts. What it prints therefore depends on the repository alone.
 */

/** Environment for git and for processes that run git. */
export const GIT_ENVIRONMENT: Readonly<Record<string, string>> = {
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_TERMINAL_PROMPT: "0",
  GIT_AUTHOR_NAME: "Native",
  GIT_AUTHOR_EMAIL: "native@example.org",
  GIT_COMMITTER_NAME: "Native",
  GIT_COMMITTER_EMAIL: "native@example.org",
};

export interface GitResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface GitOptions {
  /** Given on standard input. */
  readonly input?: string | Uint8Array;
  readonly environment?: Readonly<Record<string, string>>;
}

/** Runs git and answers how it ended, also when it failed. */
export async function tryGit(
  directory: string,
  args: readonly string[],
  options: GitOptions = {},
): Promise<GitResult> {
  const child = new Deno.Command("git", {
    args: ["-C", directory, ...args],
    env: { ...GIT_ENVIRONMENT, ...options.environment },
    stdin: options.input === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = child.output();
  if (options.input !== undefined) {
    const writer = child.stdin.getWriter();
    const bytes = typeof options.input === "string"
      ? new TextEncoder().encode(options.input)
      : options.input;
    await writer.write(bytes);
    await writer.close();
  }
  const { code, stdout, stderr } = await output;
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Runs git, requires that it succeeds, and answers its output without the last newline. */
export async function git(
  directory: string,
  args: readonly string[],
  options: GitOptions = {},
): Promise<string> {
  const result = await tryGit(directory, args, options);
  if (result.code !== 0) {
    throw new Error(`git ${args.join(" ")} ended with ${result.code}: ${result.stderr}`);
  }
  return result.stdout.replace(/\n$/, "");
}
