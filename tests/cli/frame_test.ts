/** The frame of the command line beside a real daemon: run, autostart, waiting, completion, colour. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { git } from "../harness/git.ts";
import { runCommand } from "./command_line.ts";
import { Home, withDaemon } from "./launched.ts";

const STATE = ["log", "--json"];

/** State of the newest transaction. */
async function newest(home: Home): Promise<string> {
  const { stdout } = await home.layerd(STATE);
  return JSON.parse(stdout).transactions[0].state;
}

Deno.test("layerd run commits on exit 0, rolls back otherwise, and passes the code on", async () => {
  await withDaemon(async (home) => {
    const env = { PATH: `${Deno.cwd()}/scripts:${Deno.env.get("PATH")}` };
    const run = (...command: string[]) =>
      home.layerd(["run", "-m", "ran", "--", ...command], { env });
    const stage = "layerd layer create base && echo 1 | layerd put base a";

    const done = await run("sh", "-c", stage);
    assertEquals(done.code, 0, done.stderr);
    assertEquals(await git(home.repository, ["show", "refs/layers/base:a"]), "1");

    const failed = await run("sh", "-c", "echo 2 | layerd put base a && exit 7");
    assertEquals(failed.code, 7, failed.stderr);
    assertStringIncludes(failed.stderr, "Rolled back");
    assertEquals(await git(home.repository, ["show", "refs/layers/base:a"]), "1");

    const killed = await run("sh", "-c", "kill -KILL $$");
    assertEquals([killed.code, await newest(home)], [137, "rolled_back"]);
    assertEquals((await run("no-such-program")).code, 127);
    assertEquals(await newest(home), "rolled_back");
    const unmarked = await home.layerd(["run", "true"]);
    assertEquals(unmarked.code, 64);
    assertStringIncludes(unmarked.stderr, "Put `--` before the command");

    // Longer than its lease: kept alive meanwhile.
    const slow = await home.layerd(["run", "--lease-ms", "300", "--json", "--", "sleep", "1"], {
      env,
    });
    assertEquals([slow.code, JSON.parse(slow.stdout).transaction.state], [0, "committed"]);
    const over = await run("sh", "-c", "layerd rollback");
    assertEquals(over.code, 1, over.stderr);
  });
});

