/**
 * Registered repositories that could not be opened: a volume that is not mounted yet, a
 * directory that was moved away. Tried again on a timer until they come back; what the log
 * holds for one is made good before it is served (recovery.ts).
 */
import { getLogger } from "@logtape/logtape";
import { messageOf } from "../core/errors.ts";
import type { RepositoryName } from "../core/ids.ts";
import type { Clock } from "../system/clock.ts";

const RETRY_MS_MIN = 250;
const RETRY_MS_MAX = 5_000;
const logger = getLogger(["layerd", "transactions"]);

export interface AbsentCatalog {
  /** Registrations whose repository cannot be used now. */
  unavailable(): readonly { readonly name: RepositoryName }[];
  /** Tries one again; false where it stays away. */
  reopen(name: RepositoryName): Promise<boolean>;
}

export class AbsentRepositories {
  readonly #clock: Clock;
  readonly #catalog: AbsentCatalog;
  #retryMs = RETRY_MS_MIN;
  #timer: { cancel(): void } | null = null;
  #trying: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(clock: Clock, catalog: AbsentCatalog) {
    this.#clock = clock;
    this.#catalog = catalog;
  }

  /** Comes back while one is away. */
  watch(): void {
    if (this.#stopped || this.#timer !== null || this.#catalog.unavailable().length === 0) return;
    this.#timer = this.#clock.after(this.#retryMs, () => {
      this.#timer = null;
      this.#retryMs = Math.min(RETRY_MS_MAX, this.#retryMs * 2);
      this.#trying = this.#tryAll().finally(() => this.watch());
    });
  }

  /** Resolves when no try is under way any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#trying;
  }

  async #tryAll(): Promise<void> {
    for (const { name } of this.#catalog.unavailable()) {
      try {
        if (!await this.#catalog.reopen(name)) continue;
        this.#retryMs = RETRY_MS_MIN;
        logger.info("Repository {name} is back and is served", { name });
      } catch (error) {
        logger.error("Repository {name} is back and cannot be served: {error}", {
          name,
          error: messageOf(error),
        });
      }
    }
  }
}
