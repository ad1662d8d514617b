/**
 * What could not be removed when its transaction ended: a lock file or a staged file whose
 * unlink failed, the refs that kept a promise's objects while somebody else held
 * packed-refs.lock. It harms no commit of ours, but native git runs into locks and refs: it is
 * tried again after groups, on a timer and at the end, and stands in the repository's health
 * until it is gone.
 */
import { getLogger } from "@logtape/logtape";
import { messageOf } from "../core/errors.ts";
import type { RepositoryId } from "../core/ids.ts";
import type { Repository } from "../git/repository.ts";
import type { Clock } from "../system/clock.ts";
import type { RepositoryCatalog } from "./catalog.ts";
import type { Turn } from "./pipeline.ts";

const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 10_000;
const logger = getLogger(["layerd", "transactions"]);

/** Removes what waits in the repository; what stays is told in the log. Between groups only. */
export async function tidy(repository: Repository): Promise<void> {
  if (repository.publisher.leftovers().length === 0) return;
  try {
    await repository.publisher.tidy();
  } catch (error) {
    logger.warn("Leftovers in {repository} stay for now: {error}", {
      repository: repository.name,
      error: messageOf(error),
    });
  }
}

export interface LeftoversParts {
  readonly clock: Clock;
  readonly catalog: Pick<RepositoryCatalog, "all" | "byId">;
}

/** Tries again while anything is left. */
export class Leftovers {
  readonly #parts: LeftoversParts;
  readonly #turn: Turn;
  #retryMs = RETRY_MS_MIN;
  #timer: { cancel(): void } | null = null;
  #stopped = false;

  constructor(parts: LeftoversParts, turn: Turn) {
    this.#parts = parts;
    this.#turn = turn;
  }

  /** Looks whether anything is left anywhere, and comes back if so. */
  watch(): void {
    this.watchIn(this.#parts.catalog.all().map(({ id }) => id));
  }

  /** The same for the repositories of a group: no look at a thousand others. */
  watchIn(ids: Iterable<RepositoryId>): void {
    const found = [...ids].flatMap((id) => this.#parts.catalog.byId(id) ?? []);
    if (this.#timer !== null || this.#stopped || !anyIn(found)) return;
    this.#timer = this.#parts.clock.after(this.#retryMs, () => {
      this.#timer = null;
      this.#retryMs = Math.min(RETRY_MS_MAX, this.#retryMs * 2);
      // Only a failed log rejects a turn, and that ends the process.
      this.#turn(() => this.tidyAll()).then(() => this.watch(), () => {});
    });
  }

  /** One try everywhere; a turn of the pipeline. */
  async tidyAll(): Promise<void> {
    for (const repository of this.#parts.catalog.all()) await tidy(repository);
    if (!anyIn(this.#parts.catalog.all())) this.#retryMs = RETRY_MS_MIN;
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }
}

function anyIn(repositories: Iterable<Repository>): boolean {
  for (const { publisher } of repositories) if (publisher.leftovers().length > 0) return true;
  return false;
}

/**
 * Before a repository is served anew: a registration that a crash cut short left temporary
 * files, and after a power loss in the middle of a removal locks of ours are back. With the
 * owner file's flock ours, their transactions are over.
 */
export function clearLeftovers({ objects, publisher }: Repository): void {
  publisher.unlockRefs(publisher.adoptLocks().refs);
  publisher.unlockPackedRefs();
  publisher.sweep();
  // The log knows nothing of a repository under an id that it is about to learn.
  objects.sweep(new Set());
}
