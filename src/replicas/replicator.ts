/**
 * Keeps replicas convergent: at their interval, and soon after a layer changed.
 *
 * L1. Rounds of all replicas run one after the other, so that two that share a layer do not
 *     work against each other. So do changes of definitions among themselves.
 * L2. A round goes from target to target until nothing moves, at most PASSES_MAX times: who
 *     writes without a pause is caught up with by the next round.
 * L3. What is known of a replica (lag, conflicts) is made by looking; a restart forgets nothing
 *     but since when a target has differed.
 */
import { getLogger } from "@logtape/logtape";
import { LayerdError, messageOf } from "../core/errors.ts";
import { layerRef, quote } from "../core/ids.ts";
import type { Clock, Timer } from "../system/clock.ts";
import type { EventBus, Subscription } from "../transactions/events.ts";
import { forgetPair, type Pair, type PairParts, reconcilePair } from "./reconcile_pair.ts";
import type {
  ReplicaDefinition,
  ReplicaDocument,
  ReplicaPlace,
  TargetDocument,
} from "./replica.ts";
import type { ReplicaFile } from "./replica_file.ts";

const logger = getLogger(["layerd", "replicas"]);

const PASSES_MAX = 8;
/** Changes come in bursts; this long after the first one a round begins. */
const AFTER_CHANGE_MS = 50;

export interface ReplicatorParts extends PairParts {
  readonly clock: Clock;
  readonly events: EventBus;
  readonly file: ReplicaFile;
}

interface Seen {
  readonly status: TargetDocument["status"];
  readonly detail: string | null;
  /** Wall clock; null in sync. */
  readonly differsSinceMs: number | null;
}

export class Replicator {
  readonly #parts: ReplicatorParts;
  readonly #replicas: Map<string, ReplicaDefinition>;
  readonly #timers = new Map<string, Timer>();
  readonly #seen = new Map<string, Seen>();
  readonly #reconciledAt = new Map<string, string>();
  #rounds: Promise<unknown> = Promise.resolve();
  #writes: Promise<unknown> = Promise.resolve();
  #changes: Subscription | null = null;
  #afterChange: Timer | null = null;
  #closed = false;

  constructor(parts: ReplicatorParts) {
    this.#parts = parts;
    this.#replicas = parts.file.read();
  }

