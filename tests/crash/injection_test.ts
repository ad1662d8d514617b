/**
 * A real daemon on real repositories whose system calls fail or kill it, one call after the
 * other. Each case is one commit over two repositories, each with a ref that native git wrote
 * loose. Whatever the fault: what was acknowledged is there, what was refused is not, what is
 * unknown is whole or not at all; the next commit succeeds and nothing is left behind.
 */
import { assert, assertEquals } from "@std/assert";
import { create, put } from "../harness/api.ts";
import { git } from "../harness/git.ts";
import { assertFsckClean, assertNothingLeftBehind, makeCommit } from "../harness/repositories.ts";
import { SeededRandom } from "../harness/random.ts";
import { isFullScale, report, withSeed } from "../harness/scale.ts";
import { isolated, type Registered, type Scene } from "../harness/scene.ts";
import { ConnectionLost, type Reply } from "../harness/socket_client.ts";
import { type Fault, type Injection, Strace } from "./strace.ts";

const LAYER = "hit";
/** Calls of each kind in one commit, and some more. */
const REACH: Readonly<Record<Injection["call"], number>> = {
  rename: 14,
  linkat: 6,
  unlink: 8,
  mkdir: 8,
  write: 3,
  fsync: 4,
  fdatasync: 2,
};
const FAULTS: Readonly<Record<Injection["call"], readonly Fault[]>> = {
  rename: ["KILL", "ENOSPC", "EIO"],
  linkat: ["KILL", "ENOSPC", "EIO"],
  unlink: ["KILL", "EIO"],
  mkdir: ["ENOSPC", "EDQUOT"],
  write: ["KILL", "ENOSPC", "EIO"],
  fsync: ["KILL", "ENOSPC", "EIO"],
  fdatasync: ["KILL", "EIO"],
};
/**
 * Kept packs that one group folds, and calls of each kind in a commit with a fold behind it: the
 * new pack is written in each repository, then the old ones go.
 */
const PACKS_PER_FOLD = 16;
const REACH_WITH_FOLD: Partial<typeof REACH> = { rename: 14, linkat: 10, unlink: 120, write: 12 };
/** Every so manieth unlink: they are alike. */
const UNLINKS_EVERY = 7;
/** A reduced run takes so many of all, evenly. */
const REDUCED = 5;
const REDUCED_FOLDS = 1;

/** A fault, and whether the commit that meets it makes the daemon fold packs. */
interface Case {
  readonly injection: Injection;
  readonly folds: boolean;
}

function injections(log: string, reach: Partial<typeof REACH>, folds: boolean): Case[] {
  const all: Case[] = [];
  for (const [name, count] of Object.entries(reach)) {
    const call = name as Injection["call"];
    const every = folds && call === "unlink" ? UNLINKS_EVERY : 1;
    for (const fault of FAULTS[call]) {
      for (let at = 1; at <= count; at += every) {
        // Other writes go to sockets and to the runtime's own wake-ups.
        const paths = call === "write" && !folds ? [log] : [];
        all.push({ folds, injection: { call, fault, at, paths } });
      }
    }
  }
  return all;
}

function casesOf(log: string, seed: number): Case[] {
  const plain = injections(log, REACH, false);
  const folding = injections(log, REACH_WITH_FOLD, true);
  if (isFullScale()) return [...plain, ...folding];
  return [...some(plain, REDUCED, seed), ...some(folding, REDUCED_FOLDS, seed)];
}

/** So many of all, evenly, from a random one on. */
function some(all: readonly Case[], count: number, seed: number): Case[] {
  const offset = new SeededRandom(seed).integer(0, all.length - 1);
  return Array.from(
    { length: count },
    (_, n) => all[(offset + Math.floor((n * all.length) / count)) % all.length],
  ).filter((one) => one !== undefined);
}

isolated("a commit survives every failing or fatal system call", async (scene) => {
  await withSeed((seed) => survive(scene, seed));
});

async function survive(scene: Scene, seed: number): Promise<void> {
  await scene.start();
  const repositories = [await scene.repository(), await scene.repository()];
  await scene.api.apply(
    repositories.flatMap(({ name }) => [create(name, LAYER), put(name, LAYER, "n", "0")]),
  );
  const log = `${scene.home.stateDirectory}/log/0000000001.wal`;
  const stage = new Stage(scene, repositories);
  const ends: Record<string, number> = {};
  let met = 0;
  for (const one of casesOf(log, seed)) {
    const { end, hit } = await stage.play(one);
    ends[end] = (ends[end] ?? 0) + 1;
    if (hit) met += 1;
  }
  for (const { path } of repositories) await assertFsckClean(path);
  report(
    `injection: seed ${seed}, ${met} of ${stage.played} faults met, ends: ${JSON.stringify(ends)}`,
  );
  assert(met > 0, "no fault was met");
}

