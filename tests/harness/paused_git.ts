/**
 * Native git that stands still between looking at the refs and deleting what they do not
 * reach: `repack` and `gc` run `pack-objects` in between, and that is where a wrapper waits.
 */
import { GIT_ENVIRONMENT } from "./git.ts";

const WRAPPER = `#!/bin/sh
"$REAL_GIT" "$@"
code=$?
for word in "$@"; do
  if [ "$word" = pack-objects ]; then
    echo reached >"$PAUSE/reached"
    read -r _ <"$PAUSE/go"
    break
  fi
done
exit $code
`;

/**
 * Runs git; `meanwhile` plays after every enumeration of objects (a `gc` may make two) and
 * before git goes on. Answers git's exit code.
 */
export async function gitPausedAfterEnumeration(
  directory: string,
  args: readonly string[],
  meanwhile: () => Promise<void>,
): Promise<number> {
  const pause = await Deno.makeTempDir({ prefix: "layerd-pause-" });
  try {
    await prepare(pause);
    const real = await output("sh", ["-c", "command -v git"]);
    const child = new Deno.Command(real, {
      args: ["-C", directory, ...args],
      env: { ...GIT_ENVIRONMENT, GIT_EXEC_PATH: `${pause}/bin`, REAL_GIT: real, PAUSE: pause },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const ended = child.status.then(({ code }) => code);
    for (;;) {
      // Opening a FIFO for reading waits for its writer, here the wrapper.
      const reached = new Deno.Command("cat", { args: [`${pause}/reached`], stdout: "null" })
        .spawn();
      const code = await Promise.race([ended, reached.status.then(() => null)]);
      if (code !== null) {
        reached.kill("SIGKILL");
        await reached.status;
        return code;
      }
      await meanwhile();
      await Deno.writeTextFile(`${pause}/go`, "go\n");
    }
  } finally {
    await Deno.remove(pause, { recursive: true });
  }
}

/** An exec path in which `git` is the wrapper and all else is the real thing. */
async function prepare(pause: string): Promise<void> {
  const execPath = await output("git", ["--exec-path"]);
  await Deno.mkdir(`${pause}/bin`);
  for (const { name } of Deno.readDirSync(execPath)) {
    if (name !== "git") await Deno.symlink(`${execPath}/${name}`, `${pause}/bin/${name}`);
  }
  await Deno.writeTextFile(`${pause}/bin/git`, WRAPPER, { mode: 0o755 });
  await output("mkfifo", [`${pause}/reached`, `${pause}/go`]);
}

async function output(command: string, args: readonly string[]): Promise<string> {
  const { stdout } = await new Deno.Command(command, { args: [...args] }).output();
  return new TextDecoder().decode(stdout).trim();
}