Deno.test("layerd run passes a signal on, and rolls back when the command dies of it", async () => {
  await withDaemon(async (home) => {
    const child = new Deno.Command(`${Deno.cwd()}/scripts/layerd`, {
      args: ["run", "--", "sh", "-c", "echo up; exec sleep 60"],
      cwd: home.repository,
      env: home.environment,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const out = child.stdout.getReader();
    await out.read();
    child.kill("SIGTERM");
    const { code } = await child.status;
    assertEquals([code, await newest(home)], [143, "rolled_back"]);
    await Promise.all([out.cancel(), child.stderr.cancel()]);
  });
});

Deno.test("a client starts the daemon where there is none, unless it is told not to", async () => {
  const home = await Home.make();
  try {
    const off = await home.layerd(["repo", "list"], { env: { LAYERD_AUTOSTART: "0" } });
    assertEquals(off.code, 69, off.stderr);
    const named = await home.layerd(["repo", "list", "--socket", `${home.directory}/n.sock`]);
    assertEquals(named.code, 69, named.stderr);
    assertEquals((await home.layerd(["health"])).code, 69);

    const started = await home.layerd(["repo", "add", "app", "--json"]);
    assertEquals(started.code, 0, started.stderr);
    assertStringIncludes(started.stderr, "starting one at");
    assertEquals(JSON.parse(started.stdout).repository.name, "app");
    assertEquals((await home.layerd(["status"])).code, 0);
  } finally {
    await home.remove();
  }
});

Deno.test("a client whose daemon cannot start shows the end of its log, exit 69", async () => {
  const home = await Home.make();
  try {
    await Deno.chmod(`${home.directory}/run`, 0o755);
    await Deno.mkdir(`${home.directory}/run/layerd`, { mode: 0o755 });
    await Deno.chmod(`${home.directory}/run/layerd`, 0o755);
    const { code, stdout, stderr } = await home.layerd(["repo", "list"]);
    assertEquals([code, stdout], [69, ""], stderr);
    assertStringIncludes(stderr, "daemon.log says last");
    assertStringIncludes(stderr, "chmod");
  } finally {
    await home.remove();
  }
});

Deno.test("a command that waits for a lock names the holder", async () => {
  await withDaemon(async (home) => {
    const first = (await home.layerd(["begin", "--lock", "base"])).stdout.trim();
    const args = ["begin", "--lock", "base", "--lock-timeout-ms", "1500"];
    const waited = await home.layerd(args);
    assertEquals(waited.code, 75);
    assertMatch(waited.stderr, new RegExp(`Waiting for base of app: held exclusive by ${first}`));
    const second = (await home.layerd(["begin", "--lock-timeout-ms", "1500"])).stdout.trim();
    const staged = await home.layerd(["put", "base", "a", "-t", second], { stdin: "1" });
    assertEquals(staged.code, 75);
    assertStringIncludes(staged.stderr, `Waiting for base of app: held exclusive by ${first}`);
    // Those that stage nothing else, or have no id before they are through.
    const apply = JSON.stringify({
      lock_timeout_ms: 1500,
      operations: [{ op: "create_layer", repository: "app", layer: "base" }],
    });
    const more = await Promise.all([
      home.layerd(["layer", "create", "base", "-t", second]),
      home.layerd(["apply", "-"], { stdin: apply }),
    ]);
    for (const { code, stderr } of more) {
      assertEquals(code, 75);
      assertStringIncludes(stderr, `Waiting for base of app: held exclusive by ${first}`);
    }
    for (const id of [first, second]) await home.layerd(["rollback", id]);
  });
});

Deno.test("completion offers each shell the commands and options of the tree", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const offered: Record<string, (line: string) => readonly string[]> = {
      bash: (line) => [
        "bash",
        "-c",
        `. ${directory}/bash; COMP_WORDS=(${line} ""); COMP_CWORD=$((\${#COMP_WORDS[@]}-1)); ` +
        '_layerd; printf "%s\\n" "${COMPREPLY[@]}"',
      ],
      zsh: (line) => [
        "zsh",
        "-fc",
        `. ${directory}/zsh; _describe() { print -rl -- \${candidates%%:*}; }; ` +
        `words=(${line} ""); CURRENT=$#words; _layerd`,
      ],
      fish: (line) => [
        "fish",
        "--no-config",
        "-c",
        `source ${directory}/fish; complete -C "${line} "; complete -C "${line} --"`,
      ],
    };
    for (const [shell, ask] of Object.entries(offered)) {
      const printed = await runCommand(["completion", shell]);
      assertEquals(printed.code, 0, printed.stderr);
      await Deno.writeTextFile(`${directory}/${shell}`, printed.stdout);
      const complete = async (line: string) => {
        const [program = "", ...args] = ask(line);
        const env = { HOME: directory };
        const { stdout, stderr } = await new Deno.Command(program, { args, env }).output();
        const words = new TextDecoder().decode(stdout).split("\n").map((one) => one.split("\t")[0]);
        assertEquals(new TextDecoder().decode(stderr), "", shell);
        return words;
      };
      const top = await complete("layerd");
      for (const word of ["begin", "repo", "run", "completion"]) assert(top.includes(word), shell);
      const repo = await complete("layerd repo");
      assert(repo.includes("add") && !repo.includes("begin"), `${shell}: ${repo}`);
      const put = await complete("layerd put -t commit");
      assert(put.includes("--executable") && !put.includes("--lock"), `${shell}: ${put}`);
    }
    const json = JSON.parse((await runCommand(["completion", "bash", "--json"])).stdout);
    assertEquals(json.shell, "bash");
    assertEquals((await runCommand(["completion", "tcsh"])).code, 64);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("with --json a command that was given wrongly is a problem document too", async () => {
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [["commit", "--no-such"], /unknown option '--no-such'/],
    [["no-such"], /unknown command 'no-such'/],
    [["put", "base"], /missing required argument 'path'/],
    [["commit"], /No transaction is named/],
    [["log", "-n", "few"], /--limit must be a whole number/],
  ];
  const env = { LAYERD_SOCKET: "/nowhere/s" };
  for (const [argv, detail] of wrong) {
    const { code, stdout, stderr } = await runCommand([...argv, "--json"], { env });
    assertEquals([code, stdout], [64, ""], stderr);
    const { type, status, code: said, detail: text } = JSON.parse(stderr);
    assertEquals([type, status, said], [
      "urn:layerd:error:invalid_request",
      400,
      "invalid_request",
    ]);
    assertMatch(text, detail);
    const plain = await runCommand(argv, { env });
    assertMatch(plain.stderr, detail);
    const named = argv[0] === "no-such" ? "layerd" : `layerd ${argv[0]}`;
    assertStringIncludes(plain.stderr, `\`${named} --help\` says how it is used`);
  }
  const silent = await runCommand(["locks", "--json"], { env });
  assertEquals([silent.code, JSON.parse(silent.stderr).exit_code], [69, 69]);
  const others = await runCommand(["run", "--no-such", "--", "ls", "--json"], { env });
  assert(others.stderr.startsWith("layerd: "), "what stands behind -- is another command's");
});

Deno.test("colour goes to a terminal alone, and not there where NO_COLOR is set", async () => {
  const failing = ["commit", "--no-such"];
  const plain = await runCommand(["--help"]);
  assert(!plain.stdout.includes("\x1b["));
  const shown = await runCommand(["--help"], { terminal: true });
  assert(shown.stdout.includes("\x1b[1m"));
  const env = { NO_COLOR: "1", LAYERD_SOCKET: "/nowhere/s" };
  for (const argv of [["--help"], failing, ["commit", "T"]]) {
    const { stdout, stderr } = await runCommand(argv, { terminal: true, env });
    assert(!(stdout + stderr).includes("\x1b["), argv.join(" "));
  }
  const red = await runCommand(["commit", "T"], { terminal: true, env: { LAYERD_SOCKET: "/n/s" } });
  assert(red.stderr.startsWith("\x1b[1;31mlayerd:"), red.stderr);
});
