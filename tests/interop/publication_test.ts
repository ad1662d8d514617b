/**
 * Publication beside real git: what native processes see, and what they cannot do.
 *
 * GIT-SAFETY section 2, item by item: 1 ref_locks_test (order, all or none) · 2 ref_locks_test
 * (ENOENT, EEXIST, EMLINK) · 3 here, `cannot remove, move or prune` · 4 locked_refs_test,
 * ref_reader_test · 5 locked_refs_test · 6 publication_test (modes, leftovers; where the
 * fsyncs stand is the simulated machine's to check) · 7 packed_refs_test · 8 here, `long-lived`,
 * and size_pad_test · 9 here, `a process that dies` · 10 publication_test, ref_locks_test ·
 * 11 reflog_test · 12 ref_reader_test, locked_refs_test · 13 cannot be prevented and is
 * documented in publication.ts.
 */
import { assert, assertEquals } from "@std/assert";
import { parseObjectId } from "../../src/core/ids.ts";
import type { RefEdit } from "../../src/core/ref_edit.ts";
import type { OpenRefs } from "../../src/git/open_refs.ts";
import { FileSystemError } from "../../src/system/file_system.ts";
import { DyingFileSystem } from "../git/dying_file_system.ts";
import {
  edit,
  layer,
  NOTE,
  publishEdits,
  ref,
  RefsScene,
  tryPublishEdits,
} from "../git/refs_scene.ts";
import { GIT_ENVIRONMENT, tryGit } from "../harness/git.ts";
import { assertFsckClean } from "../harness/repositories.ts";

/** Native git that gives up at once instead of waiting up to a second for a lock. */
const IMPATIENT = ["-c", "core.packedRefsTimeout=0", "-c", "core.filesRefLockTimeout=0"];

function manyLayers(count: number) {
  return Array.from({ length: count }, (_, i) => layer(`group/${String(i).padStart(3, "0")}`));
}

async function assertClones(scene: RefsScene): Promise<void> {
  const target = `${scene.directory}.mirror`;
  try {
    await scene.git("clone", "-q", "--mirror", ".", target);
    const format = ["for-each-ref", "--format=%(refname) %(objectname) %(*objectname)"];
    const cloned = await tryGit(target, format);
    assertEquals(cloned.stdout, `${await scene.git(...format)}\n`);
  } finally {
    await Deno.remove(target, { recursive: true });
  }
}

Deno.test("publish() moves 50 refs at once for every for-each-ref beside 60 publications", () =>
  RefsScene.run(async (scene) => {
    const open = scene.open();
    const layers = manyLayers(50);
    await publishEdits(open, layers.map((name) => edit(name, null, scene.commit(0))));
    const stop = `${scene.directory}/stop`;
    const loop = `while [ ! -e "${stop}" ]; do
      git for-each-ref --format='%(objectname)' refs/layers/ | sort | uniq -c; echo; done`;
    const reader = new Deno.Command("bash", {
      args: ["-c", loop],
      cwd: scene.directory,
      env: { ...GIT_ENVIRONMENT },
      stdout: "piped",
    }).spawn();
    const output = reader.output();
    for (let round = 1; round <= 60; round++) {
      const [old, next] = [scene.commit(round - 1), scene.commit(round)];
      await publishEdits(open, layers.map((name) => edit(name, old, next)));
    }
    await Deno.writeTextFile(stop, "");
    const looks = new TextDecoder().decode((await output).stdout).trim().split("\n\n");
    await Deno.remove(stop);
    const mixed = looks.filter((look) => !/^\s*50 [0-9a-f]{40}$/.test(look));
    assertEquals(mixed, []);
    assert(looks.length >= 10, `${looks.length} looks`);
    assert(new Set(looks).size >= 3, "the looks fell between publications");
    await assertFsckClean(scene.directory);
    await assertClones(scene);
  }, { commits: 61 }));

/** Talks to a long-lived native process, a line (or more) at a time. */
class LongLived {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #buffer = "";

  constructor(directory: string, ...args: string[]) {
    this.#child = new Deno.Command("git", {
      args: ["-C", directory, ...args],
      env: { ...GIT_ENVIRONMENT },
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#reader = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  async ask(lines: readonly string[], answers: number): Promise<string[]> {
    await this.#writer.write(new TextEncoder().encode(lines.join("\n") + "\n"));
    while (this.#buffer.split("\n").length <= answers) {
      const { value, done } = await this.#reader.read();
      if (done) break;
      this.#buffer += value;
    }
    const parts = this.#buffer.split("\n");
    this.#buffer = parts.slice(answers).join("\n");
    return parts.slice(0, answers);
  }

