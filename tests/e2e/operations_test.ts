/** Operations of a transaction, one by one, as git sees their outcome. */
import { assert, assertEquals } from "@std/assert";
import { bodyOf, create, problemOf, put, remove, updateRef } from "../harness/api.ts";
import { git } from "../harness/git.ts";
import { assertFsckClean, makeCommit, readRef } from "../harness/repositories.ts";
import { sharedScenarios } from "../harness/scene.ts";

const test = sharedScenarios();

test("create_layer alone points at one empty-tree commit", async (scene) => {
  const { name, path } = await scene.repository();
  await scene.api.apply([create(name, "a")]);
  assertEquals(await git(path, ["ls-tree", "refs/layers/a"]), "");
  assertEquals(await git(path, ["rev-list", "--count", "refs/layers/a"]), "1");
});

test("create_layer from a layer, a ref or a commit points where that is", async (scene) => {
  const { name, path } = await scene.repository();
  await scene.api.apply([create(name, "a"), put(name, "a", "f", "1")]);
  const main = await git(path, ["rev-parse", "main"]);
  const a = await git(path, ["rev-parse", "refs/layers/a"]);
  await scene.api.apply([
    create(name, "from-layer", "a"),
    create(name, "from-ref", "refs/heads/main"),
    create(name, "from-commit", main),
  ]);
  assertEquals(await readRef(path, "refs/layers/from-layer"), a);
  assertEquals(await readRef(path, "refs/layers/from-ref"), main);
  assertEquals(await readRef(path, "refs/layers/from-commit"), main);
});

test("put_file keeps modes and bytes, and reads answer them", async (scene) => {
  const { name, path } = await scene.repository();
  const binary = new Uint8Array([0, 255, 254, 128, 10]);
  await scene.api.apply([
    create(name, "a"),
    { ...put(name, "a", "run.sh", "#!/bin/sh\n"), mode: "100755" },
    { ...put(name, "a", "link", "run.sh"), mode: "120000" },
    { ...put(name, "a", "deep/er/ü", "\ufefftext"), mode: "100644" },
    {
      op: "put_file",
      repository: name,
      layer: "a",
      path: "bin",
      content_base64: binary.toBase64(),
    },
  ]);
  const modes = await git(path, ["-c", "core.quotePath=false", "ls-tree", "-r", "refs/layers/a"]);
  assertEquals(modes.split("\n").map((line) => `${line.slice(0, 6)} ${line.split("\t")[1]}`), [
    "100644 bin",
    "100644 deep/er/ü",
    "120000 link",
    "100755 run.sh",
  ]);
  assertEquals(await scene.api.read(name, "a", "deep/er/ü"), "\ufefftext");
  const reply = await scene.api.tryFile(name, "a", "bin");
  const file = bodyOf<{ content_base64: string; size: number; oid: string }>(reply);
  assertEquals(file.content_base64, binary.toBase64());
  assertEquals(file.size, binary.length);
  assertEquals(reply.headers.get("etag")?.includes(file.oid), true);
  const raw = await scene.daemon.client.request(
    "GET",
    `/v1/repositories/${name}/file?layer=a&path=bin`,
    undefined,
    { headers: { accept: "application/octet-stream" } },
  );
  assertEquals(raw.bytes, binary);
  await assertFsckClean(path);
});

test("delete_file, move_file and delete_layer do what they say", async (scene) => {
  const { name, path } = await scene.repository();
  await scene.api.apply([create(name, "a"), put(name, "a", "x", "1"), put(name, "a", "d/y", "2")]);
  await scene.api.apply([
    { op: "move_file", repository: name, layer: "a", from: "x", to: "moved/x" },
    remove(name, "a", "d/y"),
  ]);
  assertEquals(await git(path, ["ls-tree", "-r", "--name-only", "refs/layers/a"]), "moved/x");
  await scene.api.apply([{ op: "delete_layer", repository: name, layer: "a" }]);
  assertEquals(await readRef(path, "refs/layers/a"), null);
  problemOf(await scene.api.tryFile(name, "a", "moved/x"), 404, "layer_not_found");
});

