/**
 * Repositories that are removed, moved, copied, restored or made read-only, with and without
 * the daemon: refused or recovered as DESIGN section 4 says, never guessed, and never to the
 * harm of another repository.
 */
import { assert, assertEquals } from "@std/assert";
import { bodyOf, create, problemOf, put, updateRef } from "../harness/api.ts";
import { Daemon, homeIn } from "../harness/daemon.ts";
import { git } from "../harness/git.ts";
import { assertFsckClean, assertNothingLeftBehind, readRef } from "../harness/repositories.ts";
import { isolated, type Registered, scenario, type Scene } from "../harness/scene.ts";
import { readOnly } from "./read_only.ts";

async function run(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args }).output();
  assert(success, `${program} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/** A repository with a layer `a` that holds `f`. */
async function populated(scene: Scene): Promise<Registered> {
  const repository = await scene.repository();
  await scene.api.apply([create(repository.name, "a"), put(repository.name, "a", "f", "1")]);
  return repository;
}

/** A commit over both fails and leaves nothing in the healthy one, which goes on. */
async function assertOnlyOneSuffers(
  scene: Scene,
  away: Registered,
  healthy: Registered,
): Promise<void> {
  const before = await readRef(healthy.path, "refs/layers/a");
  const reply = await scene.api.tryApply([
    put(healthy.name, "a", "f", "both"),
    put(away.name, "a", "f", "both"),
  ]);
  assert(reply.status >= 400, reply.text);
  assertEquals(await readRef(healthy.path, "refs/layers/a"), before);
  await assertNothingLeftBehind(healthy.commonDirectory);
  assertEquals(await scene.api.locks(), { locks: [], waits_for: [] });
  await scene.api.apply([put(healthy.name, "a", "f", "alone")]);
}

type Health = {
  status: string;
  repositories: { name: string; status: string; findings: { code: string }[] }[];
};

async function statusOf(scene: Scene, name: string): Promise<string | undefined> {
  const { repositories } = await scene.api.get<Health>("/v1/health");
  return repositories.find((one) => one.name === name)?.status;
}

function forget(scene: Scene, name: string) {
  return scene.daemon.client.request("DELETE", `/v1/repositories/${name}`);
}

scenario("a repository removed under the daemon takes no other with it", async (scene) => {
  const [away, healthy] = [await populated(scene), await populated(scene)];
  const { id } = await scene.api.begin();
  await scene.api.stage(id, put(away.name, "a", "f", "2"));
  await Deno.remove(away.path, { recursive: true });
  assert((await scene.api.tryVerb(id, "commit")).status >= 400);
  await scene.api.tryVerb(id, "rollback");
  await assertOnlyOneSuffers(scene, away, healthy);
  assert(await statusOf(scene, away.name) !== "healthy");
  assertEquals(await statusOf(scene, healthy.name), "healthy");
  await scene.killAndRestart();
  assertEquals(await statusOf(scene, away.name), "unknown");
  assert((await forget(scene, away.name)).status < 300);
  await scene.api.apply([put(healthy.name, "a", "f", "3")]);
});

scenario("a moved repository is found again under its new path, as the same one", async (scene) => {
  const moved = await populated(scene);
  const path = scene.path("elsewhere");
  await Deno.rename(moved.path, path);
  assert((await scene.api.tryApply([put(moved.name, "a", "f", "2")])).status >= 400);
  await scene.restart();
  assertEquals(await statusOf(scene, moved.name), "unknown");
  const owner = await Deno.readTextFile(`${path}/.git/layerd/owner`);
  assert((await forget(scene, moved.name)).status < 300);
  await scene.register(moved.name, path, `${path}/.git`);
  assertEquals(await Deno.readTextFile(`${path}/.git/layerd/owner`), owner);
  await scene.api.apply([put(moved.name, "a", "f", "2")]);
  assertEquals(await git(path, ["rev-list", "--count", "refs/layers/a"]), "2");
});

scenario("a read-only repository refuses commits, then goes on", async (scene) => {
  const [away, healthy] = [await populated(scene), await populated(scene)];
  const plain = scene.path("plain");
  await run("cp", "-a", "--no-preserve=links", away.path, plain);
  await Deno.remove(`${plain}/.git/layerd`, { recursive: true });
  for (const path of [away.path, plain]) {
    const writable = await readOnly(path);
    try {
      if (path === plain) {
        problemOf(await scene.api.tryRegister("plain", plain), 403, "permission_denied");
      } else {
        await assertOnlyOneSuffers(scene, away, healthy);
        assertEquals(await scene.api.read(away.name, "a", "f"), "1");
      }
    } finally {
      await writable();
    }
  }
  await scene.api.apply([put(away.name, "a", "f", "2")]);
  bodyOf(await scene.api.tryRegister("plain", plain), 201);
  await assertNothingLeftBehind(away.commonDirectory);
});

for (
  const { how, copy } of [
    { how: "cp -a", copy: ["cp", "-a"] },
    { how: "cp -al", copy: ["cp", "-al"] },
    { how: "cp without links", copy: ["cp", "-a", "--no-preserve=links"] },
  ]
) {
  isolated(`a copy by ${how} is refused until adopted, also beside lock links`, async (scene) => {
    await scene.start();
    const original = await populated(scene);
    const { name, path } = original;
    const { id } = await scene.api.begin();
    await scene.api.stage(id, put(name, "a", "f", "promised"));
    await scene.api.prepare(id);
    const copied = scene.path("copy");
    const [program = "", ...args] = copy;
    // Of a daemon that holds locks, and of one that was killed with them.
    await run(program, ...args, path, copied);
    problemOf(await scene.api.tryRegister("copy", copied), 409, "repository_owned");
    await scene.daemon.kill();
    await scene.start();
    problemOf(await scene.api.tryRegister("copy", copied), 409, "repository_owned");
    assertEquals((await scene.api.commit(id)).state, "committed");
    bodyOf(await scene.api.tryRegister("copy", copied, true), 201);
    await git(copied, ["pack-refs", "--all"]);
    await scene.api.apply([put("copy", "a", "f", "of the copy")]);
    assertEquals(await git(path, ["show", "refs/layers/a:f"]), "promised");
    assertEquals(await git(copied, ["show", "refs/layers/a:f"]), "of the copy");
    await scene.api.apply([put(name, "a", "f", "of the original")]);
    await scene.daemon.stop();
    await assertNothingLeftBehind(original.commonDirectory);
    for (const one of [path, copied]) await assertFsckClean(one);
  });
}

isolated("a copy by cp -al of a repository that nobody serves is no moved one", async (scene) => {
  await scene.start();
  const original = await populated(scene);
  await scene.daemon.stop();
  const copied = scene.path("copy");
  await run("cp", "-al", original.path, copied);
  await scene.start();
  const refused = await scene.api.tryRegister("copy", copied);
  problemOf(refused, 409, "repository_owned");
  bodyOf(await scene.api.tryRegister("copy", copied, true), 201);
  await scene.api.apply([put("copy", "a", "f", "2"), put(original.name, "a", "f", "3")]);
});

isolated(
  "a repository of another daemon's log is refused while that may come back",
  async (scene) => {
    await scene.start();
    const { path, name } = await populated(scene);
    await scene.daemon.kill();
    const other = await homeIn(scene.home.directory, "b");
    const second = await Daemon.start(other);
    try {
      const register = (adopt: boolean) =>
        second.client.request("POST", "/v1/repositories", { name: "mine", path, adopt });
      const problem = problemOf(await register(false), 409, "repository_owned");
      assertEquals(problem.reason, "foreign_log");
      assert(problem.detail.includes(scene.home.stateDirectory), problem.detail);
      await scene.start();
      assertEquals(problemOf(await register(true), 409, "repository_owned").reason, "served");
      assertEquals(await scene.daemon.stop(), 0);
      // Released cleanly: nobody has to decide.
      bodyOf(await register(false), 201);
      await scene.start();
      assertEquals(await statusOf(scene, name), "unknown");
    } finally {
      await second.stop();
    }
  },
);

isolated("a repository restored from a backup is served as the backup is", async (scene) => {
  await scene.start();
  const { name, path, commonDirectory } = await populated(scene);
  const backup = scene.path("backup");
  await run("cp", "-a", path, backup);
  const old = await readRef(path, "refs/layers/a");
  await scene.api.apply([put(name, "a", "f", "lost with the disk")]);
  await Deno.remove(path, { recursive: true });
  await Deno.rename(backup, path);
  // The live daemon holds a file that is gone; it must not write beside whoever may hold the new one.
  assert((await scene.api.tryApply([put(name, "a", "f", "2")])).status >= 400);
  await scene.killAndRestart();
  assertEquals(await readRef(path, "refs/layers/a"), old);
  await scene.api.apply([put(name, "a", "f", "2")]);
  assertEquals(await git(path, ["rev-parse", "refs/layers/a^"]), old);
  await scene.daemon.stop();
  await assertNothingLeftBehind(commonDirectory);
  await assertFsckClean(path);
});

isolated(
  "a state directory restored from a backup is refused by what it served since",
  async (scene) => {
    await scene.start();
    const { name, path } = await populated(scene);
    await scene.daemon.stop();
    const backup = scene.path("state-backup");
    await run("cp", "-a", scene.home.stateDirectory, backup);
    await scene.start();
    await scene.api.apply([put(name, "a", "f", "since")]);
    await scene.daemon.kill();
    await Deno.remove(scene.home.stateDirectory, { recursive: true });
    await Deno.rename(backup, scene.home.stateDirectory);
    await scene.start();
    const refused = await scene.api.tryApply([put(name, "a", "f", "guessed")]);
    assertEquals(problemOf(refused, 409, "repository_owned").reason, "log_behind");
    assertEquals(await git(path, ["show", "refs/layers/a:f"]), "since");
    assert((await forget(scene, name)).status < 300);
    bodyOf(await scene.api.tryRegister(name, path, true), 201);
    const tip = await readRef(path, "refs/layers/a");
    await scene.api.apply([updateRef(name, "refs/heads/kept", tip)]);
  },
);
