import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { loosePath } from "../../src/git/loose_objects.ts";
import { openRepository } from "../../src/git/open_repository.ts";
import type { Repository } from "../../src/git/repository.ts";
import { parseObjectId, parseRefName } from "../../src/core/ids.ts";
import { git } from "../harness/git.ts";
import { makeBareRepository, makeRepository } from "../harness/repositories.ts";
import { fileSystem, inScene, openOptions } from "./repository_scene.ts";

async function inOpened(
  test: (repository: Repository, path: string, directory: string) => Promise<void>,
): Promise<void> {
  await inScene(async (directory) => {
    const path = await makeRepository(`${directory}/app`);
    const repository = await openRepository(openOptions(path));
    try {
      await test(repository, path, directory);
    } finally {
      await repository.close();
    }
  });
}

async function codes(repository: Repository): Promise<string[]> {
  return (await repository.findings()).map((one) => `${one.severity} ${one.code}`);
}

Deno.test("openRepository() puts together what is healthy, of any shape", async () => {
  await inScene(async (directory) => {
    const app = await makeRepository(`${directory}/app`);
    await git(app, ["worktree", "add", "-q", `${directory}/linked`]);
    await git(directory, ["clone", "-q", "--shared", "app", "shared"]);
    await git(directory, ["clone", "-q", "--bare", "app", "bare.git"]);
    await makeBareRepository(`${directory}/empty.git`);
    await git(directory, ["clone", "-q", "app", "packed"]);
    await git(`${directory}/packed`, ["gc", "-q"]);
    for (const name of ["app", "linked", "shared", "bare.git", "empty.git", "packed"]) {
      const repository = await openRepository(openOptions(`${directory}/${name}`));
      assertEquals(await repository.findings(), [], name);
      const tip = repository.refs.read(parseRefName("refs/heads/main"));
      if (name !== "empty.git") {
        assert(tip !== null);
        const root = await repository.trees.rootOf(tip);
        assertEquals((await repository.trees.lookup(root, "readme"))?.mode, "100644", name);
      }
      const head = name === "linked" ? "refs/heads/linked" : "refs/heads/main";
      assertEquals(repository.head(), head);
      await repository.close();
    }
  });
});

Deno.test("openRepository() refuses a second opening through a linked work tree", async () => {
  await inOpened(async (_, path, directory) => {
    await git(path, ["worktree", "add", "-q", `${directory}/linked`]);
    const error = await assertRejects(
      () => openRepository(openOptions(`${directory}/linked`)),
      LayerdError,
    );
    assertEquals([error.code, error.details.reason], ["repository_owned", "served"]);
  });
});

Deno.test("Repository.head() follows the work tree's HEAD, also when it is detached", async () => {
  await inOpened(async (repository, path) => {
    await git(path, ["checkout", "-q", "--detach"]);
    assertEquals(repository.head(), await git(path, ["rev-parse", "HEAD"]));
    await Deno.writeTextFile(`${path}/.git/HEAD`, "garbage");
    assertEquals(repository.head(), null);
    await Deno.writeTextFile(`${path}/.git/HEAD`, "ref: refs/heads/main\n");
  });
});

Deno.test("Repository.identity() is the configuration's as it is now", async () => {
  await inOpened(async (repository, path) => {
    assertEquals(repository.identity(), null);
    await git(path, ["config", "user.name", "Ann"]);
    assertEquals(repository.identity(), null);
    await git(path, ["config", "user.email", "ann@example.org"]);
    assertEquals(repository.identity(), { name: "Ann", email: "ann@example.org" });
  });
});

Deno.test("Repository.identity() reads a work tree's own configuration where git does", async () => {
  await inOpened(async (repository, path) => {
    await git(path, ["config", "user.name", "Ann"]);
    await git(path, ["config", "user.email", "ann@example.org"]);
    await Deno.writeTextFile(`${path}/.git/config.worktree`, "[user]\n\tname = Bob\n");
    assertEquals(repository.identity()?.name, "Ann");
    await git(path, ["config", "extensions.worktreeConfig", "true"]);
    for (const name of ["Bob", "Cy"]) {
      await git(path, ["config", "--worktree", "user.name", name]);
      assertEquals(repository.identity()?.name, await git(path, ["config", "user.name"]));
    }
  });
});