test("a transaction that changes nothing commits and moves nothing", async (scene) => {
  const { name, path } = await scene.repository();
  await scene.api.apply([create(name, "a"), put(name, "a", "x", "1")]);
  const before = await git(path, ["for-each-ref"]);
  const { state, results } = await scene.api.apply([put(name, "a", "x", "1")]);
  assertEquals(state, "committed");
  assertEquals(results.filter(({ old, new: next }) => old !== next), []);
  assertEquals(await git(path, ["for-each-ref"]), before);
  assertEquals((await scene.api.commit((await scene.api.begin()).id)).state, "committed");
});

test("a list of operations is staged whole or not at all", async (scene) => {
  const { name } = await scene.repository();
  const { id } = await scene.api.begin();
  await scene.api.stage(id, create(name, "a"));
  const reply = await scene.api.tryStage(id, [put(name, "a", "x", "1"), remove(name, "a", "nope")]);
  problemOf(reply, 404, "file_not_found");
  assertEquals((await scene.api.transaction(id)).operations, 1);
  assertEquals(await scene.api.read(name, "a", "x", id), null);
  await scene.api.rollback(id);
});

test("put_file by oid takes an uploaded blob, also a large one", async (scene) => {
  const { name, path } = await scene.repository();
  const blob = new Uint8Array(20 * 1_048_576);
  for (let at = 0; at < blob.length; at += 65_536) {
    crypto.getRandomValues(blob.subarray(at, at + 65_536));
  }
  const { id } = await scene.api.begin();
  const uploaded = await scene.daemon.client.request(
    "PUT",
    `/v1/transactions/${id}/blobs`,
    undefined,
    { raw: blob, headers: { "content-type": "application/octet-stream" } },
  );
  const { oid, size } = bodyOf<{ oid: string; size: number }>(uploaded, 201);
  assertEquals(size, blob.length);
  const file = { op: "put_file", repository: name, layer: "a", path: "big", oid };
  await scene.api.stage(id, create(name, "a"), file);
  await scene.api.commit(id);
  assertEquals(await git(path, ["rev-parse", "refs/layers/a:big"]), oid);
  assertEquals(await git(path, ["cat-file", "-s", oid]), String(blob.length));
  await assertFsckClean(path);
});

test("update_ref creates, moves and deletes refs of the four kinds", async (scene) => {
  const { name, path } = await scene.repository();
  const main = await git(path, ["rev-parse", "main"]);
  const next = await makeCommit(path, main, "next");
  const refs = ["refs/heads/b", "refs/tags/t", "refs/notes/n", "refs/layers/l"];
  await scene.api.apply(refs.map((ref) => updateRef(name, ref, main)));
  for (const ref of refs) assertEquals(await readRef(path, ref), main);
  await scene.api.apply(refs.map((ref) => ({ ...updateRef(name, ref, next), expect: main })));
  for (const ref of refs) assertEquals(await readRef(path, ref), next);
  await scene.api.apply(refs.map((ref) => updateRef(name, ref, null)));
  for (const ref of refs) assertEquals(await readRef(path, ref), null);
});

test("update_ref with another expected value is a write_conflict", async (scene) => {
  const { name, path } = await scene.repository();
  const main = await git(path, ["rev-parse", "main"]);
  await git(path, ["branch", "b"]);
  const edit = { ...updateRef(name, "refs/heads/b", null), expect: null };
  const problem = problemOf(await scene.api.tryApply([edit]), 409, "write_conflict");
  assertEquals(problem.conflicts, [
    { repository: name, ref: "refs/heads/b", layer: null, expected: null, actual: main },
  ]);
  assertEquals(await readRef(path, "refs/heads/b"), main);
});

test("update_ref refuses a branch that a work tree has checked out", async (scene) => {
  const { name, path } = await scene.repository();
  const main = await git(path, ["rev-parse", "main"]);
  const next = await makeCommit(path, main, "next");
  await git(path, ["worktree", "add", "-q", "-b", "linked", scene.path(`${name}-linked`)]);
  for (const branch of ["main", "linked"]) {
    const reply = await scene.api.tryApply([updateRef(name, `refs/heads/${branch}`, next)]);
    problemOf(reply, 409, "ref_checked_out");
    assertEquals(await readRef(path, `refs/heads/${branch}`), main);
  }
});

