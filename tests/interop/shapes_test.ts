/**
 * Repositories of every shape that people have, each served by a real daemon beside the git
 * that is installed. The README's compatibility table names these tests row by row
 * (tests/scripts/readme_test.ts holds the two together).
 */
import { assert, assertEquals } from "@std/assert";
import { bodyOf, create, problemOf, put, updateRef } from "../harness/api.ts";
import { git, tryGit } from "../harness/git.ts";
import {
  assertFsckClean,
  assertNothingLeftBehind,
  makeBareRepository,
  makeCommit,
  makeRepository,
  readRef,
} from "../harness/repositories.ts";
import { isFullScale } from "../harness/scale.ts";
import { type Registered, type Scene, sharedScenarios } from "../harness/scene.ts";
import { fastImportFiles, writePackedRefs } from "./large_repositories.ts";

const test = sharedScenarios();

/** What must work in every shape: make, change, read, meet native git, roll back, leave nothing. */
async function exercise(scene: Scene, { name, path, commonDirectory }: Registered): Promise<void> {
  const { api } = scene;
  await api.apply([create(name, "shape/a"), put(name, "shape/a", "d/f", "1")]);
  await api.apply([put(name, "shape/a", "d/f", "2"), create(name, "shape/b")]);
  assertEquals(await git(path, ["show", "refs/layers/shape/a:d/f"]), "2");
  const tip = await git(path, ["rev-parse", "refs/layers/shape/a"]);
  const native = await makeCommit(path, tip, "by hand");
  await git(path, ["update-ref", "refs/layers/shape/a", native, tip]);
  const stale = { ...put(name, "shape/a", "g", "3"), expect: { commit: tip } };
  problemOf(await api.tryApply([stale]), 409, "write_conflict");
  await git(path, ["pack-refs", "--all"]);
  await api.apply([put(name, "shape/a", "g", "3")]);
  assertEquals(await git(path, ["rev-parse", "refs/layers/shape/a^"]), native);
  const { id } = await api.begin();
  await api.stage(id, put(name, "shape/b", "x", "never"));
  await api.rollback(id);
  assertEquals(await git(path, ["ls-tree", "-r", "refs/layers/shape/b"]), "");
  await assertNothingLeftBehind(commonDirectory);
  await assertFsckClean(path);
}

test("serves a work tree, and leaves index and files alone", async (scene) => {
  const repository = await scene.repository();
  await Deno.writeTextFile(`${repository.path}/readme`, "changed\n");
  await exercise(scene, repository);
  assertEquals(await git(repository.path, ["status", "--porcelain"]), " M readme");
});

test("serves a bare repository with an unborn branch", async (scene) => {
  const path = await makeBareRepository(scene.path("unborn.git"));
  await exercise(scene, await scene.register("unborn", path, path));
  const tip = await readRef(path, "refs/layers/shape/a");
  await scene.api.apply([updateRef("unborn", "refs/heads/main", tip)]);
  assertEquals(await readRef(path, "HEAD"), tip);
});

test("serves an unborn branch of a work tree, and does not give it a commit", async (scene) => {
  const path = scene.path("unborn-tree");
  await Deno.mkdir(path);
  await git(path, ["init", "-q", "-b", "main"]);
  const repository = await scene.register("unborn-tree", path, `${path}/.git`);
  await exercise(scene, repository);
  const tip = await readRef(path, "refs/layers/shape/a");
  const refused = await scene.api.tryApply([updateRef("unborn-tree", "refs/heads/main", tip)]);
  problemOf(refused, 409, "ref_checked_out");
});

test("serves a linked work tree, and no branch that any of them has checked out", async (scene) => {
  const main = await makeRepository(scene.path("trees"));
  const linked = scene.path("trees-linked");
  await git(main, ["worktree", "add", "-q", "-b", "side", linked]);
  const repository = await scene.register("trees", linked, `${main}/.git`);
  await exercise(scene, repository);
  const tip = await readRef(main, "refs/layers/shape/a");
  for (const branch of ["side", "main"]) {
    const refused = await scene.api.tryApply([updateRef("trees", `refs/heads/${branch}`, tip)]);
    problemOf(refused, 409, "ref_checked_out");
  }
  await scene.api.apply([updateRef("trees", "refs/heads/free", tip)]);
  assertEquals(await readRef(linked, "refs/heads/free"), tip);
});

