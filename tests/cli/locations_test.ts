import { assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../../src/cli/exit_codes.ts";
import { socketPath, stateDirectory, type Surroundings } from "../../src/cli/locations.ts";

function around(variables: Record<string, string>, uid: number | null = 1000): Surroundings {
  return { env: (name) => variables[name], cwd: "/home/ann/project", uid };
}

const EVERYTHING = {
  LAYERD_SOCKET: "/run/own.sock",
  XDG_RUNTIME_DIR: "/run/user/1000",
  LAYERD_STATE_DIR: "/var/own",
  XDG_STATE_HOME: "/home/ann/.state",
  HOME: "/home/ann",
};

Deno.test("socketPath() prefers the option, then LAYERD_SOCKET, then the runtime directory, then /tmp", () => {
  assertEquals(socketPath("/given.sock", around(EVERYTHING)), "/given.sock");
  assertEquals(socketPath(undefined, around(EVERYTHING)), "/run/own.sock");
  const { LAYERD_SOCKET: _, ...rest } = EVERYTHING;
  assertEquals(socketPath(undefined, around(rest)), "/run/user/1000/layerd/layerd.sock");
  assertEquals(socketPath(undefined, around({})), "/tmp/layerd-1000/layerd.sock");
});

Deno.test("socketPath() takes an empty variable for none", () => {
  const variables = { LAYERD_SOCKET: "", XDG_RUNTIME_DIR: "" };
  assertEquals(socketPath(undefined, around(variables)), "/tmp/layerd-1000/layerd.sock");
});

Deno.test("socketPath() resolves a relative path against the working directory", () => {
  assertEquals(socketPath("l.sock", around({})), "/home/ann/project/l.sock");
  assertEquals(
    socketPath(undefined, around({ LAYERD_SOCKET: "./l.sock" })),
    "/home/ann/project/l.sock",
  );
});

Deno.test("socketPath() allows 107 bytes and refuses 108 by name", () => {
  const fits = "/" + "s".repeat(106);
  assertEquals(socketPath(fits, around({})), fits);
  assertThrows(() => socketPath(fits + "s", around({})), UsageError, fits + "s");
  // Bytes count, not characters.
  assertThrows(() => socketPath("/" + "é".repeat(54), around({})), UsageError, "109 bytes");
});

Deno.test("socketPath() asks for a path where the system has no user ids", () => {
  assertThrows(() => socketPath(undefined, around({}, null)), UsageError, "--socket");
});

Deno.test("stateDirectory() prefers the option, then LAYERD_STATE_DIR, then XDG, then the home", () => {
  assertEquals(stateDirectory("state", around(EVERYTHING)), "/home/ann/project/state");
  assertEquals(stateDirectory(undefined, around(EVERYTHING)), "/var/own");
  const { LAYERD_STATE_DIR: _, ...rest } = EVERYTHING;
  assertEquals(stateDirectory(undefined, around(rest)), "/home/ann/.state/layerd");
  assertEquals(
    stateDirectory(undefined, around({ HOME: "/home/ann" })),
    "/home/ann/.local/state/layerd",
  );
  assertThrows(() => stateDirectory(undefined, around({})), UsageError, "--state-dir");
});