  async close(): Promise<void> {
    await this.#writer.close();
    await this.#reader.cancel();
    await this.#child.status;
  }
}

Deno.test("publish() is seen at once by long-lived git processes, 200 times of 200", () =>
  RefsScene.run(async (scene) => {
    const open = scene.open();
    const a = layer("a");
    const gone = layer("b");
    await publishEdits(open, [edit(a, null, scene.commit(0))]);
    const catFile = new LongLived(scene.directory, "cat-file", "--batch-check");
    const updateRef = new LongLived(scene.directory, "update-ref", "--stdin");
    let stale = 0;
    for (let round = 0; round < 200; round++) {
      // Twice between two looks: the file system hands the first file's inode out again.
      const [old, between, next] = [0, 1, 2].map((step) => scene.commit((2 * round + step) % 5));
      assert(old && between && next);
      const [make, remove]: RefEdit[][] = round % 3 === 0
        ? [[edit(gone, null, next)], [edit(gone, next, null)]]
        : [[], []];
      await publishEdits(open, [edit(a, old, between), ...make ?? []]);
      await publishEdits(open, [edit(a, between, next), ...remove ?? []]);
      const [line] = await catFile.ask([a], 1);
      if (line !== `${next} commit ${line?.split(" ")[2]}`) stale++;
      // Ends the process with a fatal error where it compares with an old value.
      const verify = ["start", `verify ${a} ${next}`, "prepare", "abort"];
      const answers = await updateRef.ask(verify, 3);
      assertEquals(answers, ["start: ok", "prepare: ok", "abort: ok"], `round ${round}`);
    }
    await catFile.close();
    await updateRef.close();
    assertEquals(stale, 0);
  }, { commits: 5 }));

Deno.test("native git cannot remove, move or prune a packed ref under our locks", () =>
  RefsScene.run(async (scene) => {
    await scene.git("branch", "b");
    await scene.git("tag", "t");
    await scene.git("remote", "add", "origin", scene.directory);
    await scene.git("update-ref", "refs/remotes/origin/vanished", scene.commit(0));
    await scene.git("pack-refs", "--all");
    const { publisher } = scene.open();
    const refs = [ref("refs/heads/b"), ref("refs/tags/t"), ref("refs/remotes/origin/vanished")];
    publisher.lockRefs(refs, "T");
    publisher.lockPackedRefs();
    const before = await scene.nativeRefs();
    for (
      const args of [
        ["branch", "-D", "b"],
        ["tag", "-d", "t"],
        ["update-ref", "-d", "refs/heads/b"],
        ["update-ref", "refs/heads/b", scene.commit(0)],
        ["branch", "-m", "b", "c"],
        ["pack-refs", "--all"],
        ["remote", "prune", "origin"],
      ]
    ) {
      const result = await tryGit(scene.directory, [...IMPATIENT, ...args]);
      assert(result.code !== 0, `git ${args.join(" ")}: ${result.stdout}`);
    }
    // Brings origin's branches, but cannot prune.
    await tryGit(scene.directory, [...IMPATIENT, "fetch", "-q", "--prune", "origin"]);
    const after = await scene.nativeRefs();
    for (const [name, oid] of Object.entries(before)) assertEquals(after[name], oid);
    assertEquals(publisher.stillHeld(refs), true);
    publisher.unlockRefs(refs);
    publisher.unlockPackedRefs();
    await scene.git("branch", "-D", "b");
    await scene.git("fetch", "-q", "--prune", "origin");
    assertEquals((await scene.nativeRefs())["refs/remotes/origin/vanished"], undefined);
  }));