Deno.test("Repository.recheck() notices a changed format, also after the configuration was read", async () => {
  await inOpened(async (repository, path) => {
    repository.recheck();
    await git(path, ["config", "extensions.refStorage", "reftable"]);
    assertEquals(repository.identity(), null);
    for (let again = 0; again < 2; again += 1) {
      const error = assertThrows(() => repository.recheck(), LayerdError);
      assertEquals([error.code, error.details.reason], ["unsupported_repository", "reftable"]);
    }
    assertEquals(await codes(repository), ["corrupted reftable"]);
    await Deno.writeTextFile(`${path}/.git/config`, "[core]\n\tbare = false\n");
    repository.recheck();
  });
});

Deno.test("Repository.findings() finds damaged refs and missing objects, and names the ref", async () => {
  await inOpened(async (repository, path) => {
    await git(path, ["update-ref", "refs/layers/base", "HEAD"]);
    await Deno.writeFile(`${path}/.git/refs/layers/torn`, new Uint8Array(0));
    const findings = await repository.findings();
    assertEquals(findings.map((one) => [one.severity, one.code, one.ref]), [
      ["corrupted", "ref_damaged", "refs/layers/torn"],
    ]);
    await Deno.remove(`${path}/.git/refs/layers/torn`);
    const tip = parseObjectId(await git(path, ["rev-parse", "HEAD"]));
    const root = parseObjectId(await git(path, ["rev-parse", "HEAD^{tree}"]));
    await Deno.remove(loosePath(`${path}/.git/objects`, root));
    assertEquals(await codes(repository), [
      "corrupted ref_object_missing",
      "corrupted ref_object_missing",
    ]);
    await Deno.remove(loosePath(`${path}/.git/objects`, tip));
    assert((await repository.findings()).every((one) => one.detail.includes(tip)));
  });
});

Deno.test("Repository.findings() finds unreadable packed-refs", async () => {
  await inOpened(async (repository, path) => {
    await git(path, ["pack-refs", "--all"]);
    await Deno.writeTextFile(`${path}/.git/packed-refs`, "garbage\n");
    assertEquals(await codes(repository), ["corrupted packed_refs_damaged"]);
  });
});

Deno.test("Repository.findings() finds stale and dead lock files and old leftovers, not fresh ones", async () => {
  await inOpened(async (repository, path, directory) => {
    const old = new Date(Date.now() - 3_600_000);
    const stale = `${path}/.git/refs/heads/stale.lock`;
    const leftover = `${path}/.git/layerd/tmp/ref.1`;
    const fresh = [`${path}/.git/refs/heads/fresh.lock`, `${path}/.git/layerd/tmp/ref.2`];
    for (const file of [stale, leftover, ...fresh]) await Deno.writeTextFile(file, "");
    for (const file of [stale, leftover]) await Deno.utime(file, old, old);
    await Deno.link(`${path}/.git/layerd/owner`, `${path}/.git/refs/heads/ours.lock`);
    await Deno.copyFile(`${path}/.git/layerd/owner`, `${path}/.git/refs/heads/copied.lock`);
    assertEquals((await codes(repository)).sort(), [
      "suspicious dead_lock",
      "suspicious foreign_lock",
      "suspicious leftover_temporary",
    ]);
    assert(directory.length > 0);
  });
});

Deno.test("Repository.forget() removes layerd and nothing else", async () => {
  await inScene(async (directory) => {
    const path = await makeRepository(`${directory}/app`);
    const before = await git(path, ["for-each-ref"]);
    const repository = await openRepository(openOptions(path));
    await repository.forget();
    assertEquals(fileSystem.lstatIfAny(`${path}/.git/layerd`), null);
    assertEquals(await git(path, ["for-each-ref"]), before);
    await (await openRepository(openOptions(path))).close();
  });
});
