/** Replicas of real repositories: random writes on all sides, crashes, and who wins. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { ReplicaDocument } from "../../src/replicas/replica.ts";
import { bodyOf, problemOf } from "../harness/api.ts";
import { git } from "../harness/git.ts";
import { SeededRandom } from "../harness/random.ts";
import { report, scaled, withSeed } from "../harness/scale.ts";
import { isolated, type Registered, type Scene } from "../harness/scene.ts";

const LAYER = "shared";
const REF = `refs/layers/${LAYER}`;
const WRITES = scaled({ reduced: 25, full: 1_000 });
const CRASHES = scaled({ reduced: 1, full: 20 });

interface ReplicaReply {
  readonly replica: ReplicaDocument;
}

const place = ({ name }: Registered) => ({ repository: name, layer: LAYER });

async function put(scene: Scene, all: readonly Registered[], rest: object): Promise<void> {
  const [source, ...targets] = all.map(place);
  const body = { source, targets, reconciliation_interval_ms: 500, ...rest };
  bodyOf(await scene.daemon.client.request("PUT", "/v1/replicas/r", body));
}

async function reconcile(scene: Scene): Promise<ReplicaDocument> {
  const reply = await scene.daemon.client.request("POST", "/v1/replicas/r/reconcile", {});
  return bodyOf<ReplicaReply>(reply).replica;
}

/** Two repositories; the first one has the layer. */
async function two(scene: Scene): Promise<[source: Registered, target: Registered]> {
  const [source, target] = [await scene.repository(), await scene.repository()];
  await scene.api.apply([{ op: "create_layer", repository: source.name, layer: LAYER }]);
  return [source, target];
}

async function forget(scene: Scene): Promise<void> {
  assertEquals((await scene.daemon.client.request("DELETE", "/v1/replicas/r")).status, 204);
}

/** A commit by the daemon; its id. */
async function write(scene: Scene, at: Registered, path: string, content: string): Promise<string> {
  const operation = { op: "put_file", repository: at.name, layer: LAYER, path, content };
  const { results } = await scene.api.apply([operation]);
  return results[0]?.new ?? "";
}

isolated("replicas converge and lose no commit under random writes and crashes", async (scene) => {
  await withSeed(async (seed) => {
    const random = new SeededRandom(seed);
    await scene.start();
    const all = [...await two(scene), await scene.repository()];
    await put(scene, all, { conflict_resolution: "last_write_wins" });
    await reconcile(scene);
    const commits: string[] = [];
    const every = Math.ceil(WRITES / (CRASHES + 1));
    for (let n = 1; n <= WRITES; n++) {
      const at = all[random.integer(0, all.length - 1)];
      assert(at);
      const path = `f${random.integer(1, 5)}.txt`;
      commits.push(await write(scene, at, path, `${n} ${random.integer(0, 9)}\n`));
      if (n % every === 0) await scene.killAndRestart();
    }
    let replica = await reconcile(scene);
    for (let round = 0; replica.targets.some(({ status }) => status !== "in_sync"); round++) {
      assert(round < 20, JSON.stringify(replica, null, 1));
      replica = await reconcile(scene);
    }
    assertEquals(replica.lag_ms, 0);
    const tips = await Promise.all(all.map(({ path }) => git(path, ["rev-parse", REF])));
    assertEquals(new Set(tips).size, 1, tips.join(" "));
    const kept = new Set<string>();
    let lost = 0;
    for (const { path } of all) {
      const globs = ["--glob=refs/layers/*", "--glob=refs/layers-lost/*"];
      for (const id of (await git(path, ["rev-list", ...globs])).split("\n")) kept.add(id);
      const refs = await git(path, ["for-each-ref", "refs/layers-lost"]);
      lost += refs === "" ? 0 : refs.split("\n").length;
      await git(path, ["fsck", "--strict", "--connectivity-only"]);
    }
    const missing = commits.filter((id) => !kept.has(id));
    assertEquals(missing, [], `${missing.length} of ${WRITES} commits are lost`);
    report(
      `replicas: seed ${seed}, ${WRITES} writes on 3 repositories, ${CRASHES} crashes, ` +
        `${lost} kept refs of what lost`,
    );
  });
});

