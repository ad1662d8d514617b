/**
 * The launcher as a process. Its socket permission is worked out in shell, the command's
 * socket in locations.ts: `status` ends in 1 where they agree (nothing runs there) and in 70
 * where Deno refuses the socket.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const LAUNCHER = `${ROOT}scripts/layerd`;

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(
  program: string,
  args: readonly string[],
  options: { readonly env?: Record<string, string>; readonly cwd?: string } = {},
): Promise<Run> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    stdin: "null",
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { LAYERD_SOCKET: "", XDG_RUNTIME_DIR: "", ...options.env },
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

async function withDirectory(act: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.realPath(await Deno.makeTempDir({ prefix: "layerd-launcher-" }));
  try {
    await act(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

const SOCKETS: readonly {
  readonly name: string;
  readonly args?: readonly string[];
  readonly env?: Record<string, string>;
  /** Within the working directory. */
  readonly socket?: string;
}[] = [
  { name: "the option", args: ["--socket", "own.sock"], socket: "own.sock" },
  { name: "the option with =", args: ["--socket=own.sock"], socket: "own.sock" },
  { name: "an absolute option", args: ["--socket", "/nowhere/own.sock"] },
  { name: "a path with a space", args: ["--socket", "my own.sock"], socket: "my own.sock" },
  { name: "a path that goes up", args: ["--socket", "a/../own.sock"], socket: "own.sock" },
  { name: "the last of two options", args: ["--socket", "a", "--socket", "b"], socket: "b" },
  { name: "LAYERD_SOCKET", env: { LAYERD_SOCKET: "env.sock" }, socket: "env.sock" },
  {
    name: "the option over LAYERD_SOCKET",
    args: ["--socket", "own.sock"],
    env: { LAYERD_SOCKET: "env.sock" },
    socket: "own.sock",
  },
  { name: "XDG_RUNTIME_DIR", env: { XDG_RUNTIME_DIR: "/nowhere/run" } },
];

for (const { name, args = [], env = {}, socket } of SOCKETS) {
  Deno.test(`scripts/layerd may use the socket that the command means: ${name}`, async () => {
    await withDirectory(async (cwd) => {
      const { code, stderr } = await run(LAUNCHER, ["status", ...args], { env, cwd });
      assertEquals(code, 1, stderr);
      if (socket !== undefined) assertStringIncludes(stderr, `${cwd}/${socket}`);
    });
  });
}

Deno.test("scripts/layerd may use the default socket under /tmp", async () => {
  // Somebody's daemon may run there: 70 is the one answer that must not come.
  const { code, stderr } = await run(LAUNCHER, ["status"]);
  assert(code === 0 || code === 1, stderr);
});

Deno.test("scripts/layerd answers help without any permission missing", async () => {
  for (const args of [["--help"], ["serve", "--help"], ["repo", "add", "--help"]]) {
    const { code, stdout, stderr } = await run(LAUNCHER, args);
    assertEquals([code, stderr], [0, ""]);
    assertStringIncludes(stdout, "Usage: layerd");
  }
});

Deno.test("scripts/layerd refuses a socket that Deno's permissions cannot name", async () => {
  const { code, stderr } = await run(LAUNCHER, ["status", "--socket", "/a,b.sock"]);
  assertEquals(code, 64);
  assertStringIncludes(stderr, "/a,b.sock");
});

Deno.test("scripts/layerd finds itself through symbolic links, absolute and relative", async () => {
  await withDirectory(async (directory) => {
    await Deno.symlink(LAUNCHER, `${directory}/absolute`);
    await Deno.symlink("absolute", `${directory}/relative`);
    const { code, stdout, stderr } = await run(`${directory}/relative`, ["--version"]);
    assertEquals([code, stderr], [0, ""]);
    assertStringIncludes(stdout, ".");
  });
});

