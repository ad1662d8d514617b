/**
 * Fair to native git (DESIGN section 4): beside a full load of commits, `git commit` and
 * `git branch -d` with their default patience fail less than once in a thousand times.
 */
import { assert, assertEquals } from "@std/assert";
import { Api, create, put } from "../harness/api.ts";
import { git, tryGit } from "../harness/git.ts";
import { assertFsckClean, assertNothingLeftBehind } from "../harness/repositories.ts";
import { report, scaled } from "../harness/scale.ts";
import { scenario, type Scene } from "../harness/scene.ts";
import { SocketClient } from "../harness/socket_client.ts";

const CALLS = scaled({ reduced: 60, full: 1_000 });
/** Few calls on a busy machine prove only that nobody starves; the full count proves the rest. */
const FAILURES_MAX = scaled({ reduced: 6, full: 1 });
const CLIENTS = 16;

scenario(
  "native commits and deletions go on beside a full load",
  async (scene) => {
    const { name, path, commonDirectory } = await scene.repository();
    const layers = Array.from({ length: CLIENTS }, (_, n) => `load/${n}`);
    await scene.api.apply(layers.map((layer) => create(name, layer)));
    // Packed, so that each deletion needs `packed-refs.lock`.
    for (let n = 0; n < CALLS / 2; n++) await git(path, ["branch", `gone/${n}`]);
    await git(path, ["pack-refs", "--all"]);
    const done = new AbortController();
    const load = Promise.all(
      layers.map((layer) => keepCommitting(scene, name, layer, done.signal)),
    );
    const failures: string[] = [];
    try {
      for (let call = 0; call < CALLS; call++) {
        const args = call % 2 === 0
          ? ["commit", "-q", "--allow-empty", "-m", `native ${call}`]
          : ["branch", "-q", "-d", `gone/${(call - 1) / 2}`];
        const { code, stderr } = await Promise.race([tryGit(path, args), endedEarly(load)]);
        if (code !== 0) failures.push(`git ${args[0]}: ${stderr.trim()}`);
      }
    } finally {
      done.abort();
    }
    const commits = (await load).reduce((sum, count) => sum + count, 0);
    report(`fairness: ${CALLS} native calls, ${failures.length} failed, beside ${commits} commits`);
    assert(failures.length <= FAILURES_MAX, failures.join("\n"));
    assert(commits >= CALLS, `only ${commits} commits`);
    const count = await git(path, ["rev-list", "--count", "main"]);
    assertEquals(Number(count) - 1 >= CALLS / 2 - failures.length, true, count);
    await scene.daemon.stop();
    await assertNothingLeftBehind(commonDirectory);
    await assertFsckClean(path);
  },
);

async function keepCommitting(
  scene: Scene,
  repository: string,
  layer: string,
  signal: AbortSignal,
): Promise<number> {
  const client = new SocketClient(scene.home.socket);
  const api = new Api(client);
  let count = 0;
  try {
    while (!signal.aborted) {
      await api.apply([put(repository, layer, "count", String(++count))], {
        lock_timeout_ms: 30_000,
      });
    }
    return count;
  } finally {
    client.close();
  }
}

async function endedEarly(load: Promise<unknown>): Promise<never> {
  await load;
  throw new Error("The load ended by itself");
}
