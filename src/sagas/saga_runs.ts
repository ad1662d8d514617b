/**
 * The sagas that run in this daemon, and how they come here.
 *
 * E1. A saga runs here only while the store says that it is ours; where it says otherwise the
 *     run is dropped without a word to any service. So a run begins with a start or with a
 *     claim, never from what this daemon remembers.
 * E2. A run that the store failed is claimed again, with backoff, for as long as the daemon
 *     lives; so is a saga whose start or claim was stored although the answer was lost.
 * E3. A run that knows less than the store (another daemon had the saga meanwhile) is replaced.
 */
import { getLogger } from "@logtape/logtape";
import { LayerdError, messageOf } from "../core/errors.ts";
import type { SagaId } from "../core/ids.ts";
import type { SagaEvent } from "../core/saga_event.ts";
import { isTerminal, type SagaState } from "../core/saga.ts";
import type { Clock, Timer } from "../system/clock.ts";
import type { Random } from "../system/random.ts";
import type { CallPlaces } from "./call_places.ts";
import { SagaRun } from "./saga_run.ts";
import { type ClaimedSaga, SagaMovedOn, type SagaStore } from "./saga_store.ts";
import type { StepAction } from "./step_action.ts";

const logger = getLogger(["layerd", "sagas"]);

const CLAIM_AFTER_MS_MIN = 500;
const CLAIM_AFTER_MS_MAX = 30_000;
/** Signs of life within one lease. */
const RENEWALS_PER_LEASE = 4;

export interface SagaRunsParts {
  readonly store: SagaStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly perform: StepAction;
  readonly places: CallPlaces;
  readonly load: (id: SagaId) => Promise<SagaState>;
  /** Every event, once it is in the store. */
  readonly recorded: (saga: SagaState, event: SagaEvent) => void;
}

export class SagaRuns {
  readonly #parts: SagaRunsParts;
  readonly #runs = new Map<SagaId, SagaRun>();
  #renewal: Timer | null = null;
  #nextClaim: Timer | null = null;
  #claims: Promise<void> = Promise.resolve();
  #failures = { delayMs: CLAIM_AFTER_MS_MIN, lastMs: -Infinity };
  #closed = false;

  constructor(parts: SagaRunsParts) {
    this.#parts = parts;
  }

  /** Takes up the sagas that have not ended. */
  async open(): Promise<void> {
    await this.#claim();
    this.#keepAlive();
  }

  get(id: SagaId): SagaRun | undefined {
    return this.#runs.get(id);
  }

  /** A saga that is in the store, under this daemon's name. */
  begin(saga: SagaState): void {
    const { store, clock, random, perform, places, recorded } = this.#parts;
    const over = (ended: SagaRun, error: unknown) => this.#over(ended, error);
    const run = new SagaRun(
      { store, clock, random, perform, places, recorded, over },
      saga,
    );
    if (this.#closed || this.#runs.has(run.id)) return;
    this.#runs.set(run.id, run);
    run.poke();
  }

  /** Something failed of which it is not known whether it is in the store: looks, after a pause. */
  claimLater(): void {
    if (this.#closed || this.#nextClaim !== null) return;
    const nowMs = this.#parts.clock.monotonic();
    const { delayMs, lastMs } = this.#failures;
    const isNew = nowMs - lastMs > 2 * CLAIM_AFTER_MS_MAX;
    const thisMs = isNew ? CLAIM_AFTER_MS_MIN : delayMs;
    this.#failures = { delayMs: Math.min(2 * thisMs, CLAIM_AFTER_MS_MAX), lastMs: nowMs };
    this.#nextClaim = this.#parts.clock.after(thisMs, () => {
      this.#nextClaim = null;
      void this.#claim().catch((error) => {
        logger.error("Sagas cannot be taken up: {error}", { error: messageOf(error) });
        this.claimLater();
      });
    });
  }

  /** No further call begins; those under way get `graceMs`, then are given up. */
  async close(graceMs: number): Promise<void> {
    this.#closed = true;
    this.#renewal?.cancel();
    this.#nextClaim?.cancel();
    const abort = new AbortController();
    const timer = this.#parts.clock.after(graceMs, () => abort.abort());
    await Promise.all([...this.#runs.values()].map((run) => run.stop(abort.signal)));
    timer.cancel();
  }

  #over(run: SagaRun, error: unknown): void {
    if (this.#runs.get(run.id) === run) this.#runs.delete(run.id);
    if (error === null || this.#closed) return;
    if (error instanceof SagaMovedOn && error.why === "owner") {
      logger.warn("{error}; this daemon lets it go", { error: error.message });
      return;
    }
    logger.error("Saga {id} is read again: {error}", { id: run.id, error: messageOf(error) });
    this.claimLater();
  }

  /** One claim after the other: two would take the same saga up twice. */
  #claim(): Promise<void> {
    const claim = this.#claims.then(async () => {
      for (const claimed of await this.#parts.store.claim()) {
        if (this.#closed) return;
        await this.#takeUp(claimed).catch((error) => {
          logger.error("Saga {id} cannot be read: {error}", {
            id: claimed.id,
            error: messageOf(error),
          });
          this.claimLater();
        });
      }
    });
    this.#claims = claim.catch(() => {});
    return claim;
  }

  async #takeUp({ id, sequence }: ClaimedSaga): Promise<void> {
    const run = this.#runs.get(id);
    if (run !== undefined) {
      if (await run.recordedSequence() >= sequence) return;
      run.drop();
      this.#runs.delete(id);
    }
    const saga = await this.#parts.load(id);
    if (!isTerminal(saga)) this.begin(saga);
  }

  #keepAlive(): void {
    const { store, clock } = this.#parts;
    if (store.leaseMs === null || this.#closed) return;
    this.#renewal = clock.after(store.leaseMs / RENEWALS_PER_LEASE, () => {
      void this.#renew().finally(() => this.#keepAlive());
    });
  }

  async #renew(): Promise<void> {
    try {
      await this.#parts.store.renew();
      await this.#claim();
    } catch (error) {
      logger.error("The event store gives no sign of life: {error}", { error: messageOf(error) });
    }
  }
}

/** Whether it is for certain that nothing was stored. */
export function isRefusal(error: unknown): boolean {
  return error instanceof LayerdError && error.status < 500;
}
