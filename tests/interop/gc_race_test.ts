/**
 * Native git that looked at a repository before a commit and deletes after it: the commit's
 * objects stay. git is held between its look and its deletions, at points that it reaches by
 * itself: `git prune` names files that it does not know on its error output, which nobody reads
 * until the test lets it go on; `git repack` waits for its `git pack-objects`, which a wrapper
 * in its exec path keeps from ending.
 */
import { assertEquals } from "@std/assert";
import { objectId } from "../../src/git/object_codec.ts";
import { create, put } from "../harness/api.ts";
import { git, GIT_ENVIRONMENT } from "../harness/git.ts";
import { assertFsckClean, assertNothingLeftBehind } from "../harness/repositories.ts";
import { type Registered, scenario, type Scene } from "../harness/scene.ts";

/** More than a pipe and the stream behind it take. */
const STRAYS = 1_500;
const LAYERS = ["a", "b", "c"];
/** Enough for several folds. */
const COMMITS = 40;

/** A native command that has looked and has not deleted. */
interface HeldCommand {
  release(): Promise<void>;
}

/**
 * git looks at the refs when it meets the first object, which stands in the first of the fan-out
 * directories; the next one is full of files that it only complains about.
 */
async function holdPrune(path: string, args: readonly string[]): Promise<HeldCommand> {
  await writeGarbage(path);
  const directory = `${path}/.git/objects/01`;
  await Deno.mkdir(directory, { recursive: true });
  const strays = Array.from({ length: STRAYS }, (_, n) => `${directory}/${"s".repeat(200)}${n}`);
  await Deno.writeTextFile(strays[0] ?? "", "");
  for (const stray of strays.slice(1)) Deno.linkSync(strays[0] ?? "", stray);
  const process = spawnGit(path, args, {});
  const output = process.stderr.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; !text.includes("bad sha1 file");) {
    const { value, done } = await output.read();
    if (done) throw new Error(`git ${args.join(" ")} was not held: ${text}`);
    text += value;
  }
  return {
    async release() {
      while (!(await output.read()).done);
      assertEquals((await process.status).code, 0);
      for (const stray of strays) await Deno.remove(stray);
    },
  };
}

/** A blob that nothing reaches, whose id starts with two zeros. */
async function writeGarbage(path: string): Promise<void> {
  const encode = (n: number) => new TextEncoder().encode(`garbage ${n}`);
  let n = 0;
  while (!objectId("blob", encode(n)).startsWith("00")) n += 1;
  await git(path, ["hash-object", "-w", "--stdin"], { input: encode(n) });
}

const WRAPPER = `#!/bin/sh
"$REAL_GIT" "$@"
status=$?
if [ "$1" = pack-objects ]; then
  echo packed >"$HOLD/packed"
  read -r _ <"$HOLD/go"
fi
exit $status
`;

async function holdRepack(path: string, args: readonly string[]): Promise<HeldCommand> {
  const hold = await Deno.makeTempDir({ dir: path, prefix: ".hold" });
  await Deno.writeTextFile(`${hold}/git`, WRAPPER, { mode: 0o755 });
  await new Deno.Command("mkfifo", { args: [`${hold}/packed`, `${hold}/go`] }).output();
  const which = await new Deno.Command("sh", { args: ["-c", "command -v git"] }).output();
  const process = spawnGit(path, args, {
    GIT_EXEC_PATH: hold,
    HOLD: hold,
    REAL_GIT: new TextDecoder().decode(which.stdout).trim(),
  });
  await Deno.readTextFile(`${hold}/packed`);
  return {
    async release() {
      await Deno.writeTextFile(`${hold}/go`, "go\n");
      const { code, stderr } = await process.output();
      assertEquals({ code, stderr: new TextDecoder().decode(stderr) }, { code: 0, stderr: "" });
      await Deno.remove(hold, { recursive: true });
    },
  };
}

