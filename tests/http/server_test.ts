import { assert, assertEquals, assertRejects } from "@std/assert";
import { bindingPath, serveSocket, type SocketServer } from "../../src/http/server.ts";
import { SocketRefused } from "../../src/http/socket_directory.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import { Connection, SocketClient } from "../harness/socket_client.ts";

const uid = Deno.uid() ?? 0;

function serve(path: string, name = "one", asUid = uid): Promise<SocketServer> {
  return serveSocket({
    path,
    handler: () => new Response(name),
    fileSystem: new DenoFileSystem(),
    clock: new DenoClock(),
    uid: asUid,
  });
}

async function whoAnswers(path: string): Promise<string> {
  const client = new SocketClient(path);
  try {
    return (await client.request("GET", "/")).text;
  } finally {
    client.close();
  }
}

function exists(path: string): boolean {
  return new DenoFileSystem().lstatIfAny(path) !== null;
}

async function inTemporaryDirectory(test: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "layerd-test-" });
  try {
    await test(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function refused(path: string, reason: string, text: string, asUid = uid): Promise<void> {
  return assertRejects(() => serve(path, "refused", asUid), SocketRefused).then((error) => {
    assertEquals(error.reason, reason);
    assert(error.message.includes(text), error.message);
  });
}

Deno.test("serveSocket() makes directory 0700 and socket 0600, and removes the socket", async () => {
  await inTemporaryDirectory(async (directory) => {
    const path = `${directory}/made/run/layerd.sock`;
    const server = await serve(path);
    assertEquals((await Deno.stat(`${directory}/made/run`)).mode, 0o40700);
    const info = await Deno.lstat(path);
    assertEquals([info.isSocket, (info.mode ?? 0) & 0o777], [true, 0o600]);
    assertEquals(await whoAnswers(path), "one");
    await server.close();
    assertEquals([...Deno.readDirSync(`${directory}/made/run`)], []);
  });
});

Deno.test("serveSocket() refuses a path that is too long, by name", async () => {
  await inTemporaryDirectory(async (directory) => {
    const fits = `${directory}/${"x".repeat(107 - directory.length - 1)}`;
    const server = await serve(fits);
    assertEquals(await whoAnswers(fits), "one");
    await server.close();
    await refused(`${fits}x`, "path_too_long", `${fits}x has 108 bytes`);
  });
});

Deno.test("serveSocket() refuses a directory that is not private, with what mends it", async () => {
  await inTemporaryDirectory(async (directory) => {
    const run = `${directory}/run`;
    await Deno.mkdir(run);
    for (const mode of [0o755, 0o710, 0o701, 0o777]) {
      await Deno.chmod(run, mode);
      await refused(`${run}/layerd.sock`, "unsafe_directory", `run: chmod 700 ${run}`);
    }
    await Deno.chmod(run, 0o700);
    await Deno.symlink(run, `${directory}/link`);
    await refused(`${directory}/link/layerd.sock`, "unsafe_directory", "symbolic link");
    await refused(`${run}/layerd.sock`, "unsafe_directory", `chown ${uid + 1}`, uid + 1);
    assertEquals([...Deno.readDirSync(run)], []);
  });
});

Deno.test("serveSocket() never replaces a socket that answers", async () => {
  await inTemporaryDirectory(async (directory) => {
    const path = `${directory}/layerd.sock`;
    const server = await serve(path);
    await refused(path, "in_use", "a daemon answers there");
    assertEquals(await whoAnswers(path), "one");
    await server.close();
  });
});

Deno.test("serveSocket() replaces the socket of a killed process", async () => {
  await inTemporaryDirectory(async (directory) => {
    const path = `${directory}/layerd.sock`;
    const script = `Deno.serve({ path: ${JSON.stringify(path)}, onListen: () => console.log("up") },
      () => new Response("killed"));`;
    const process = new Deno.Command(Deno.execPath(), {
      args: ["eval", script],
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const lines = process.stdout.getReader();
    await lines.read();
    await refused(path, "in_use", "a daemon answers there");
    process.kill("SIGKILL");
    await process.status;
    await lines.cancel();
    assert(exists(path));
    const server = await serve(path);
    assertEquals(await whoAnswers(path), "one");
    await server.close();
  });
});

Deno.test("serveSocket() replaces what a process that died between bind and rename left", async () => {
  await inTemporaryDirectory(async (directory) => {
    const path = `${directory}/layerd.sock`;
    const left = await serve(`${directory}/other`);
    await Deno.rename(`${directory}/other`, bindingPath(path));
    await refused(path, "in_use", bindingPath(path));
    await left.close();
    assert(exists(bindingPath(path)));
    const server = await serve(path);
    assertEquals(await whoAnswers(path), "one");
    await server.close();
  });
});

Deno.test("serveSocket() does not touch what is no socket", async () => {
  await inTemporaryDirectory(async (directory) => {
    const path = `${directory}/layerd.sock`;
    await Deno.writeTextFile(path, "precious");
    await refused(path, "not_a_socket", path);
    assertEquals(await Deno.readTextFile(path), "precious");
  });
});

Deno.test("serveSocket() lets one of many that start at once have the socket", async () => {
  await inTemporaryDirectory(async (directory) => {
    const path = `${directory}/layerd.sock`;
    const dead = await Deno.listen({ transport: "unix", path: `${directory}/dead` });
    await Deno.rename(`${directory}/dead`, path);
    dead.close();
    const starts = await Promise.allSettled(["a", "b", "c"].map((name) => serve(path, name)));
    const servers = starts.flatMap((start) => start.status === "fulfilled" ? [start.value] : []);
    assertEquals(servers.length, 1);
    assert(["a", "b", "c"].includes(await whoAnswers(path)));
    for (const server of servers) await server.close();
  });
});

Deno.test("close() leaves the socket of a newer daemon alone", async () => {
  await inTemporaryDirectory(async (directory) => {
    const path = `${directory}/layerd.sock`;
    const older = await serve(path, "older");
    await Deno.remove(path);
    const newer = await serve(path, "newer");
    await older.close();
    assertEquals(await whoAnswers(path), "newer");
    await newer.close();
    assert(!exists(path));
  });
});

Deno.test("close() ends although a client neither finishes its body nor goes away", async () => {
  await inTemporaryDirectory(async (directory) => {
    const path = `${directory}/layerd.sock`;
    const asked = Promise.withResolvers<void>();
    const server = await serveSocket({
      path,
      handler: async (request) => {
        asked.resolve();
        try {
          await request.arrayBuffer();
        } catch (error) {
          return new Response(String(error), { status: 400 });
        }
        return new Response("whole");
      },
      fileSystem: new DenoFileSystem(),
      clock: new DenoClock(),
      uid,
    });
    const connection = await Connection.open(path);
    await connection.send("POST / HTTP/1.1\r\nhost: layerd\r\ncontent-length: 9\r\n\r\nabc");
    await asked.promise;
    await server.close();
    assert(!exists(path));
    connection.close();
  });
});