test("serves a detached HEAD, and moves the branch that it came from", async (scene) => {
  const repository = await scene.repository();
  await git(repository.path, ["checkout", "-q", "--detach"]);
  await exercise(scene, repository);
  const tip = await readRef(repository.path, "refs/layers/shape/a");
  await scene.api.apply([updateRef(repository.name, "refs/heads/main", tip)]);
  assertEquals(await readRef(repository.path, "main"), tip);
  assertEquals((await tryGit(repository.path, ["symbolic-ref", "-q", "HEAD"])).code, 1);
});

test("serves a submodule by its .git file", async (scene) => {
  const inner = await makeRepository(scene.path("inner"));
  const outer = await makeRepository(scene.path("outer"));
  const allow = ["-c", "protocol.file.allow=always"];
  await git(outer, [...allow, "submodule", "add", "-q", inner, "part"]);
  const common = `${outer}/.git/modules/part`;
  await exercise(scene, await scene.register("part", `${outer}/part`, common));
  await exercise(scene, await scene.register("outer", outer, `${outer}/.git`));
});

test("serves a repository that borrows objects, and keeps none of its own in the lender", async (scene) => {
  const source = await makeRepository(scene.path("lender"));
  const path = scene.path("borrower");
  await git(source, ["clone", "-q", "--shared", source, path]);
  const repository = await scene.register("borrower", path, `${path}/.git`);
  await scene.api.apply([create("borrower", "from-main", "refs/heads/main")]);
  await exercise(scene, repository);
  await git(source, ["gc", "-q", "--prune=now"]);
  assertEquals(await scene.api.read("borrower", "from-main", "readme"), "a native file\n");
  await assertFsckClean(path);
});

test("serves a shallow clone, and the layers built on its edge", async (scene) => {
  const source = await makeRepository(scene.path("deep"));
  for (const n of [1, 2, 3]) await git(source, ["commit", "-q", "--allow-empty", "-m", `${n}`]);
  const path = scene.path("shallow");
  await git(source, ["clone", "-q", "--depth", "1", `file://${source}`, path]);
  const repository = await scene.register("shallow", path, `${path}/.git`);
  await exercise(scene, repository);
  await scene.api.apply([
    create("shallow", "top", "refs/heads/main"),
    put("shallow", "top", "x", "1"),
  ]);
  type Log = { commits: unknown[] };
  const log = await scene.api.get<Log>("/v1/repositories/shallow/log?layer=top");
  assertEquals(log.commits.length, 2);
  await git(path, ["fetch", "-q", "--unshallow"]);
  await assertFsckClean(path);
});

test("serves packed and loose refs and objects in every mixture", async (scene) => {
  const repository = await scene.repository();
  const { name, path } = repository;
  for (const step of ["a", "b", "c"]) {
    await scene.api.apply([create(name, step), put(name, step, "f", step)]);
    await git(path, ["gc", "-q", step === "b" ? "--prune=now" : "--auto"]);
    const tip = await readRef(path, `refs/layers/${step}`) ?? "";
    await git(path, ["update-ref", `refs/layers/${step}`, await makeCommit(path, tip, "loose")]);
    await git(path, ["tag", "-a", "-m", "peeled", `t-${step}`, tip]);
  }
  await git(path, ["repack", "-q", "-d"]);
  await exercise(scene, repository);
  const tips = await git(path, ["for-each-ref", "--format=%(refname) %(subject)", "refs/layers"]);
  for (const step of ["a", "b", "c"]) assert(tips.includes(`refs/layers/${step} loose`), tips);
  assertEquals((await git(path, ["show-ref", "-d"])).match(/\^\{\}$/gm)?.length, 3);
});