  open(): void {
    for (const name of this.#replicas.keys()) this.#schedule(name);
    void this.#listen();
    this.#soon();
  }

  async put(name: string, definition: ReplicaDefinition): Promise<ReplicaDocument> {
    for (const { repository } of [definition.source, ...definition.targets]) {
      this.#parts.catalog.get(repository);
    }
    const before = await this.#write(async () => {
      await this.#parts.file.write(new Map(this.#replicas).set(name, definition));
      const replaced = this.#replicas.get(name);
      this.#replicas.set(name, definition);
      return replaced;
    });
    if (before !== undefined) await this.#forget(name, pairsOf(before, definition));
    this.#schedule(name);
    this.#soon();
    return this.get(name);
  }

  async remove(name: string): Promise<void> {
    const definition = await this.#write(async () => {
      const removed = this.#definition(name);
      const rest = new Map(this.#replicas);
      rest.delete(name);
      await this.#parts.file.write(rest);
      this.#replicas.delete(name);
      return removed;
    });
    this.#timers.get(name)?.cancel();
    this.#reconciledAt.delete(name);
    await this.#forget(name, pairsOf(definition, null));
  }

  list(): ReplicaDocument[] {
    return [...this.#replicas.keys()].sort().map((name) => this.get(name));
  }

  get(name: string): ReplicaDocument {
    const definition = this.#definition(name);
    const sourceCommit = this.#commitOf(definition.source);
    const targets = definition.targets.map((target) => this.#target(name, target, sourceCommit));
    return {
      name,
      ...definition,
      source_commit: sourceCommit,
      targets,
      lag_ms: Math.max(0, ...targets.map(({ lag_ms }) => lag_ms)),
      conflicts: targets.filter(({ status }) => status === "conflict").length,
      reconciled_at: this.#reconciledAt.get(name) ?? null,
    };
  }

  /** A round now; answers how the replica stands after it. */
  async reconcile(name: string): Promise<ReplicaDocument> {
    this.#definition(name);
    await this.#inTurn(() => this.#round(name));
    return this.get(name);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#changes?.close();
    this.#afterChange?.cancel();
    for (const timer of this.#timers.values()) timer.cancel();
    await this.#rounds;
  }

  #definition(name: string): ReplicaDefinition {
    const definition = this.#replicas.get(name);
    if (definition !== undefined) return definition;
    throw new LayerdError("replica_not_found", `No replica is called ${quote(name)}`);
  }

  /** Null also where the repository is away. */
  #commitOf({ repository, layer }: ReplicaPlace): string | null {
    try {
      return this.#parts.catalog.get(repository).refs.read(layerRef(layer));
    } catch (error) {
      if (error instanceof LayerdError) return null;
      throw error;
    }
  }

  #target(name: string, place: ReplicaPlace, sourceCommit: string | null): TargetDocument {
    const commit = this.#commitOf(place);
    const { repository, layer } = place;
    const seen = this.#seen.get(keyOf(name, place));
    // Null may also mean that a repository is away: then only a round knows.
    if (commit === sourceCommit && (commit !== null || seen?.status === "in_sync")) {
      return { repository, layer, commit, status: "in_sync", lag_ms: 0, detail: null };
    }
    const nowMs = this.#parts.clock.now();
    return {
      repository,
      layer,
      commit,
      status: seen === undefined || seen.status === "in_sync" ? "behind" : seen.status,
      lag_ms: Math.max(0, nowMs - (seen?.differsSinceMs ?? nowMs)),
      detail: seen?.detail ?? null,
    };
  }

  #schedule(name: string): void {
    this.#timers.get(name)?.cancel();
    const definition = this.#replicas.get(name);
    if (definition === undefined || this.#closed) return;
    const timer = this.#parts.clock.after(definition.reconciliation_interval_ms, () => {
      void this.#background(name).then(() => this.#schedule(name));
    });
    this.#timers.set(name, timer);
  }

  async #listen(): Promise<void> {
    while (!this.#closed) {
      this.#changes = this.#parts.events.subscribe(null);
      for await (const { type } of this.#changes) {
        if (type === "layer.changed" || type === "transaction.committed") this.#soon();
      }
      // Ended by an overflow: what was missed is found by looking.
      this.#soon();
    }
  }

  #soon(): void {
    if (this.#afterChange !== null || this.#replicas.size === 0 || this.#closed) return;
    this.#afterChange = this.#parts.clock.after(AFTER_CHANGE_MS, () => {
      this.#afterChange = null;
      for (const name of this.#replicas.keys()) void this.#background(name);
    });
  }

  async #background(name: string): Promise<void> {
    try {
      await this.#inTurn(() => this.#round(name));
    } catch (error) {
      logger.error("A round of replica {name} failed: {error}", { name, error: messageOf(error) });
    }
  }

  /** A repository that is away now keeps its refs; they count again only for the same pair. */
  async #forget(name: string, pairs: readonly Pair[]): Promise<void> {
    if (pairs.length === 0) return;
    await this.#inTurn(async () => {
      for (const pair of pairs) {
        this.#seen.delete(keyOf(name, pair.target));
        try {
          await forgetPair(this.#parts, name, pair);
        } catch (error) {
          logger.warn("Refs of replica {name} stay: {error}", { name, error: messageOf(error) });
        }
      }
    });
  }

  #write<T>(work: () => Promise<T>): Promise<T> {
    const written = this.#writes.then(work);
    this.#writes = written.catch(() => {});
    return written;
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#rounds.then(() => this.#closed ? undefined : work());
    this.#rounds = done.catch(() => {});
    return done;
  }

  async #round(name: string): Promise<void> {
    const definition = this.#replicas.get(name);
    if (definition === undefined) return;
    for (let pass = 0; pass < PASSES_MAX && !this.#closed; pass++) {
      let moved = false;
      for (const target of definition.targets) {
        moved = await this.#step(name, definition, target) || moved;
      }
      if (!moved) break;
    }
    this.#reconciledAt.set(name, new Date(this.#parts.clock.now()).toISOString());
  }

  /** One step with one target; whether anything moved. */
  async #step(name: string, definition: ReplicaDefinition, target: ReplicaPlace): Promise<boolean> {
    const pair = { source: definition.source, target };
    try {
      const outcome = await reconcilePair(this.#parts, name, pair, definition.conflict_resolution);
      if (outcome.kind === "overruled") {
        const { repository, lost } = outcome;
        this.#parts.events.publish("replica.lost", { replica: name, repository, ref: lost });
      }
      if (outcome.kind === "conflict") this.#note(name, target, "conflict", outcome.detail);
      else this.#note(name, target, outcome.kind === "in_sync" ? "in_sync" : "behind", null);
      return outcome.kind === "moved" || outcome.kind === "overruled";
    } catch (error) {
      if (!(error instanceof LayerdError)) throw error;
      // Somebody wrote meanwhile: decided again in the next pass.
      if (error.code === "write_conflict") return true;
      this.#note(name, target, "failing", `${error.code}: ${error.message}`);
      return false;
    }
  }

  #note(
    name: string,
    target: ReplicaPlace,
    status: TargetDocument["status"],
    detail: string | null,
  ): void {
    const key = keyOf(name, target);
    const before = this.#seen.get(key);
    const since = before?.differsSinceMs ?? this.#parts.clock.now();
    this.#seen.set(key, { status, detail, differsSinceMs: status === "in_sync" ? null : since });
    if (before?.status === status && before.detail === detail) return;
    const { repository, layer } = target;
    this.#parts.events.publish(`replica.${status}`, { replica: name, repository, layer, detail });
  }
}

/** The pairs of a definition that are not in another one. */
function pairsOf(definition: ReplicaDefinition, other: ReplicaDefinition | null): Pair[] {
  const { source } = definition;
  const key = (from: ReplicaPlace, to: ReplicaPlace) => keyOf(keyOf("", from), to);
  const kept = new Set(other?.targets.map((target) => key(other.source, target)));
  return definition.targets.filter((target) => !kept.has(key(source, target)))
    .map((target) => ({ source, target }));
}

function keyOf(name: string, { repository, layer }: ReplicaPlace): string {
  return `${name} ${repository} ${layer}`;
}