test("names that cannot stand beside each other are a name_conflict", async (scene) => {
  const { name, path } = await scene.repository();
  const main = await git(path, ["rev-parse", "main"]);
  await scene.api.apply([create(name, "a/b"), put(name, "a/b", "dir/file", "1")]);
  problemOf(await scene.api.tryApply([create(name, "a")]), 409, "name_conflict");
  problemOf(await scene.api.tryApply([create(name, "a/b/c")]), 409, "name_conflict");
  const both = [create(name, "x"), create(name, "x/y")];
  problemOf(await scene.api.tryApply(both), 409, "name_conflict");
  problemOf(await scene.api.tryApply([put(name, "a/b", "dir", "1")]), 409, "name_conflict");
  problemOf(await scene.api.tryApply([put(name, "a/b", "dir/file/x", "1")]), 409, "name_conflict");
  await git(path, ["branch", "n/m"]);
  const below = updateRef(name, "refs/heads/n", main);
  problemOf(await scene.api.tryApply([below]), 409, "name_conflict");
  assertEquals(
    await git(path, ["for-each-ref", "--format=%(refname)", "refs/layers/"]),
    "refs/layers/a/b",
  );
});

test("a layer can give its name to one below it in the same transaction", async (scene) => {
  const { name, path } = await scene.repository();
  await scene.api.apply([create(name, "a"), put(name, "a", "f", "1")]);
  await scene.api.apply([
    { op: "delete_layer", repository: name, layer: "a" },
    create(name, "a/b"),
  ]);
  assertEquals(await readRef(path, "refs/layers/a"), null);
  assert(await readRef(path, "refs/layers/a/b") !== null);
  await assertFsckClean(path);
});

test("savepoints take back what came after them and keep the locks", async (scene) => {
  const { name } = await scene.repository();
  await scene.api.apply([create(name, "a"), create(name, "b")]);
  const { id } = await scene.api.begin();
  await scene.api.stage(id, put(name, "a", "x", "1"));
  await scene.api.savepoint(id, "one");
  await scene.api.stage(id, put(name, "a", "x", "2"), put(name, "b", "y", "2"));
  await scene.api.savepoint(id, "two");
  await scene.api.stage(id, put(name, "b", "y", "3"));
  const back = await scene.api.tryVerb(id, "savepoints/one/rollback");
  assertEquals(bodyOf<{ transaction: unknown }>(back).transaction !== undefined, true);
  const now = await scene.api.transaction(id);
  assertEquals(
    { operations: now.operations, savepoints: now.savepoints, locks: now.locks.length },
    {
      operations: 1,
      savepoints: ["one"],
      locks: 2,
    },
  );
  problemOf(await scene.api.tryVerb(id, "savepoints/two/rollback"), 404, "savepoint_not_found");
  await scene.api.commit(id);
  assertEquals(await scene.api.read(name, "a", "x"), "1");
  assertEquals(await scene.api.read(name, "b", "y"), null);
});

test("diff tells what is staged, and afterwards what was committed", async (scene) => {
  const { name, path } = await scene.repository();
  await scene.api.apply([
    create(name, "a"),
    put(name, "a", "changed", "1"),
    put(name, "a", "gone", "1"),
  ]);
  const { id } = await scene.api.begin();
  await scene.api.stage(
    id,
    put(name, "a", "changed", "2"),
    remove(name, "a", "gone"),
    put(name, "a", "new", "3"),
  );
  type Changes = { changes: { path: string; status: string; new_oid: string | null }[] };
  const summary = async () => {
    const { changes } = await scene.api.get<Changes>(`/v1/transactions/${id}/diff`);
    return changes.map((change) => `${change.status} ${change.path}`);
  };
  const expected = ["modified changed", "deleted gone", "added new"];
  assertEquals(await summary(), expected);
  await scene.api.commit(id);
  assertEquals(await summary(), expected);
  const { changes } = await scene.api.get<Changes>(`/v1/transactions/${id}/diff`);
  assertEquals(changes[0]?.new_oid, await git(path, ["rev-parse", "refs/layers/a:changed"]));
});

test("a daemon with its own permissions reads and patches YAML", async (scene) => {
  const { name } = await scene.repository();
  await scene.api.apply([
    create(name, "a"),
    put(name, "a", "f.yaml", "# kept\nport: 80\n"),
    { op: "patch_file", repository: name, layer: "a", path: "f.yaml", merge_patch: { port: 8080 } },
  ]);
  assertEquals(await scene.api.read(name, "a", "f.yaml"), "# kept\nport: 8080\n");
});
