/** The gate: what may be served, how it is found, and what is refused with which reason. */
import { assert, assertEquals } from "@std/assert";
import { bodyOf, create, problemOf, put } from "../harness/api.ts";
import { git, tryGit } from "../harness/git.ts";
import { assertFsckClean, makeBareRepository, makeRepository } from "../harness/repositories.ts";
import { scenario, sharedScenarios } from "../harness/scene.ts";

const test = sharedScenarios();

interface RepositoryReply {
  readonly name: string;
  readonly path: string;
  readonly git_dir: string;
  readonly common_dir: string;
  readonly head: string | null;
  readonly layers: number;
  readonly status: string;
}

test("registering answers where the repository is and what it holds", async (scene) => {
  const path = await makeRepository(scene.path("plain"));
  await git(path, ["update-ref", "refs/layers/native", "main"]);
  const reply = await scene.api.tryRegister("plain", path);
  const { repository } = bodyOf<{ repository: RepositoryReply }>(reply, 201);
  assertEquals(repository, {
    name: "plain",
    path,
    git_dir: `${path}/.git`,
    common_dir: `${path}/.git`,
    head: "refs/heads/main",
    layers: 1,
    status: "healthy",
  });
  const listed = await scene.api.get<{ repositories: RepositoryReply[] }>("/v1/repositories");
  assert(listed.repositories.some(({ name }) => name === "plain"));
  const one = await scene.api.get<{ repository: RepositoryReply }>("/v1/repositories/plain");
  assertEquals(one.repository, repository);
});

test("?path= finds a repository from anywhere in its work tree", async (scene) => {
  const { name, path } = await scene.repository();
  await Deno.mkdir(`${path}/deep/er`, { recursive: true });
  const query = new URLSearchParams({ path: `${path}/deep/er` });
  const found = await scene.api.get<{ repositories: RepositoryReply[] }>(
    `/v1/repositories?${query}`,
  );
  assertEquals(found.repositories.map((one) => one.name), [name]);
  const nowhere = await scene.api.get<{ repositories: RepositoryReply[] }>(
    "/v1/repositories?path=/",
  );
  assertEquals(nowhere.repositories, []);
});

test("a bare repository is served", async (scene) => {
  const path = await makeBareRepository(scene.path("bare.git"));
  await scene.register("bare", path, path);
  await scene.api.apply([create("bare", "a"), put("bare", "a", "x", "1")]);
  assertEquals(await git(path, ["show", "refs/layers/a:x"]), "1");
  await assertFsckClean(path);
});

test("a linked work tree is served as its common directory", async (scene) => {
  const main = await makeRepository(scene.path("with-trees"));
  const linked = scene.path("linked-tree");
  await git(main, ["worktree", "add", "-q", "-b", "side", linked]);
  const reply = await scene.api.tryRegister("linked", linked);
  const { repository } = bodyOf<{ repository: RepositoryReply }>(reply, 201);
  assertEquals(repository.common_dir, `${main}/.git`);
  assertEquals(repository.head, "refs/heads/side");
  problemOf(await scene.api.tryRegister("main-tree", main), 409, "repository_exists");
  await scene.api.apply([create("linked", "a"), put("linked", "a", "x", "1")]);
  assertEquals(await git(linked, ["show", "refs/layers/a:x"]), "1");
  assertEquals(await git(main, ["show", "refs/layers/a:x"]), "1");
});

test("a repository with alternates reads and builds on borrowed objects", async (scene) => {
  const source = await makeRepository(scene.path("source"));
  const path = scene.path("borrower");
  await git(source, ["clone", "-q", "--shared", source, path]);
  await scene.register("borrower", path, `${path}/.git`);
  await scene.api.apply([
    create("borrower", "a", "refs/heads/main"),
    put("borrower", "a", "x", "1"),
  ]);
  assertEquals(await scene.api.read("borrower", "a", "readme"), "a native file\n");
  assertEquals(await git(path, ["show", "refs/layers/a:x"]), "1");
  await assertFsckClean(path);
});