test("writes the reflogs that git would with core.logAllRefUpdates=always", async (scene) => {
  const repository = await scene.repository();
  await git(repository.path, ["config", "core.logAllRefUpdates", "always"]);
  await exercise(scene, repository);
  const reflog = await git(repository.path, ["reflog", "show", "refs/layers/shape/a"]);
  assertEquals(reflog.split("\n").length, 4);
});

test("runs no hooks, and is not stopped by any", async (scene) => {
  const repository = await scene.repository();
  const ran = `${repository.path}/.git/ran`;
  for (
    const hook of ["reference-transaction", "pre-commit", "commit-msg", "post-commit", "update"]
  ) {
    const path = `${repository.path}/.git/hooks/${hook}`;
    await Deno.writeTextFile(path, `#!/bin/sh\necho ${hook} >>'${ran}'\nexit 0\n`);
    await Deno.chmod(path, 0o755);
  }
  const { name } = repository;
  await scene.api.apply([create(name, "h"), put(name, "h", "f", "1")]);
  assertEquals(await Deno.stat(ran).catch(() => null), null);
  await exercise(scene, repository);
});

test("takes names that git cannot have beside each other for conflicts", async (scene) => {
  const repository = await scene.repository();
  const { name, path, commonDirectory } = repository;
  const tip = await git(path, ["rev-parse", "main"]);
  await git(path, ["update-ref", "refs/layers/n/loose", tip]);
  await git(path, ["update-ref", "refs/layers/n/packed/x", tip]);
  await git(path, ["pack-refs", "--all"]);
  await git(path, ["update-ref", "refs/layers/n/loose", tip]);
  for (const layer of ["n", "n/loose/below", "n/packed", "n/packed/x/below"]) {
    problemOf(await scene.api.tryApply([create(name, layer)]), 409, "name_conflict");
  }
  // What git leaves behind when a ref below has gone.
  await Deno.mkdir(`${commonDirectory}/refs/layers/empty/deep`, { recursive: true });
  await scene.api.apply([create(name, "empty"), put(name, "empty", "f", "1")]);
  await exercise(scene, repository);
});

test("serves a repository with 100,000 refs", async (scene) => {
  const path = await makeRepository(scene.path("refs"));
  await writePackedRefs(path, 100_000);
  const repository = await scene.register("refs", path, `${path}/.git`);
  if (isFullScale()) await exercise(scene, repository);
  await scene.api.apply([create("refs", "l"), put("refs", "l", "f", "1")]);
  assertEquals(await git(path, ["show", "refs/layers/l:f"]), "1");
  assertEquals(
    (await git(path, ["for-each-ref", "--format=%(refname)", "refs/heads/many"])).split("\n")
      .length,
    100_000,
  );
});

test("serves a repository with a pack of 200,000 objects", async (scene) => {
  const path = scene.path("objects");
  await Deno.mkdir(path);
  await git(path, ["init", "-q", "-b", "main"]);
  await fastImportFiles(path, 200_000);
  const count = await git(path, ["count-objects", "-v"]);
  assert(Number(/in-pack: (\d+)/.exec(count)?.[1]) >= 200_000, count);
  await scene.register("objects", path, `${path}/.git`);
  const { api } = scene;
  await api.apply([
    create("objects", "l", "refs/heads/main"),
    put("objects", "l", "d7/f77", "new"),
  ]);
  assertEquals(await git(path, ["diff", "--name-only", "main", "refs/layers/l"]), "d7/f77");
  assertEquals(await api.read("objects", "l", "d150/f150"), "150150\n");
});