isolated("a change of native git reaches the other repositories by itself", async (scene) => {
  await scene.start();
  const [source, target] = await two(scene);
  await put(scene, [source, target], { reconciliation_interval_ms: 3_600_000 });
  await reconcile(scene);
  const old = await git(source.path, ["rev-parse", REF]);
  const made = await git(source.path, ["commit-tree", "-p", old, "-m", "by hand", `${old}^{tree}`]);
  await git(source.path, ["update-ref", REF, made, old]);
  while (await git(target.path, ["rev-parse", REF]) !== made) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

isolated("the strategy decides a conflict, and nothing is lost", async (scene) => {
  await scene.start();
  for (const strategy of ["source_wins", "manual"] as const) {
    const [source, target] = await two(scene);
    const still = { conflict_resolution: strategy, reconciliation_interval_ms: 3_600_000 };
    await put(scene, [source, target], still);
    await write(scene, source, "f.txt", "base\n");
    await reconcile(scene);
    await forget(scene);
    problemOf(await scene.daemon.client.request("GET", "/v1/replicas/r"), 404, "replica_not_found");
    const theirs = await write(scene, target, "f.txt", "target\n");
    const ours = await write(scene, source, "f.txt", "source\n");
    await put(scene, [source, target], still);
    const replica = await reconcile(scene);
    assertEquals(await git(source.path, ["rev-parse", REF]), ours);
    if (strategy === "source_wins") {
      assertEquals(replica.targets[0]?.status, "in_sync");
      assertEquals(await git(target.path, ["rev-parse", REF]), ours);
      const lost = `refs/layers-lost/r/${LAYER}/${theirs}`;
      assertEquals(await git(target.path, ["rev-parse", lost]), theirs);
    } else {
      assertEquals([replica.conflicts, replica.targets[0]?.status], [1, "conflict"]);
      assertEquals(await git(target.path, ["rev-parse", REF]), theirs);
      assert((replica.targets[0]?.detail ?? "").includes("f.txt"), JSON.stringify(replica));
    }
    await forget(scene);
  }
});

isolated("a deletion on one side is carried, and what it took is kept", async (scene) => {
  await scene.start();
  const [source, target] = await two(scene);
  const still = { reconciliation_interval_ms: 3_600_000, conflict_resolution: "manual" };
  await put(scene, [source, target], still);
  for (const [from, to] of [[source, target], [target, source]] as const) {
    const commit = await write(scene, source, "f.txt", `${from.name}\n`);
    await until(scene, (r) => r.targets[0]?.commit === commit);
    await scene.killAndRestart();
    await scene.api.apply([{ op: "delete_layer", repository: from.name, layer: LAYER }]);
    const replica = await until(scene, (r) => r.targets[0]?.status === "in_sync");
    assertEquals([replica.source_commit, replica.targets[0]?.commit], [null, null]);
    const lost = `refs/layers-lost/r/${LAYER}/${commit}`;
    assertEquals(await git(to.path, ["rev-parse", lost]), commit);
    await scene.api.apply([{ op: "create_layer", repository: source.name, layer: LAYER }]);
    await until(scene, (r) => r.source_commit !== null && r.targets[0]?.status === "in_sync");
  }
  const refs = await git(target.path, ["for-each-ref", "--format=%(refname)", "refs/layers-sync"]);
  assertMatch(refs, /^refs\/layers-sync\/r\/[0-9a-f]{32}\/base$/, "Nothing is left incoming");
  await forget(scene);
  assertEquals(await git(target.path, ["for-each-ref", "refs/layers-sync"]), "");
});

isolated("the strategy decides where one side was deleted and the other went on", async (scene) => {
  await scene.start();
  for (const strategy of ["last_write_wins", "source_wins", "manual"] as const) {
    const [source, target] = await two(scene);
    const still = { conflict_resolution: strategy, reconciliation_interval_ms: 3_600_000 };
    await put(scene, [source, target], still);
    await until(scene, (r) => r.targets[0]?.status === "in_sync");
    // Both at once, or a round between them would carry the deletion.
    const { results } = await scene.api.apply([
      { op: "delete_layer", repository: source.name, layer: LAYER },
      { op: "put_file", repository: target.name, layer: LAYER, path: "f", content: "on\n" },
    ]);
    const made = results.find(({ repository }) => repository === target.name)?.new ?? "";
    const replica = await until(scene, ({ targets, source_commit }) => {
      const [first] = targets;
      if (strategy === "manual") return first?.status === "conflict";
      return first?.status === "in_sync" && first.commit === source_commit;
    });
    if (strategy === "manual") {
      assertMatch(replica.targets[0]?.detail ?? "", /was deleted, and .* went on/);
      assertEquals(await git(target.path, ["rev-parse", REF]), made);
    } else if (strategy === "source_wins") {
      assertEquals(replica.source_commit, null);
      const lost = `refs/layers-lost/r/${LAYER}/${made}`;
      assertEquals(await git(target.path, ["rev-parse", lost]), made);
    } else {
      assertEquals(replica.source_commit, made, "The write wins");
    }
    await forget(scene);
  }
});

isolated("a source that was made anew empty deletes nothing elsewhere", async (scene) => {
  await scene.start();
  const [source, target] = await two(scene);
  await put(scene, [source, target], { reconciliation_interval_ms: 3_600_000 });
  const { source_commit } = await until(scene, (r) => r.targets[0]?.status === "in_sync");
  const { client } = scene.daemon;
  assertEquals((await client.request("DELETE", `/v1/repositories/${source.name}`)).status, 204);
  await Deno.rename(source.path, `${source.path}.old`);
  await git(scene.home.directory, ["init", "-q", source.path]);
  bodyOf(
    await client.request("POST", "/v1/repositories", { name: source.name, path: source.path }),
    201,
  );
  const replica = await reconcile(scene);
  assertEquals(replica.targets[0]?.status, "failing");
  assertMatch(replica.targets[0]?.detail ?? "", /layer_not_found/);
  assertEquals(await git(target.path, ["rev-parse", REF]), source_commit);
});

isolated(
  "replicas that are defined at the same time are all there after a restart",
  async (scene) => {
    await scene.start();
    const [source, target] = (await two(scene)).map(place);
    const names = ["a", "b", "c", "d", "e", "f"];
    const replies = await Promise.all(
      names.map((name) =>
        scene.daemon.client.request("PUT", `/v1/replicas/${name}`, { source, targets: [target] })
      ),
    );
    for (const reply of replies) {
      bodyOf(reply);
    }
    await scene.killAndRestart();
    const { replicas } = await scene.api.get<{ replicas: ReplicaDocument[] }>("/v1/replicas");
    assertEquals(replicas.map(({ name }) => name), names);
  },
);

/** Rounds until the replica is so. */
async function until(
  scene: Scene,
  isSo: (replica: ReplicaDocument) => boolean,
): Promise<ReplicaDocument> {
  for (let round = 0;; round++) {
    const replica = await reconcile(scene);
    if (isSo(replica)) return replica;
    assert(round < 20, JSON.stringify(replica, null, 1));
  }
}