Deno.test("publications and native commands in turn keep each other's refs and peeled tags", () =>
  RefsScene.run(async (scene) => {
    const open = scene.open();
    const model: Record<string, string> = { "refs/heads/main": scene.commit(3) };
    const tag = async (name: string) => {
      await scene.git("-c", "user.name=N", "-c", "user.email=n@x", "tag", "-am", name, name);
      model[`refs/tags/${name}`] = await scene.git("rev-parse", `refs/tags/${name}`);
    };
    const publish = async (name: string, next: string | null) => {
      const old = model[name] === undefined ? null : parseObjectId(model[name]);
      const oid = next === null ? null : parseObjectId(next);
      await publishEdits(open, [edit(ref(name), old, oid)]);
      if (next === null) delete model[name];
      else model[name] = next;
    };
    const native = async (name: string, next: string) => {
      await scene.git("update-ref", name, next);
      model[name] = next;
    };
    await tag("v1");
    for (let round = 0; round < 12; round++) {
      const oid = scene.commit(round % 4);
      await publish("refs/layers/a", oid);
      await native("refs/layers/b/c", oid);
      await publish("refs/layers/b/c", scene.commit((round + 1) % 4));
      if (round === 3) await tag("v2");
      if (round === 4) await publish("refs/tags/copy", model["refs/tags/v2"] ?? "");
      if (round === 5) await publish("refs/tags/v2", model["refs/tags/v1"] ?? "");
      if (round % 4 === 2) await scene.git("pack-refs", "--all");
      await native(`refs/heads/n${round}`, oid);
      if (round % 4 === 3) {
        await scene.git("branch", "-D", `n${round - 1}`);
        delete model[`refs/heads/n${round - 1}`];
        await publish(`refs/heads/n${round}`, null);
        await publish("refs/layers/b/c", null);
      }
      assertEquals(await scene.nativeRefs(), model, `round ${round}`);
    }
    const peeled = (await scene.git("show-ref", "-d")).split("\n").filter((line) =>
      line.endsWith("^{}")
    );
    assertEquals(
      peeled.sort(),
      ["copy", "v1", "v2"].map((name) => `${scene.commit(3)} refs/tags/${name}^{}`),
    );
    await assertFsckClean(scene.directory);
    await assertClones(scene);
  }));

/** publishEdits() that comes back after meeting native git's locks, as the pipeline does. */
async function publishPatiently(open: OpenRefs, edits: readonly RefEdit[]): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if ((await tryPublishEdits(open, edits)).kind === "locked") return;
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  throw new Error("native git held its locks all the time");
}

