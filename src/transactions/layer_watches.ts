/**
 * Tells subscribers of layers that native git moved, in every repository that is served, by
 * looking at each now and then.
 *
 * W1. A round has a bounded number of looks, so that a thousand repositories cost no more than
 *     sixty: with few each is looked at in every round, with many in turn.
 * W2. Where a look found a change others are likely: that repository comes first for a while,
 *     in at most half of a round, so that no other waits for ever.
 */
import { getLogger } from "@logtape/logtape";
import { messageOf } from "../core/errors.ts";
import { layerOfRef, type RepositoryId } from "../core/ids.ts";
import type { LayerWatch, Repository } from "../git/repository.ts";
import type { Clock, Timer } from "../system/clock.ts";
import type { EventBus } from "./events.ts";

const ROUND_MS = 500;
/** A look is two or three system calls while nothing happens: about 30 us. */
const LOOKS_PER_ROUND_MAX = 64;
const LIVELY_MS = 30_000;
const logger = getLogger(["layerd", "transactions"]);

/** What is watched of a repository. */
export type WatchedRepository = Pick<Repository, "id" | "name" | "watchLayers">;

interface Watched {
  readonly repository: WatchedRepository;
  readonly watch: LayerWatch;
  /** Until when (monotonic) changes are expected. */
  livelyUntilMs: number;
}

export class LayerWatches {
  readonly #events: EventBus;
  readonly #clock: Clock;
  /** In the order in which they were looked at: the first has waited for longest. */
  readonly #watched = new Map<RepositoryId, Watched>();
  #timer: Timer | null = null;

  constructor(events: EventBus, clock: Clock) {
    this.#events = events;
    this.#clock = clock;
  }

  /** A repository that cannot be watched is served all the same. */
  start(repository: WatchedRepository): void {
    try {
      const watch = this.#watch(repository);
      this.#watched.set(repository.id, { repository, watch, livelyUntilMs: 0 });
      this.#timer ??= this.#schedule();
    } catch (error) {
      this.#cannotWatch(repository, error);
    }
  }

  stop(id: RepositoryId): void {
    this.#watched.get(id)?.watch.close();
    this.#watched.delete(id);
    if (this.#watched.size > 0) return;
    this.#timer?.cancel();
    this.#timer = null;
  }

  #schedule(): Timer {
    return this.#clock.after(ROUND_MS, () => {
      for (const watched of this.#due()) this.#look(watched);
      this.#timer = this.#schedule();
    });
  }

  #due(): readonly Watched[] {
    const all = [...this.#watched.values()];
    if (all.length <= LOOKS_PER_ROUND_MAX) return all;
    const now = this.#clock.monotonic();
    const lively = all.filter(({ livelyUntilMs }) => livelyUntilMs > now)
      .slice(0, LOOKS_PER_ROUND_MAX / 2);
    return [...new Set([...lively, ...all])].slice(0, LOOKS_PER_ROUND_MAX);
  }

  #look(watched: Watched): void {
    const { id } = watched.repository;
    this.#watched.delete(id);
    this.#watched.set(id, watched);
    try {
      watched.watch.look();
    } catch (error) {
      this.#cannotWatch(watched.repository, error);
    }
  }

  #watch(repository: WatchedRepository): LayerWatch {
    return repository.watchLayers((change) => {
      const watched = this.#watched.get(repository.id);
      if (watched) watched.livelyUntilMs = this.#clock.monotonic() + LIVELY_MS;
      this.#events.publish("layer.changed", {
        repository: repository.name,
        layer: layerOfRef(change.ref),
        ref: change.ref,
        old: change.old,
        new: change.new,
        transaction_id: null,
      });
    });
  }

  #cannotWatch(repository: WatchedRepository, error: unknown): void {
    logger.warn("Native changes of layers in {repository} are not seen at the moment: {error}", {
      repository: repository.name,
      error: messageOf(error),
    });
  }
}