test("serves a repository of another user as git does with safe.directory", async (scene) => {
  const repository = await scene.repository();
  const { name, path, commonDirectory } = repository;
  await scene.api.apply([create(name, "before"), put(name, "before", "f", "1")]);
  if (Deno.uid() !== 0) await Deno.chmod(path, 0o755);
  else await new Deno.Command("chown", { args: ["-R", "65534:65534", path] }).output();
  // Git itself refuses now; an operator who registered it has decided already.
  const trusting = {
    environment: {
      GIT_CONFIG_COUNT: "1",
      GIT_CONFIG_KEY_0: "safe.directory",
      GIT_CONFIG_VALUE_0: "*",
    },
  };
  if (Deno.uid() === 0) assert((await tryGit(path, ["status"])).stderr.includes("dubious"));
  await git(path, ["gc", "-q", "--prune=now"], trusting);
  await scene.api.apply([put(name, "before", "g", "2")]);
  assertEquals(await scene.api.read(name, "before", "f"), "1");
  assertEquals(await git(path, ["show", "refs/layers/before:g"], trusting), "2");
  await assertNothingLeftBehind(commonDirectory);
});

test("refuses reftable by a hand-made repository of that format", async (scene) => {
  const path = await makeBareRepository(scene.path("reftable.git"));
  await Deno.remove(`${path}/refs`, { recursive: true });
  await Deno.mkdir(`${path}/refs`);
  await Deno.writeTextFile(`${path}/refs/heads`, "this repository uses the reftable format\n");
  await Deno.writeTextFile(`${path}/HEAD`, "ref: refs/heads/.invalid\n");
  await Deno.mkdir(`${path}/reftable`);
  await Deno.writeTextFile(`${path}/reftable/tables.list`, "0x000000000001-0x000000000001-a.ref\n");
  const table = new Uint8Array(92);
  table.set(new TextEncoder().encode("REFT\x01"));
  await Deno.writeFile(`${path}/reftable/0x000000000001-0x000000000001-a.ref`, table);
  const settings = "[core]\n\trepositoryformatversion = 1\n\tbare = true\n";
  for (const config of [`${settings}[extensions]\n\trefStorage = reftable\n`, settings]) {
    await Deno.writeTextFile(`${path}/config`, config);
    const refused = await scene.api.tryRegister("reftable", path);
    assertEquals(problemOf(refused, 422, "unsupported_repository").reason, "reftable");
  }
});

test("refuses sha256, partial clones and unknown extensions, and writes nothing there", async (scene) => {
  const sha256 = scene.path("sha256");
  await Deno.mkdir(sha256);
  await git(sha256, ["init", "-q", "--object-format=sha256"]);
  const source = await makeRepository(scene.path("whole"));
  await git(source, ["config", "uploadpack.allowFilter", "true"]);
  const partial = scene.path("partial");
  await git(source, ["clone", "-q", "--filter=blob:none", `file://${source}`, partial]);
  const fancy = await makeRepository(scene.path("fancy"));
  await git(fancy, ["config", "core.repositoryFormatVersion", "1"]);
  await git(fancy, ["config", "extensions.fancy", "true"]);
  for (
    const [path, reason] of [
      [sha256, "sha256"],
      [partial, "promisor"],
      [fancy, "unknown_extension"],
    ] as const
  ) {
    const refused = await scene.api.tryRegister("refused", path);
    assertEquals(problemOf(refused, 422, "unsupported_repository").reason, reason);
    assertEquals(await Deno.stat(`${path}/.git/layerd`).catch(() => null), null);
  }
});

test("stops serving a repository whose format changes under it", async (scene) => {
  const { name, path } = await scene.repository();
  await scene.api.apply([create(name, "a"), put(name, "a", "f", "1")]);
  await git(path, ["config", "core.repositoryFormatVersion", "1"]);
  await git(path, ["config", "extensions.refStorage", "reftable"]);
  const refused = await scene.api.tryApply([put(name, "a", "f", "2")]);
  problemOf(refused, 422, "unsupported_repository");
  const { repository } = bodyOf<{ repository: { status: string } }>(
    await scene.daemon.client.request("GET", `/v1/repositories/${name}`),
  );
  assertEquals(repository.status, "corrupted");
  await git(path, ["config", "--unset", "extensions.refStorage"]).catch(() =>
    Deno.writeTextFile(`${path}/.git/config`, "[core]\n\trepositoryformatversion = 0\n")
  );
  await scene.api.apply([put(name, "a", "f", "3")]);
});
