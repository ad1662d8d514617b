/**
 * Native readers beside layerd's writers: one `git for-each-ref` over one pattern sees a
 * transaction whole or not at all, however many layers it moves, while one-layer transactions
 * and native writers move other refs of the same repository.
 */
import { assert, assertEquals } from "@std/assert";
import { type Body, create, put } from "../harness/api.ts";
import { git } from "../harness/git.ts";
import { report, scaled, withSeed } from "../harness/scale.ts";
import { type Registered, scenario, type Scene } from "../harness/scene.ts";
import { NativeGit } from "../soak/native_git.ts";

const READS = scaled({ reduced: 120, full: 1_000 });
const LAYERS = 200;
const PATTERN = "refs/layers/wide/";
/** Reading goes on until this many transactions were published beside it. */
const GENERATIONS_MIN = scaled({ reduced: 6, full: 30 });
const READS_MAX = 20_000;

scenario("git for-each-ref sees a 200-layer transaction whole or not at all", async (scene) => {
  await withSeed(async (seed) => {
    const repository = await scene.repository();
    const writer = new WideWriter(scene, repository.name);
    await writer.create();
    const native = new NativeGit(repository.path, seed, null);
    const busy = new AbortController();
    const writers = Promise.all([
      repeatUntil(busy.signal, () => writer.next()),
      writeNarrow(scene, repository, busy.signal),
    ]);
    native.start();
    let readings: ReadonlySet<string>[];
    try {
      // Writers end only by failing; then there is nothing left to read.
      readings = await Promise.race([readMany(repository.path, writer), endOf(writers)]);
    } finally {
      busy.abort();
      await native.stop();
      await writers;
    }
    const mixtures = readings.filter((commits) => writer.generationsOf(commits).size !== 1);
    const seen = new Set(readings.flatMap((commits) => [...writer.generationsOf(commits)]));
    report(
      `readers: seed ${seed}, ${readings.length} reads, ${mixtures.length} mixtures, ` +
        `${seen.size} generations seen of ${writer.generation}, native git: ${native.done} done, ` +
        `${native.lost} lost`,
    );
    assertEquals(mixtures.length, 0);
    assert(seen.size >= GENERATIONS_MIN / 2, `Only ${seen.size} generations were seen`);
    assertEquals(native.complaints, []);
  });
});

/** Moves all wide layers again and again, and remembers which commit is of which generation. */
class WideWriter {
  readonly #scene: Scene;
  readonly #repository: string;
  readonly #generationOf = new Map<string, number>();
  generation = 0;

  constructor(scene: Scene, repository: string) {
    this.#scene = scene;
    this.#repository = repository;
  }

  async create(): Promise<void> {
    await this.#apply(layerNames().map((layer) => create(this.#repository, layer)));
  }

  async next(): Promise<void> {
    await this.#apply([]);
  }

  /** Generations that the commits belong to; an unknown commit is a generation of its own. */
  generationsOf(commits: ReadonlySet<string>): Set<number> {
    return new Set([...commits].map((commit) => this.#generationOf.get(commit) ?? -1));
  }

  async #apply(before: readonly Body[]): Promise<void> {
    const generation = this.generation + 1;
    const puts = layerNames().map((layer) =>
      put(this.#repository, layer, "generation", String(generation))
    );
    const { results } = await this.#scene.api.apply([...before, ...puts], {
      lock_timeout_ms: 30_000,
    });
    assertEquals(results.length, LAYERS);
    for (const { new: commit } of results) {
      if (commit !== null) this.#generationOf.set(commit, generation);
    }
    this.generation = generation;
  }
}

function layerNames(): string[] {
  return Array.from({ length: LAYERS }, (_, index) => `wide/l${index}`);
}

/** One-layer transactions on a layer outside the pattern. */
async function writeNarrow(
  scene: Scene,
  repository: Registered,
  signal: AbortSignal,
): Promise<void> {
  const { name } = repository;
  let count = 0;
  await scene.api.apply([create(name, "narrow"), put(name, "narrow", "count", "0")]);
  await repeatUntil(signal, async () => {
    await scene.api.apply([put(name, "narrow", "count", String(++count))], {
      lock_timeout_ms: 30_000,
    });
  });
}

async function endOf(writers: Promise<unknown>): Promise<never> {
  await writers;
  throw new Error("The writers ended while there was reading to do");
}

async function repeatUntil(signal: AbortSignal, step: () => Promise<void>): Promise<void> {
  while (!signal.aborted) await step();
}

async function readMany(repository: string, writer: WideWriter): Promise<Set<string>[]> {
  const readings: Set<string>[] = [];
  while (readings.length < READS || writer.generation < GENERATIONS_MIN) {
    assert(readings.length < READS_MAX, `Only ${writer.generation} transactions were published`);
    const output = await git(repository, ["for-each-ref", "--format=%(objectname)", PATTERN]);
    const commits = output.split("\n");
    assertEquals(commits.length, LAYERS);
    readings.push(new Set(commits));
  }
  return readings;
}