class Stage {
  readonly #scene: Scene;
  readonly #repositories: readonly Registered[];
  played = 0;

  constructor(scene: Scene, repositories: readonly Registered[]) {
    this.#scene = scene;
    this.#repositories = repositories;
  }

  async play(one: Case): Promise<{ readonly end: string; readonly hit: boolean }> {
    const context = JSON.stringify(one);
    try {
      return await this.#play(one);
    } catch (error) {
      throw new Error(`${context}: ${String(error)}`, { cause: error });
    }
  }

  async #play({ injection, folds }: Case) {
    const scene = this.#scene;
    const n = `${++this.played}`;
    if (folds) await this.#makeAlmostFolded(n);
    for (const { path } of this.#repositories) await makeLoose(path);
    const before = await this.#contents();
    const strace = await Strace.attach(scene.daemon.pid, injection);
    const outcome = await this.#commit(n);
    // The fold comes after the answer, and before the next one.
    if (folds) await scene.daemon.client.request("GET", "/v1/version").catch(ignoreLost);
    const hit = await strace.detach() > 0;
    const end = await this.#settle(outcome);
    const after = await this.#contents();
    const [whole, none] = [this.#repositories.map(() => n), before];
    if (end === "committed") assertEquals(after, whole);
    else if (end === "unknown") assert([`${whole}`, `${none}`].includes(`${after}`), `${after}`);
    else assertEquals(after, none);
    // Whatever happened, the next commit on the same refs goes through and cleans up.
    await scene.api.apply(
      this.#repositories.map(({ name }) => put(name, LAYER, "n", `after ${n}`)),
      { lock_timeout_ms: 20_000 },
    );
    // One that a start began may still be writing a position; its turn is over after this one.
    await scene.daemon.client.request("POST", "/v1/wal/checkpoint", {});
    for (const { commonDirectory } of this.#repositories) {
      await assertNothingLeftBehind(commonDirectory);
    }
    return { end, hit };
  }

  /** One small pack each; the checkpoint of the case before has taken all others. */
  async #makeAlmostFolded(n: string): Promise<void> {
    for (let pack = 1; pack < PACKS_PER_FOLD; pack++) {
      await this.#scene.api.apply(
        this.#repositories.map(({ name }) => put(name, LAYER, "pack", `${n} ${pack}`)),
      );
    }
  }

  async #commit(n: string): Promise<Reply | null> {
    const operations = this.#repositories.map(({ name }) => put(name, LAYER, "n", n));
    try {
      return await this.#scene.api.tryApply(operations);
    } catch (error) {
      if (error instanceof ConnectionLost) return null;
      throw error;
    }
  }

  /** What the commit came to, after a restart where the daemon has ended. */
  async #settle(reply: Reply | null): Promise<string> {
    const scene = this.#scene;
    if (reply === null || !(await scene.daemon.isAlive())) {
      await scene.daemon.kill();
      await scene.start();
    }
    if (reply === null) return "unknown";
    if (reply.status === 200) return "committed";
    const body = reply.json as { code?: string; transaction?: { id: string } };
    if (reply.status !== 202) return body.code ?? `status ${reply.status}`;
    // Decided: it is published sooner or later, also by the next daemon.
    const id = body.transaction?.id ?? "";
    return (await scene.api.transaction(id, "?wait_for=terminal&timeout_ms=20000")).state;
  }

  #contents(): Promise<string[]> {
    return Promise.all(
      this.#repositories.map(({ path }) => git(path, ["show", `refs/layers/${LAYER}:n`])),
    );
  }
}

/** Native git writes the layer loose, with the tree as it is, so that the commit folds it. */
async function makeLoose(path: string): Promise<void> {
  const tip = await git(path, ["rev-parse", `refs/layers/${LAYER}`]);
  await git(path, ["update-ref", `refs/layers/${LAYER}`, await makeCommit(path, tip, "native")]);
}

function ignoreLost(error: unknown): void {
  const lost = error instanceof ConnectionLost || error instanceof Deno.errors.ConnectionRefused;
  if (!lost) throw error;
}
