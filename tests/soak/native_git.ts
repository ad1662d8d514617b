/**
 * Native git at work on one repository beside the daemon, in a loop: commits to branches,
 * `update-ref` on a layer, `pack-refs --all`, `branch -D`, `gc`. It keeps what must be true
 * of its own refs afterwards.
 *
 * N1. A native command may lose against a lock of ours; it must then say so and have done
 *     nothing. Any other complaint is kept in `complaints`.
 * N2. A branch is where the last successful command put it: nothing of layerd's may move it,
 *     remove it or bring it back.
 */
import { SeededRandom } from "../harness/random.ts";
import { git, type GitResult, tryGit } from "../harness/git.ts";
import { makeCommit, readRef } from "../harness/repositories.ts";

/** What git says when a ref is locked, or moved, under its hands. */
const LOST_A_RACE =
  /Unable to create '.*\.lock': File exists|cannot lock ref|is at [0-9a-f]+ but expected|unable to lock|could not delete reference|Another git process|gc is already running/;

export class NativeGit {
  readonly #repository: string;
  readonly #random: SeededRandom;
  /** The layer's ref that this writer moves too, or null. */
  readonly #layerRef: string | null;
  #running: Promise<void> | null = null;
  #stopping = false;
  #made = 0;
  /** Branches and where they must be; null: gone. */
  readonly branches = new Map<string, string | null>();
  /** Commits put on the layer by a successful `update-ref`. */
  readonly layerCommits = new Set<string>();
  readonly complaints: string[] = [];
  done = 0;
  lost = 0;

  constructor(repository: string, seed: number, layerRef: string | null) {
    this.#repository = repository;
    this.#random = new SeededRandom(seed);
    this.#layerRef = layerRef;
  }

  /** Works until {@link stop}. */
  start(): void {
    this.#stopping = false;
    this.#running = (async () => {
      while (!this.#stopping) await this.#step();
    })();
    // A failure is stop()'s to tell; until somebody calls it, it is not unhandled.
    this.#running.catch(() => undefined);
  }

  /** Finishes the command under way. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
    this.#running = null;
  }

  /** Branches that are not where they must be, with what is there. */
  async misplaced(): Promise<string[]> {
    const output = await git(this.#repository, [
      "for-each-ref",
      "--format=%(refname) %(objectname)",
      "refs/heads/native/",
    ]);
    const actual = new Map(
      output.split("\n").filter((line) => line !== "").map((line) => {
        const [ref = "", oid = ""] = line.split(" ");
        return [ref, oid];
      }),
    );
    const wrong: string[] = [];
    for (const [ref, expected] of this.branches) {
      const found = actual.get(ref) ?? null;
      if (found !== expected) wrong.push(`${ref}: ${found} instead of ${expected}`);
    }
    return wrong;
  }

  async #step(): Promise<void> {
    const draw = this.#random.uniform();
    if (draw < 0.3) await this.#commitToBranch();
    else if (draw < 0.55 && this.#layerRef !== null) await this.#moveLayer(this.#layerRef);
    else if (draw < 0.75) await this.#deleteBranch();
    else if (draw < 0.97) await this.#plain(["pack-refs", "--all"]);
    else await this.#plain(["gc", "--quiet"]);
  }

  async #commitToBranch(): Promise<void> {
    const ref = `refs/heads/native/${this.#random.integer(0, 9)}`;
    const old = this.branches.get(ref) ?? null;
    const commit = await makeCommit(this.#repository, old ?? "main", `native ${++this.#made}`);
    const args = ["update-ref", ref, commit, old ?? "0".repeat(40)];
    const result = await tryGit(this.#repository, args);
    this.#count(args, result);
    await this.#note(ref, result, commit);
  }

  async #deleteBranch(): Promise<void> {
    const live = [...this.branches].filter(([, oid]) => oid !== null).map(([ref]) => ref);
    if (live.length === 0) return;
    const ref = this.#random.pick(live);
    const args = ["branch", "-D", ref.slice("refs/heads/".length)];
    const result = await tryGit(this.#repository, args);
    this.#count(args, result);
    await this.#note(ref, result, null);
  }

  /** After a failure the ref's own value is the truth: git may have done half. */
  async #note(ref: string, result: GitResult, value: string | null): Promise<void> {
    const now = result.code === 0 ? value : await readRef(this.#repository, ref);
    this.branches.set(ref, now);
  }

  async #moveLayer(ref: string): Promise<void> {
    const tip = await readRef(this.#repository, ref);
    if (tip === null) {
      this.complaints.push(`${ref} is gone`);
      return;
    }
    const commit = await makeCommit(this.#repository, tip, `native layer ${++this.#made}`);
    const args = ["update-ref", ref, commit, tip];
    const result = await tryGit(this.#repository, args);
    this.#count(args, result);
    if (result.code === 0) this.layerCommits.add(commit);
  }

  async #plain(args: readonly string[]): Promise<void> {
    this.#count(args, await tryGit(this.#repository, args));
  }

  #count(args: readonly string[], result: GitResult): void {
    if (result.code === 0) {
      this.done += 1;
      return;
    }
    this.lost += 1;
    if (!LOST_A_RACE.test(result.stderr)) {
      this.complaints.push(`git ${args.join(" ")}: ${result.stderr.trim()}`);
    }
  }
}