Deno.test("scripts/process_alive tells the living from the ended and the unreaped", async () => {
  const alive = `${ROOT}scripts/process_alive`;
  assertEquals((await run(alive, [String(Deno.pid)])).code, 0);
  assertEquals((await run(alive, ["999999999"])).code, 1);
  // The shell becomes `cat`, which never waits for the child that it inherited.
  const parent = new Deno.Command("sh", {
    args: ["-c", "true & echo $!; exec cat"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const reader = parent.stdout.getReader();
  const { value } = await reader.read();
  const child = new TextDecoder().decode(value).trim();
  let code = 0;
  for (let tries = 0; code === 0 && tries < 500; tries++) code = (await run(alive, [child])).code;
  assertEquals(code, 1);
  await parent.stdin.close();
  await reader.cancel();
  await parent.status;
});

/** A copy of what the launcher needs, without `.deno/`, and a PATH without Deno. */
async function bareProject(directory: string): Promise<{ launcher: string; path: string }> {
  const project = `${directory}/project`;
  const tools = `${directory}/tools`;
  await Deno.mkdir(`${project}/.deno`, { recursive: true });
  await Deno.mkdir(tools);
  for (const part of ["scripts", "src", "main.ts", "deno.json", "deno.lock"]) {
    await run("cp", ["-Rp", ROOT + part, `${project}/${part}`]);
  }
  await Deno.symlink(`${ROOT}.deno/cache`, `${project}/.deno/cache`);
  for (const tool of ["sh", "id", "dirname", "readlink", "mktemp", "mkdir", "mv", "rm", "cp"]) {
    const { stdout } = await run("sh", ["-c", `command -v ${tool}`]);
    await Deno.symlink(stdout.trim(), `${tools}/${tool}`);
  }
  return { launcher: `${project}/scripts/layerd`, path: tools };
}

/** An npm that "installs" the Deno that runs this test, where npm would put it. */
async function fakeNpm(tools: string): Promise<void> {
  await Deno.writeTextFile(
    `${tools}/npm`,
    `#!/bin/sh\nwhile [ "$1" != --prefix ]; do shift; done\n` +
      `mkdir -p "$2/node_modules/@deno/this-machine"\n` +
      `cp "${Deno.execPath()}" "$2/node_modules/@deno/this-machine/deno"\n`,
    { mode: 0o755 },
  );
}

Deno.test("scripts/layerd says what it needs where there is neither Deno nor npm", async () => {
  await withDirectory(async (directory) => {
    const { launcher, path } = await bareProject(directory);
    const { code, stdout, stderr } = await run(launcher, ["--version"], { env: { PATH: path } });
    assertEquals([code, stdout], [69, ""]);
    assertStringIncludes(stderr, "npm");
  });
});

Deno.test("scripts/layerd brings Deno from npm once, also when several start at once", async () => {
  await withDirectory(async (directory) => {
    const { launcher, path } = await bareProject(directory);
    await fakeNpm(path);
    const start = () => run(launcher, ["--version"], { env: { PATH: path } });
    const together = await Promise.all([start(), start(), start()]);
    for (const { code, stdout, stderr } of together) {
      assertEquals(code, 0, stderr);
      assertEquals(stdout.trim().split(".").length, 3);
    }
    assertStringIncludes(together.map((r) => r.stderr).join(), "bringing");
    const again = await start();
    assertEquals([again.code, again.stderr], [0, ""]);
    const left: string[] = [];
    for await (const entry of Deno.readDir(`${directory}/project/.deno`)) left.push(entry.name);
    assertEquals(left.filter((name) => name.startsWith("fresh")), []);
  });
});

Deno.test("scripts/layerd passes by a Deno that is too old", async () => {
  await withDirectory(async (directory) => {
    const { launcher, path } = await bareProject(directory);
    await fakeNpm(path);
    await Deno.writeTextFile(
      `${path}/deno`,
      `#!/bin/sh\necho "2.8.3 /nowhere/deno"\n`,
      { mode: 0o755 },
    );
    const { code, stderr } = await run(launcher, ["--version"], { env: { PATH: path } });
    assertEquals(code, 0, stderr);
    assertStringIncludes(stderr, "no Deno 2.9 or later");
  });
});
