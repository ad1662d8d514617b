/** Tells subscribers of layers that native git moved, in every repository that is served. */
import { getLogger } from "@logtape/logtape";
import { messageOf } from "../core/errors.ts";
import { layerOfRef, type RepositoryId } from "../core/ids.ts";
import type { Repository } from "../git/repository.ts";
import type { EventBus } from "./events.ts";

const logger = getLogger(["layerd", "transactions"]);

export class LayerWatches {
  readonly #events: EventBus;
  readonly #watches = new Map<RepositoryId, { close(): void }>();

  constructor(events: EventBus) {
    this.#events = events;
  }

  /** A repository that cannot be watched is served all the same. */
  start(repository: Repository): void {
    try {
      this.#watches.set(repository.id, this.#watch(repository));
    } catch (error) {
      logger.warn("Native changes of layers in {repository} are not reported: {error}", {
        repository: repository.name,
        error: messageOf(error),
      });
    }
  }

  stop(id: RepositoryId): void {
    this.#watches.get(id)?.close();
    this.#watches.delete(id);
  }

  #watch(repository: Repository): { close(): void } {
    return repository.watchLayers((change) => {
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
}
