/**
 * Compares what clients were told with what is in the repositories. Called when the load is
 * idle; it looks at what is new since its last call, and checks the state as a whole.
 *
 * K1. An acknowledged transaction is in the history of each layer it touched, exactly once.
 * K2. Nothing else is: no rolled back transaction, no commit that nobody made.
 * K3. One with an unknown outcome is on all its layers or on none.
 * K4. A layer's `counter` equals the transactions in its history, its `list` names those that
 *     wrote a line, in the order of their commits: no update was lost.
 */
import { assertEquals } from "@std/assert";
import { git, tryGit } from "../harness/git.ts";
import type { Load } from "./load.ts";
import type { LoadedLayer } from "./worker_messages.ts";

interface LayerState {
  readonly repository: string;
  readonly path: string;
  readonly layer: string;
  /** The tip at the last check. */
  tip: string;
  /** Transactions in the history since the base, oldest first. */
  readonly transactions: Set<string>;
  /** Commits without a trailer. */
  readonly native: Set<string>;
}

export class Checker {
  readonly #load: Load;
  readonly #layers: LayerState[] = [];
  /** Transactions that an earlier call found in order. */
  readonly #settled = new Set<string>();

  constructor(load: Load) {
    this.#load = load;
  }

  /** Notes where the layers start; paths by repository name. */
  async start(layers: readonly LoadedLayer[], paths: ReadonlyMap<string, string>): Promise<void> {
    for (const [repository, layer] of layers) {
      const path = paths.get(repository);
      if (path === undefined) throw new Error(`No path for ${repository}`);
      const tip = await git(path, ["rev-parse", `refs/layers/${layer}`]);
      this.#layers.push({
        repository,
        path,
        layer,
        tip,
        transactions: new Set(),
        native: new Set(),
      });
    }
  }

  /** Checks K1 to K4; `nativeCommits` are those that native git put on layers. */
  async check(nativeCommits: ReadonlySet<string>): Promise<void> {
    const found = new Map<string, Set<string>>();
    const problems: string[] = [];
    for (const state of this.#layers) {
      for (const id of await advance(state, problems)) {
        const layers = found.get(id) ?? new Set();
        layers.add(nameOf(state));
        found.set(id, layers);
      }
    }
    this.#checkOutcomes(found, problems);
    await Promise.all(this.#layers.map((state) => this.#checkContent(state, problems)));
    const native = this.#layers.flatMap(({ native }) => [...native]);
    for (const commit of native) {
      if (!nativeCommits.has(commit)) problems.push(`commit ${commit}: nobody made it`);
    }
    for (const commit of nativeCommits) {
      if (!native.includes(commit)) problems.push(`native commit ${commit} is lost`);
    }
    assertEquals(problems, []);
  }

  /** How many commits of transactions stand in all layers together. */
  get commits(): number {
    return this.#layers.reduce((sum, { transactions }) => sum + transactions.size, 0);
  }

  #checkOutcomes(found: ReadonlyMap<string, ReadonlySet<string>>, problems: string[]): void {
    for (const [id, { outcome, touched }] of this.#load.reported) {
      if (this.#settled.has(id) && !found.has(id)) continue;
      this.#settled.add(id);
      const expected = touched.map(nameOf).sort();
      const actual = [...found.get(id) ?? []].sort();
      const whole = JSON.stringify(expected) === JSON.stringify(actual);
      if (outcome === "unknown" && (whole || actual.length === 0)) {
        this.#load.settleOutcome(id, whole ? "committed" : "rolled_back");
      } else if (outcome === "rolled_back" ? actual.length > 0 : !whole) {
        problems.push(`${id} (${outcome}) touched ${expected} and is on ${actual}`);
      }
    }
    for (const [id, layers] of found) {
      if (!this.#load.reported.has(id)) problems.push(`${id} on ${[...layers]}: nobody made it`);
    }
  }

  async #checkContent(state: LayerState, problems: string[]): Promise<void> {
    const counter = await git(state.path, ["show", `${state.tip}:counter`]);
    if (Number(counter) !== state.transactions.size) {
      problems.push(
        `${nameOf(state)}: counter ${counter} after ${state.transactions.size} commits`,
      );
    }
    const listed = [...state.transactions].filter((id) =>
      this.#load.reported.get(id)?.touched.some((one) =>
        nameOf(one) === nameOf(state) && one.listed
      )
    );
    const list = await git(state.path, ["show", `${state.tip}:list`]);
    if (list !== listed.join("\n")) problems.push(`${nameOf(state)}: its list differs`);
  }
}

/** Reads a layer's new history; the transactions in it. */
async function advance(state: LayerState, problems: string[]): Promise<string[]> {
  const tip = await git(state.path, ["rev-parse", `refs/layers/${state.layer}`]);
  const { code } = await tryGit(state.path, ["merge-base", "--is-ancestor", state.tip, tip]);
  if (code !== 0) problems.push(`${nameOf(state)}: ${state.tip} is no ancestor of ${tip}`);
  const format = "--format=%H %(trailers:key=Layerd-Transaction,valueonly,separator=%x2C)";
  const output = await git(state.path, ["log", "--reverse", format, `${state.tip}..${tip}`]);
  const fresh: string[] = [];
  for (const line of output.split("\n").filter((one) => one !== "")) {
    const [commit = "", id = ""] = line.split(" ");
    if (id === "") {
      state.native.add(commit);
    } else if (state.transactions.has(id)) {
      problems.push(`${nameOf(state)}: ${id} is there twice`);
    } else {
      state.transactions.add(id);
      fresh.push(id);
    }
  }
  state.tip = tip;
  return fresh;
}

function nameOf(layer: { readonly repository: string; readonly layer: string }): string {
  return `${layer.repository}:${layer.layer}`;
}
