/**
 * What another user of the machine can do: not reach the socket, not read the state, not lead
 * what the daemon writes out of its places by links. Where the tests run as the superuser the
 * other user is real (setpriv); elsewhere the modes that keep them out are looked at.
 */
import { assert, assertEquals } from "@std/assert";
import { create, problemOf, put } from "../harness/api.ts";
import { git } from "../harness/git.ts";
import { makeRepository } from "../harness/repositories.ts";
import { isolated, scenario } from "../harness/scene.ts";
import { DaemonRefused } from "../harness/daemon.ts";

const NOBODY = 65_534;

async function asNobody(program: string, ...args: string[]): Promise<number> {
  const { code } = await new Deno.Command("setpriv", {
    args: [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", program, ...args],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).output();
  return code;
}

scenario("another user reaches neither the socket nor the state directory", async (scene) => {
  const { socket, stateDirectory, directory } = scene.home;
  const { name } = await scene.repository();
  await scene.api.apply([create(name, "secret"), put(name, "secret", "f", "secret")]);
  // The home itself is open, so that only what the daemon made keeps others out.
  await Deno.chmod(directory, 0o755);
  const mode = async (path: string) => ((await Deno.stat(path)).mode ?? 0) & 0o777;
  assertEquals(await mode(stateDirectory), 0o700);
  assertEquals(await mode(`${directory}/run-a`), 0o700);
  assertEquals(await mode(socket), 0o600);
  if (Deno.uid() !== 0) return;
  const curl = ["curl", "-sf", "--unix-socket", socket, "http://layerd/v1/health"];
  assertEquals(await asNobody(curl[0] ?? "", ...curl.slice(1)), 7, "curl: could not connect");
  // Also by the socket's own mode, were the directory opened.
  await Deno.chmod(`${directory}/run-a`, 0o755);
  assertEquals(await asNobody(curl[0] ?? "", ...curl.slice(1)), 7, "curl: could not connect");
  assert(await asNobody("ls", stateDirectory) !== 0);
  assert(await asNobody("cat", `${stateDirectory}/ledger.sqlite`) !== 0);
});

isolated("a socket directory that others own, link or may replace is refused", async (scene) => {
  const { directory, stateDirectory } = scene.home;
  const refusal = async (socket: string): Promise<string> => {
    const home = { directory, stateDirectory, socket };
    const { Daemon } = await import("../harness/daemon.ts");
    try {
      await (await Daemon.start(home)).kill();
    } catch (error) {
      if (error instanceof DaemonRefused) return error.stderr;
      throw error;
    }
    throw new Error(`${socket} was served`);
  };
  await Deno.mkdir(`${directory}/victim`, { mode: 0o700 });
  await Deno.symlink(`${directory}/victim`, `${directory}/link`);
  assert((await refusal(`${directory}/link/layerd.sock`)).includes("symbolic link"));
  // A directory of others above ours: they can rename ours away and put theirs in its place.
  await Deno.mkdir(`${directory}/open/mine`, { recursive: true, mode: 0o700 });
  await Deno.chmod(`${directory}/open/mine`, 0o700);
  await Deno.chmod(`${directory}/open`, 0o777);
  assert((await refusal(`${directory}/open/mine/layerd.sock`)).includes("can be replaced"));
  if (Deno.uid() !== 0) return;
  await Deno.chown(`${directory}/victim`, NOBODY, NOBODY);
  assert((await refusal(`${directory}/victim/layerd.sock`)).includes(`belongs to user ${NOBODY}`));
});

scenario("links in a repository lead nothing that layerd writes out of it", async (scene) => {
  const outside = scene.path("outside");
  await Deno.mkdir(`${outside}/layerd`, { recursive: true });
  await Deno.writeTextFile(`${outside}/precious`, "precious");
  await Deno.utime(`${outside}/precious`, 1_000, 1_000);
  const untouched = async () => {
    const names = [];
    for await (const { name } of Deno.readDir(outside)) names.push(name);
    assertEquals(names.sort(), ["layerd", "precious"]);
    for await (const { name } of Deno.readDir(`${outside}/layerd`)) throw new Error(name);
  };
  for (const [index, part] of ["layerd", "layerd/tmp", "layerd/pending", "refs/layers"].entries()) {
    const path = await makeRepository(scene.path(`linked-${index}`));
    const target = part === "layerd" ? `${outside}/layerd` : outside;
    if (part.startsWith("layerd/")) await Deno.mkdir(`${path}/.git/layerd`);
    await Deno.symlink(target, `${path}/.git/${part}`);
    const refused = await scene.api.tryRegister(`linked-${index}`, path);
    assertEquals(problemOf(refused, 422, "unsupported_repository").reason, "symbolic_link", part);
    await untouched();
  }
  // A layer's directory, and a file of a layer that is a link.
  const { name, path, commonDirectory } = await scene.repository();
  await git(path, ["update-ref", "refs/layers/plain", "main"]);
  await Deno.symlink(outside, `${commonDirectory}/refs/layers/evil`);
  problemOf(await scene.api.tryApply([create(name, "evil/deep")]), 409, "name_conflict");
  await untouched();
  const link = { ...put(name, "plain", "link", outside), mode: "120000" };
  await scene.api.apply([link]);
  const below = await scene.api.tryApply([put(name, "plain", "link/f", "1")]);
  problemOf(below, 409, "name_conflict");
  await untouched();
});
