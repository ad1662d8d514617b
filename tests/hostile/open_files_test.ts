/** A daemon whose limit on open files is met: Deno's server ends there, and is made again. */
import { assertEquals } from "@std/assert";
import { run } from "../crash/image.ts";
import { isolated, type Scene } from "../harness/scene.ts";
import { Connection, ConnectionLost, encodeRequest } from "../harness/socket_client.ts";

/** Open files that a daemon is left with, and connections that take them all. */
const OPEN_FILES = 100;
const CONNECTIONS_TOO_MANY = 200;
const REOPENED_MS_MAX = 10_000;

isolated(
  "a daemon without open files left serves who is connected, and all once there are some",
  async (scene) => {
    await scene.start();
    const connected = await Connection.open(scene.home.socket);
    await ask(connected);
    await run("prlimit", "--pid", `${scene.daemon.pid}`, `--nofile=${OPEN_FILES}:`);
    const greedy: Connection[] = [];
    try {
      await openUntilRefused(scene, greedy);
      await ask(connected);
    } finally {
      for (const connection of greedy) connection.close();
    }
    // The socket is made anew within a second; who asks meanwhile is told that nobody listens.
    await untilAnswered(scene);
    await ask(connected);
    connected.close();
  },
);

async function ask(connection: Connection): Promise<void> {
  await connection.send(encodeRequest("GET", "/v1/health"));
  assertEquals((await connection.readReply()).status, 200);
}

/** Until the daemon accepts no more: the backlog of a dead socket is refused. */
async function openUntilRefused(scene: Scene, opened: Connection[]): Promise<void> {
  try {
    for (let n = 0; n < CONNECTIONS_TOO_MANY; n++) {
      const connection = await Connection.open(scene.home.socket);
      opened.push(connection);
      await ask(connection);
    }
  } catch (error) {
    const refused = error instanceof ConnectionLost ||
      error instanceof Deno.errors.ConnectionRefused ||
      error instanceof Deno.errors.ConnectionReset;
    if (!refused) throw error;
    return;
  }
  throw new Error("The daemon still accepts: its limit on open files was not met");
}

async function untilAnswered(scene: Scene): Promise<void> {
  const untilMs = performance.now() + REOPENED_MS_MAX;
  for (;;) {
    try {
      return await askAnew(scene);
    } catch (error) {
      if (performance.now() > untilMs) throw error;
      // Nobody announces a socket to those who are not connected to it.
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

async function askAnew(scene: Scene): Promise<void> {
  const connection = await Connection.open(scene.home.socket);
  try {
    await ask(connection);
  } finally {
    connection.close();
  }
}