Deno.test("publications and native writers at the same time lose nobody's refs", () =>
  RefsScene.run(async (scene) => {
    const open = scene.open();
    const layers = manyLayers(20);
    await publishEdits(open, layers.map((name) => edit(name, null, scene.commit(0))));
    const script = `for i in $(seq 1 25); do
      git update-ref refs/heads/n$i ${scene.commit(1)} && echo made n$i
      git pack-refs --all
      git update-ref refs/layers/native/$i ${scene.commit(2)} && echo layer $i
      echo tried n$((i - 1))
      git branch -q -D n$((i - 1)) 2>/dev/null && echo gone n$((i - 1)); done; true`;
    const native = new Deno.Command("bash", {
      args: ["-c", script],
      cwd: scene.directory,
      env: { ...GIT_ENVIRONMENT },
      stdout: "piped",
      stderr: "null",
    }).spawn().output();
    let done = false;
    void native.then(() => done = true);
    let round = 0;
    while (!done) {
      const [old, next] = [scene.commit(round % 4), scene.commit((round + 1) % 4)];
      await publishPatiently(open, layers.map((name) => edit(name, old, next)));
      round++;
      // Native git needs gaps (DESIGN section 4, "Fair to native git").
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const said = new TextDecoder().decode((await native).stdout).trim().split("\n");
    const expected: Record<string, string> = { "refs/heads/main": scene.commit(3) };
    for (const name of layers) expected[name] = scene.commit(round % 4);
    const actual = await scene.nativeRefs();
    for (const line of said) {
      const [what, name = ""] = line.split(" ");
      // `branch -D` takes packed-refs.lock twice, and says that it failed also where the first
      // time removed the ref.
      if (what === "tried" && !said.includes(`gone ${name}`) && !(`refs/heads/${name}` in actual)) {
        delete expected[`refs/heads/${name}`];
      }
      if (what === "made") expected[`refs/heads/${name}`] = scene.commit(1);
      if (what === "layer") expected[`refs/layers/native/${name}`] = scene.commit(2);
      if (what === "gone") delete expected[`refs/heads/${name}`];
    }
    const sorted = Object.entries(expected).sort(([a], [b]) => a < b ? -1 : 1);
    assertEquals(actual, Object.fromEntries(sorted));
    assert(round >= 3, `${round} publications beside native git`);
    assert(said.length >= 75, `native git did ${said.length} things`);
    await assertFsckClean(scene.directory);
  }));

Deno.test("a process that dies before any of its changes leaves every ref old or every ref new", () =>
  RefsScene.run(async (scene) => {
    const fixture = await dyingFixture(scene);
    let published = 0;
    for (let diesAt = 1;; diesAt++) {
      await fixture.reset();
      const fileSystem = new DyingFileSystem(diesAt);
      const open = scene.open(fileSystem);
      const progress = { published: false };
      try {
        await publishWithProgress(open, fixture.edits, progress);
      } catch (error) {
        if (!(error instanceof FileSystemError)) throw error;
      }
      if (progress.published) published++;
      const expected = progress.published ? fixture.after : fixture.before;
      assertEquals(await scene.nativeRefs(), expected, `dead before change ${diesAt}`);
      await recover(scene, fixture.edits);
      assertEquals(await scene.nativeRefs(), fixture.after, `recovered from ${diesAt}`);
      assertEquals(await scene.leftovers(), [], `recovered from ${diesAt}`);
      if (!fileSystem.dead) break;
      assert(diesAt < 200, "publication makes a bounded number of changes");
    }
    assert(published >= 5, `${published} deaths after the rename`);
    await assertFsckClean(scene.directory);
    await assertClones(scene);
  }));

/** One of each: packed, loose, both; moved, removed, made; and refs that nobody touches. */
async function dyingFixture(scene: RefsScene) {
  const [c0, c1, c2] = [scene.commit(0), scene.commit(1), scene.commit(2)];
  for (const name of ["packed", "both", "gone"]) {
    await scene.git("update-ref", `refs/layers/${name}`, c0);
  }
  await scene.git("pack-refs", "--all");
  for (const name of ["both", "loose/x", "goneloose/x", "untouched"]) {
    await scene.git("update-ref", `refs/layers/${name}`, c1);
  }
  await scene.agePackedRefs();
  const saved = await Deno.makeTempDir({ dir: scene.directory, prefix: "saved-" });
  const copy = async (from: string, to: string) => {
    const { success } = await new Deno.Command("cp", { args: ["-a", from, to] }).output();
    assert(success, `cp ${from}`);
  };
  await copy(scene.path("refs"), saved);
  await copy(scene.path("packed-refs"), saved);
  const edits = [
    edit(layer("packed"), c0, c2),
    edit(layer("both"), c1, c2),
    edit(layer("loose/x"), c1, c2),
    edit(layer("gone"), c0, null),
    edit(layer("goneloose/x"), c1, null),
    edit(layer("made/deep/x"), null, c2),
  ];
  const before = await scene.nativeRefs();
  const after = { ...before };
  for (const { ref, new: oid } of edits) {
    if (oid === null) delete after[ref];
    else after[ref] = oid;
  }
  const sorted = Object.fromEntries(Object.entries(after).sort(([a], [b]) => a < b ? -1 : 1));
  const reset = async () => {
    await Deno.remove(scene.path("refs"), { recursive: true });
    await copy(`${saved}/refs`, scene.commonDir);
    await copy(`${saved}/packed-refs`, scene.commonDir);
  };
  return { edits, before, after: sorted, reset };
}

async function publishWithProgress(
  { publisher }: OpenRefs,
  edits: readonly RefEdit[],
  progress: { published: boolean },
): Promise<void> {
  const refs = edits.map((each) => each.ref);
  assertEquals(publisher.lockRefs(refs, "T"), { kind: "locked" });
  assertEquals(publisher.lockPackedRefs(), { kind: "locked" });
  publisher.readLocked();
  const staged = await publisher.stage(edits, NOTE);
  staged.publish();
  progress.published = true;
  await staged.settle();
  publisher.unlockRefs(refs);
  publisher.unlockPackedRefs();
}

/** What the next process does: adopts the locks, moves what is not moved yet, lets go. */
async function recover(scene: RefsScene, edits: readonly RefEdit[]): Promise<void> {
  await scene.agePackedRefs();
  const { publisher } = scene.open();
  const adopted = publisher.adoptLocks();
  const refs = edits.map((each) => each.ref);
  assert(adopted.refs.every((each) => refs.includes(each)), "only locks that were taken");
  assertEquals(publisher.lockRefs(refs, "U"), { kind: "locked" });
  assertEquals(publisher.lockPackedRefs(), { kind: "locked" });
  const locked = publisher.readLocked();
  const staged = await publisher.stage(
    edits.map((each) => ({ ...each, old: locked.value(each.ref) })),
    NOTE,
  );
  staged.publish();
  await staged.settle();
  publisher.unlockRefs(refs);
  publisher.unlockPackedRefs();
  publisher.sweep();
}
