/** Publication that meets foreign locks, or a repository that cannot be written any more. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { create, problemOf, put, transactionIn } from "../harness/api.ts";
import { git, tryGit } from "../harness/git.ts";
import { assertFsckClean, assertNothingLeftBehind } from "../harness/repositories.ts";
import { scenario } from "../harness/scene.ts";

for (const lock of ["refs/layers/a.lock", "packed-refs.lock"]) {
  scenario(`a foreign ${lock} gives repository_locked and leaves it active`, async (scene) => {
    const { name, path, commonDirectory } = await scene.repository();
    await scene.api.apply([create(name, "a"), put(name, "a", "x", "0")]);
    const foreign = `${commonDirectory}/${lock}`;
    await Deno.mkdir(`${commonDirectory}/refs/layers`, { recursive: true });
    await Deno.writeTextFile(foreign, "");
    const { id } = await scene.api.begin({ lock_timeout_ms: 150 });
    await scene.api.stage(id, put(name, "a", "x", "1"));
    const problem = problemOf(await scene.api.tryVerb(id, "commit"), 423, "repository_locked");
    assertStringIncludes(problem.detail, lock);
    assertEquals(problem.transaction?.state, "active");
    assertEquals(problem.retryable, true);
    assertEquals(await Deno.readTextFile(foreign), "", "A foreign lock is never removed");
    await Deno.remove(foreign);
    assertEquals((await scene.api.commit(id)).state, "committed");
    assertEquals(await git(path, ["show", "refs/layers/a:x"]), "1");
    await assertNothingLeftBehind(commonDirectory);
  });
}

scenario("a commit waits for a short foreign lock and then goes through", async (scene) => {
  const { name, commonDirectory } = await scene.repository();
  await scene.api.apply([create(name, "a")]);
  const foreign = `${commonDirectory}/packed-refs.lock`;
  await Deno.writeTextFile(foreign, "");
  const { id } = await scene.api.begin({ lock_timeout_ms: 20_000 });
  await scene.api.stage(id, put(name, "a", "x", "1"));
  const commit = scene.api.commit(id);
  const waiting = await scene.api.transaction(id);
  assert(waiting.state !== "committed");
  await Deno.remove(foreign);
  assertEquals((await commit).state, "committed");
});

/** An immutable `packed-refs` lets everything be prepared, and refuses only the rename. */
async function chattr(flag: string, path: string): Promise<boolean> {
  const command = new Deno.Command("chattr", { args: [flag, path], stderr: "null" });
  try {
    return (await command.output()).code === 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

for (const end of ["by itself", "after SIGKILL"]) {
  scenario(`a stalled publication answers 202 and ends ${end}`, async (scene) => {
    const stalled = await scene.repository();
    const well = await scene.repository();
    for (const { name } of [stalled, well]) {
      await scene.api.apply([create(name, "a"), put(name, "a", "x", "0"), create(name, "b")]);
    }
    const packedRefs = `${stalled.commonDirectory}/packed-refs`;
    if (!await chattr("+i", packedRefs)) return;
    let id: string;
    try {
      ({ id } = await scene.api.begin());
      await scene.api.stage(id, ...[stalled, well].map(({ name }) => put(name, "a", "x", "1")));
      const answer = transactionIn(await scene.api.tryVerb(id, "commit"), 202);
      assertEquals(answer.state, "committing");
      assert(answer.problem !== null, "It says what holds it up");
      // The other repository went ahead; the stalled one keeps its ref locked, not packed-refs.
      assertEquals(await git(well.path, ["show", "refs/layers/a:x"]), "1");
      assertEquals(await git(stalled.path, ["show", "refs/layers/a:x"]), "0");
      const native = await tryGit(stalled.path, ["update-ref", "refs/layers/a", "main"]);
      assertMatch(native.stderr, /lock/);
      const health = await scene.api.get<{ status: string }>("/v1/health");
      assertEquals(health.status, "degraded");
      await scene.api.apply([put(well.name, "b", "y", "1")]);
      if (end === "after SIGKILL") await scene.daemon.kill();
    } finally {
      await chattr("-i", packedRefs);
    }
    if (end === "after SIGKILL") await scene.start();
    const done = await scene.api.transaction(id, "?wait_for=terminal&timeout_ms=30000");
    assertEquals(done.state, "committed");
    assertEquals(await git(stalled.path, ["show", "refs/layers/a:x"]), "1");
    for (const { path, commonDirectory } of [stalled, well]) {
      await assertFsckClean(path);
      await assertNothingLeftBehind(commonDirectory);
    }
    await scene.api.apply([put(stalled.name, "a", "x", "2")]);
  });
}

scenario("git prune between staging and commit takes nothing away", async (scene) => {
  const { name, path } = await scene.repository();
  await scene.api.apply([create(name, "a")]);
  for (let n = 0; n < 5; n++) {
    const { id } = await scene.api.begin();
    const prune = git(path, ["prune", "--expire=now"]);
    await scene.api.stage(id, put(name, "a", `x${n}`, `content ${n}`));
    await scene.api.commit(id);
    await prune;
    await git(path, ["gc", "--quiet", "--prune=now"]);
  }
  await assertFsckClean(path);
});