test("objects in packs are read, with and without deltas", async (scene) => {
  const { name, path } = await scene.repository();
  await scene.api.apply([create(name, "a"), put(name, "a", "x", "1\n".repeat(500))]);
  for (let n = 0; n < 5; n++) {
    await scene.api.apply([put(name, "a", "x", `${"1\n".repeat(500)}${n}`)]);
  }
  await git(path, ["gc", "--quiet", "--prune=now"]);
  assertEquals(await scene.api.read(name, "a", "x"), `${"1\n".repeat(500)}4`);
  await scene.api.apply([put(name, "a", "y", "2")]);
  await assertFsckClean(path);
});

const REFUSALS: readonly {
  readonly what: string;
  readonly reason?: string;
  make(path: string): Promise<void>;
}[] = [
  { what: "a path that is not there", reason: "path_missing", make: () => Promise.resolve() },
  {
    what: "a directory that is no repository",
    reason: "not_a_repository",
    make: (path) => Deno.mkdir(path),
  },
  {
    what: "a sha256 repository",
    make: async (path) => {
      await Deno.mkdir(path);
      await git(path, ["init", "-q", "--object-format=sha256"]);
    },
  },
  { what: "reftable", make: (path) => withConfig(path, "extensions.refStorage", "reftable") },
  {
    what: "a partial clone",
    make: (path) => withConfig(path, "extensions.partialClone", "origin"),
  },
  { what: "a promisor remote", make: (path) => withConfig(path, "remote.origin.promisor", "true") },
  { what: "an unknown extension", make: (path) => withConfig(path, "extensions.fancy", "true") },
  {
    what: "a repository format of the future",
    make: async (path) => {
      await makeRepository(path);
      await git(path, ["config", "core.repositoryFormatVersion", "2"]);
    },
  },
  {
    what: "a symbolic link for refs",
    make: async (path) => {
      await makeRepository(path);
      await Deno.rename(`${path}/.git/refs`, `${path}/.git/elsewhere`);
      await Deno.symlink("elsewhere", `${path}/.git/refs`);
    },
  },
  {
    what: "a symbolic link for packed-refs",
    make: async (path) => {
      await makeRepository(path);
      await git(path, ["pack-refs", "--all"]);
      await Deno.rename(`${path}/.git/packed-refs`, `${path}/.git/elsewhere`);
      await Deno.symlink("elsewhere", `${path}/.git/packed-refs`);
    },
  },
];

async function withConfig(path: string, key: string, value: string): Promise<void> {
  await makeRepository(path);
  await git(path, ["config", "core.repositoryFormatVersion", "1"]);
  await git(path, ["config", key, value]);
}

for (const [index, { what, reason, make }] of REFUSALS.entries()) {
  test(`the gate refuses ${what} with a reason and leaves it alone`, async (scene) => {
    const path = scene.path(`refused-${index}`);
    await make(path);
    const reply = await scene.api.tryRegister(`refused-${index}`, path);
    const problem = problemOf(reply, 422, "unsupported_repository");
    assert(typeof problem.reason === "string" && problem.reason !== "", "It has a reason");
    if (reason !== undefined) assertEquals(problem.reason, reason);
    const gone = await scene.daemon.client.request("GET", `/v1/repositories/refused-${index}`);
    problemOf(gone, 404, "repository_not_found");
    assertEquals((await tryGit(path, ["rev-parse", "--git-path", "layerd"])).code >= 0, true);
    for (const directory of [`${path}/.git/layerd`, `${path}/layerd`]) {
      assertEquals(await entries(directory), null);
    }
  });
}