function spawnGit(
  path: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Deno.ChildProcess {
  return new Deno.Command("git", {
    args: ["-C", path, ...args],
    env: { ...GIT_ENVIRONMENT, ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** A repository with layers, and with two packs that a repack will replace. */
async function layeredRepository(scene: Scene): Promise<Registered> {
  const repository = await scene.repository();
  await git(repository.path, ["repack", "-dq"]);
  await git(repository.path, ["commit", "-q", "--allow-empty", "-m", "second"]);
  await git(repository.path, ["repack", "-dq"]);
  await scene.api.apply(LAYERS.map((layer) => create(repository.name, layer)));
  return repository;
}

function manyFiles(repository: string, layer: string) {
  return Array.from(
    { length: 300 },
    (_, n) => put(repository, layer, `many/${n}`, `${layer} ${n}`),
  );
}

async function commitMuch(scene: Scene, { name }: Registered): Promise<void> {
  for (let n = 0; n < COMMITS; n += 1) {
    await scene.api.apply([put(name, LAYERS[n % LAYERS.length] ?? "", "n", `${n}`)]);
    if (n === COMMITS / 2) await checkpoint(scene);
  }
  await scene.api.apply(manyFiles(name, "a"));
  await checkpoint(scene);
  await scene.api.apply([put(name, "b", "last", "word")]);
}

async function checkpoint(scene: Scene): Promise<void> {
  const reply = await scene.daemon.client.request("POST", "/v1/wal/checkpoint");
  assertEquals(reply.status, 200, reply.text);
}

async function assertWhole(scene: Scene, { name, path }: Registered): Promise<void> {
  // A start makes a checkpoint by itself, and fsck complains of packs that vanish beneath it.
  await checkpoint(scene);
  await assertFsckClean(path);
  assertEquals(await git(path, ["show", "refs/layers/c:n"]), "38");
  assertEquals(await git(path, ["show", "refs/layers/b:last"]), "word");
  assertEquals(await scene.api.read(name, "a", "many/299"), "a 299");
}

/** A stop leaves nothing of ours that git treats in another way than its own. */
async function assertStopsClean(scene: Scene, repository: Registered): Promise<void> {
  assertEquals(await scene.daemon.stop(), 0);
  await assertFsckClean(repository.path);
  await assertNothingLeftBehind(repository.commonDirectory);
  const packs = [...Deno.readDirSync(`${repository.commonDirectory}/objects/pack`)];
  assertEquals(packs.filter(({ name }) => name.endsWith(".keep")), []);
  await git(repository.path, ["gc", "-q", "--prune=now"]);
  await assertFsckClean(repository.path);
}

for (const args of [["prune", "--expire=now"], ["gc", "--prune=now", "-q"]]) {
  scenario(
    `git ${args.join(" ")} that looked before commits takes nothing of theirs`,
    async (scene) => {
      const repository = await layeredRepository(scene);
      const held = await holdPrune(repository.path, args);
      await commitMuch(scene, repository);
      await held.release();
      await assertWhole(scene, repository);
      await scene.killAndRestart();
      await assertWhole(scene, repository);
      await assertStopsClean(scene, repository);
    },
  );
}

for (const args of [["repack", "-adq"], ["repack", "-Adq"], ["repack", "-dq", "--geometric=2"]]) {
  scenario(
    `git ${args.join(" ")} that listed packs before commits takes nothing of theirs`,
    async (scene) => {
      const repository = await layeredRepository(scene);
      const { name, path } = repository;
      // Its pack is there when git lists packs, and no ref reaches it when git looks at refs.
      const promised = await scene.api.begin({ operations: manyFiles(name, "c") });
      await scene.api.prepare(promised.id);
      const held = await holdRepack(path, args);
      const { results } = await scene.api.commit(promised.id);
      await commitMuch(scene, repository);
      await held.release();
      assertEquals(await git(path, ["show", `${results[0]?.new}:many/7`]), "c 7");
      await assertWhole(scene, repository);
      await scene.restart();
      await assertWhole(scene, repository);
      await assertStopsClean(scene, repository);
    },
  );
}
