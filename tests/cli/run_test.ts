import { assertEquals, assertStringIncludes } from "@std/assert";
import { runCommand } from "./command_line.ts";

const NOWHERE = { LAYERD_SOCKET: "/nowhere/layerd.sock", LAYERD_STATE_DIR: "/nowhere/state" };
const IN_TRANSACTION = { ...NOWHERE, LAYERD_TRANSACTION: "T", LAYERD_REPOSITORY: "app" };

Deno.test("runCli() prints its version and help on standard output, exit 0", async () => {
  const version = await runCommand(["--version"]);
  assertEquals([version.code, version.stdout, version.stderr], [0, "9.9.9\n", ""]);
  const help = await runCommand(["--help"]);
  assertEquals([help.code, help.stderr], [0, ""]);
  assertStringIncludes(help.stdout, "Usage: layerd");
});

const MISUSED: readonly (readonly string[])[] = [
  [],
  ["bogus"],
  ["repo"],
  ["put", "layer"],
  ["ls"],
  ["commit", "--no-such-option"],
  ["serve", "--repository", "nameless"],
  ["serve", "--repository", "=path"],
  ["serve", "--socket", "/" + "s".repeat(107)],
  ["begin", "--lease-ms", "soon"],
  ["begin", "--author", "Ann"],
  ["begin", "--label", "=value"],
  ["apply", "layers.yaml"],
  ["wait", "T", "--timeout-ms", "-1"],
];

for (const argv of MISUSED) {
  Deno.test(`runCli() answers 64 for \`layerd ${argv.join(" ").slice(0, 60)}\``, async () => {
    const { code, stdout, stderr } = await runCommand(argv, { env: NOWHERE });
    assertEquals([code, stdout], [64, ""], stderr);
  });
}

const UNREACHABLE: readonly (readonly string[])[] = [
  ["health"],
  ["repo", "list"],
  ["begin"],
  ["put", "base", "a.txt"],
  ["rm", "base", "a.txt"],
  ["mv", "base", "a.txt", "b.txt"],
  ["cat", "base", "a.txt"],
  ["ls", "base"],
  ["commit"],
  ["rollback"],
  ["show"],
  ["diff"],
  ["wait"],
  ["apply", "-"],
  ["log", "base"],
  ["locks"],
  ["events"],
  ["layer", "create", "base"],
];

for (const argv of UNREACHABLE) {
  Deno.test(`runCli() answers 69 for \`layerd ${argv.join(" ")}\` without a daemon`, async () => {
    const { code, stdout, stderr } = await runCommand(argv, { env: IN_TRANSACTION, stdin: "{}" });
    assertEquals([code, stdout], [69, ""], stderr);
    assertStringIncludes(stderr, "/nowhere/layerd.sock");
  });
}

Deno.test("runCli() answers 1 for status and stop without a daemon, and says how to start one", async () => {
  for (const command of ["status", "stop"]) {
    const { code, stderr } = await runCommand([command], { env: NOWHERE });
    assertEquals(code, 1);
    assertStringIncludes(stderr, "layerd start");
  }
  const json = await runCommand(["status", "--json"], { env: NOWHERE });
  assertEquals(JSON.parse(json.stdout), { running: false, socket: "/nowhere/layerd.sock" });
});

Deno.test("runCli() names a way to begin where no transaction is given", async () => {
  const { code, stderr } = await runCommand(["commit"], { env: NOWHERE });
  assertEquals(code, 64);
  assertStringIncludes(stderr, "LAYERD_TRANSACTION=$(layerd begin)");
});

Deno.test("runCli() asks for content where nothing is piped in", async () => {
  const { code, stderr } = await runCommand(["put", "base", "a"], { env: IN_TRANSACTION });
  assertEquals(code, 64);
  assertStringIncludes(stderr, "pipe it in");
});

Deno.test("runCli() hands serve absolute paths and answers its exit code", async () => {
  const { code, served } = await runCommand([
    "serve",
    "--socket",
    "l.sock",
    "--repository",
    "app=.",
    "--repository",
    "lib=/srv/lib",
    "--allow-participant",
    "localhost:5432",
  ], { env: NOWHERE });
  assertEquals(code, 0);
  assertEquals(served, {
    socket: "/home/ann/project/l.sock",
    stateDir: "/nowhere/state",
    repositories: [
      { name: "app", path: "/home/ann/project" },
      { name: "lib", path: "/srv/lib" },
    ],
    allowParticipants: ["localhost:5432"],
    allowCommands: [],
    sagaStore: null,
  });
});

Deno.test("runCli() prints the socket alone for get-socket", async () => {
  const { code, stdout } = await runCommand(["get-socket"], { env: NOWHERE });
  assertEquals([code, stdout], [0, "/nowhere/layerd.sock\n"]);
});