test("DELETE forgets a repository and removes nothing but layerd's directory", async (scene) => {
  const { name, path } = await scene.repository();
  await scene.api.apply([create(name, "a"), put(name, "a", "x", "1")]);
  const { id } = await scene.api.begin();
  await scene.api.stage(id, put(name, "a", "x", "2"));
  const remove = () => scene.daemon.client.request("DELETE", `/v1/repositories/${name}`);
  problemOf(await remove(), 409, "repository_busy");
  await scene.api.rollback(id);
  const refs = await git(path, ["for-each-ref"]);
  assert((await remove()).status < 300);
  assertEquals(await git(path, ["for-each-ref"]), refs);
  assertEquals(await entries(`${path}/.git/layerd`), null);
  problemOf(await scene.api.tryFile(name, "a", "x"), 404, "repository_not_found");
  bodyOf(await scene.api.tryRegister(name, path), 201);
  assertEquals(await scene.api.read(name, "a", "x"), "1");
});

test("layers are listed by prefix and in pages", async (scene) => {
  const { name } = await scene.repository();
  const layers = ["a/1", "a/2", "a/3", "a/4", "b"];
  await scene.api.apply(layers.map((layer) => create(name, layer)));
  type Page = {
    layers: { name: string; ref: string; commit: string }[];
    next_cursor: string | null;
  };
  const all = await scene.api.get<Page>(`/v1/repositories/${name}/layers`);
  assertEquals(all.layers.map((layer) => layer.name), layers);
  assertEquals(all.layers[0]?.ref, "refs/layers/a/1");
  const seen: string[] = [];
  let cursor: string | null = "";
  while (cursor !== null) {
    const more: string = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const page: Page = await scene.api.get(
      `/v1/repositories/${name}/layers?prefix=a/&limit=3${more}`,
    );
    seen.push(...page.layers.map((layer) => layer.name));
    cursor = page.next_cursor;
  }
  assertEquals(seen, layers.slice(0, 4));
});

test("tree and log show a layer now, at a commit and inside a transaction", async (scene) => {
  const { name, path } = await scene.repository();
  const first = await scene.api.apply([create(name, "a"), put(name, "a", "d/x", "1")], {
    message: "one",
  });
  const old = first.results[0]?.new ?? "";
  const second = await scene.api.apply([put(name, "a", "y", "22")], { message: "two" });
  type Tree = { commit: string; files: { path: string; size: number; mode: string }[] };
  const tree = (query: string) =>
    scene.api.get<Tree>(`/v1/repositories/${name}/tree?layer=a${query}`);
  const now = await tree("");
  assertEquals(now.files.map(({ path, size, mode }) => [path, size, mode]), [
    ["d/x", 1, "100644"],
    ["y", 2, "100644"],
  ]);
  assertEquals(now.commit, await git(path, ["rev-parse", "refs/layers/a"]));
  assertEquals((await tree(`&at=${old}`)).files.map((file) => file.path), ["d/x"]);
  const { id } = await scene.api.begin();
  await scene.api.stage(id, put(name, "a", "z", "3"));
  assertEquals((await tree(`&transaction=${id}`)).files.length, 3);
  await scene.api.rollback(id);
  type Log = { commits: { message: string; transaction_id: string | null; oid: string }[] };
  const log = await scene.api.get<Log>(`/v1/repositories/${name}/log?layer=a`);
  assertEquals(log.commits.map((commit) => commit.transaction_id), [second.id, first.id]);
  assertEquals(log.commits[1]?.oid, old);
  const limited = await scene.api.get<Log>(`/v1/repositories/${name}/log?layer=a&limit=1`);
  assertEquals(limited.commits.length, 1);
});

scenario("a copy of a served repository is refused until adopted", async (scene) => {
  const { path } = await scene.repository();
  const copy = scene.path("copy");
  const { code } = await new Deno.Command("cp", { args: ["-a", path, copy] }).output();
  assertEquals(code, 0);
  const problem = problemOf(await scene.api.tryRegister("copy", copy), 409, "repository_owned");
  assert(problem.reason !== undefined);
  bodyOf(await scene.api.tryRegister("copy", copy, true), 201);
  await scene.api.apply([create("copy", "a")]);
});

async function entries(directory: string): Promise<string[] | null> {
  try {
    const names: string[] = [];
    for await (const { name } of Deno.readDir(directory)) names.push(name);
    return names;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return null;
    }
    throw error;
  }
}
