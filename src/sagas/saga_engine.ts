/**
 * Sagas of this daemon: starts them, keeps those that have not ended going, answers about all.
 *
 * E1. A saga runs here only while the store says that it is ours; where it says otherwise the
 *     run is dropped without a word to any service.
 * E2. A run that the store failed is read again from the store, with backoff, for as long as
 *     the daemon lives.
 * E3. What is answered about a saga is what the store holds.
 */
import { getLogger } from "@logtape/logtape";
import { LayerdError, messageOf } from "../core/errors.ts";
import { parseSagaId, quote, type SagaId } from "../core/ids.ts";
import { SAGA_CALLS_MAX } from "../core/limits.ts";
import {
  checkDefinition,
  type SagaDefinition,
  type VersionedDefinition,
} from "../core/saga_definition.ts";
import {
  type CompensationDocument,
  compensationPlan,
  type SagaDocument,
  sagaDocument,
} from "../core/saga_document.ts";
import { eventDocument, type SagaEvent, type SagaEventDocument } from "../core/saga_event.ts";
import type { SagaVerb } from "../core/saga_next.ts";
import { isTerminal, type SagaState } from "../core/saga.ts";
import { applyEvent, beginSaga } from "../core/saga_state.ts";
import type { Json } from "../core/structured_value.ts";
import type { Clock, Timer } from "../system/clock.ts";
import type { Random } from "../system/random.ts";
import type { EventBus } from "../transactions/events.ts";
import { CallPlaces } from "./call_places.ts";
import { checkExpressions } from "./expressions.ts";
import { SagaRun } from "./saga_run.ts";
import { type SagaFilter, SagaMovedOn, type SagaStore } from "./saga_store.ts";
import { SagaWaiters } from "./saga_waiters.ts";
import type { StepAction } from "./step_action.ts";

const logger = getLogger(["layerd", "sagas"]);

const RELOAD_MS_MIN = 500;
const RELOAD_MS_MAX = 30_000;
/** Signs of life within one lease. */
const RENEWALS_PER_LEASE = 4;

export interface SagaEngineParts {
  readonly store: SagaStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: EventBus;
  readonly perform: StepAction;
  /** Throws `permission_denied` where the daemon may not reach the definition's services. */
  readonly requireReachable: (definition: SagaDefinition) => void;
}

export interface StartRequest {
  readonly definition: string;
  readonly input: Json;
  readonly tenantId: string | null;
  readonly key: { readonly key: string; readonly requestHash: string } | null;
}

export class SagaEngine {
  readonly #parts: SagaEngineParts;
  readonly #places = new CallPlaces(SAGA_CALLS_MAX);
  readonly #runs = new Map<SagaId, SagaRun>();
  readonly #reloads = new Map<SagaId, Timer>();
  readonly #definitions = new Map<string, VersionedDefinition>();
  readonly #waiters: SagaWaiters;
  #renewal: Timer | null = null;
  #closed = false;

  constructor(parts: SagaEngineParts) {
    this.#parts = parts;
    this.#waiters = new SagaWaiters(parts.clock);
  }

  /** Takes up the sagas that have not ended. */
  async open(): Promise<void> {
    await this.#claim();
    this.#keepAlive();
  }

  async saveDefinition(name: string, definition: SagaDefinition): Promise<VersionedDefinition> {
    checkDefinition(definition);
    await checkExpressions(definition);
    this.#parts.requireReachable(definition);
    return await this.#parts.store.saveDefinition(name, definition);
  }

  async definition(name: string): Promise<VersionedDefinition> {
    const found = await this.#parts.store.definition(name, null);
    if (found !== null) return found;
    throw new LayerdError("saga_not_found", `No saga definition is called ${quote(name)}`);
  }

  definitions(): Promise<VersionedDefinition[]> {
    return this.#parts.store.definitions();
  }

  async start(request: StartRequest): Promise<SagaDocument> {
    if (this.#closed) throw new LayerdError("draining", "The daemon stops and starts no sagas");
    const definition = await this.definition(request.definition);
    const { clock, random, store } = this.#parts;
    const nowMs = clock.now();
    const data = {
      definition: definition.name,
      definition_version: definition.version,
      input: request.input,
      tenant_id: request.tenantId,
    };
    const at = new Date(nowMs).toISOString();
    const fact = { type: "saga_requested", data } as const;
    const proposed = parseSagaId(random.ulid(nowMs));
    const { id, repeated } = await store.start({ id: proposed, at, fact, key: request.key });
    if (repeated) return await this.get(id);
    const event = { ...fact, saga_id: id, sequence: 1, at };
    const saga = beginSaga(event, definition);
    this.#publish(saga, event);
    this.#run(saga);
    return sagaDocument(saga, clock.now());
  }

  async get(id: SagaId): Promise<SagaDocument> {
    return sagaDocument(await this.#load(id), this.#parts.clock.now());
  }

  async events(id: SagaId): Promise<SagaEventDocument[]> {
    const events = await this.#parts.store.events(id);
    if (events.length === 0) throw notFound(id);
    return events.map(eventDocument);
  }

  async list(filter: SagaFilter, limit: number, before: SagaId | null): Promise<SagaDocument[]> {
    const ids = await this.#parts.store.list(filter, limit, before);
    const sagas: SagaDocument[] = [];
    for (const id of ids) sagas.push(await this.get(id));
    return sagas;
  }

  /** How many sagas wait for an operator. */
  needingOperator(): Promise<number> {
    return this.#parts.store.count({ condition: "needs_operator" });
  }

  async compensationPlan(id: SagaId): Promise<CompensationDocument[]> {
    return compensationPlan(await this.#load(id));
  }

  /** An operator's word. `invalid_transition` where it makes no sense, or another daemon has it. */
  async obey(id: SagaId, verb: SagaVerb, reason: string | null): Promise<SagaDocument> {
    const run = this.#runs.get(id);
    const { clock } = this.#parts;
    if (run !== undefined) return sagaDocument(await run.obey(verb, reason), clock.now());
    const saga = await this.#load(id);
    const why = isTerminal(saga)
      ? `has ended: it is ${saga.state}`
      : "is not run by this daemon now; ask the one that has it, or try again";
    throw new LayerdError("invalid_transition", `Saga ${id} ${why}`, {
      from: saga.state,
      event: verb,
    });
  }

  /** Answers once the saga has ended; else `timeout`. */
  async waitForEnd(id: SagaId, timeoutMs: number, signal: AbortSignal): Promise<SagaDocument> {
    const ended = async () => {
      const saga = await this.get(id);
      return isTerminal(saga) ? saga : null;
    };
    return await this.#waiters.wait(id, ended, timeoutMs, signal);
  }

  /** No further call begins; those under way get `graceMs`, then are given up. */
  async close(graceMs: number): Promise<void> {
    this.#closed = true;
    this.#waiters.close();
    this.#renewal?.cancel();
    for (const timer of this.#reloads.values()) timer.cancel();
    const abort = new AbortController();
    const timer = this.#parts.clock.after(graceMs, () => abort.abort());
    await Promise.all([...this.#runs.values()].map((run) => run.stop(abort.signal)));
    timer.cancel();
    await this.#parts.store.close();
  }

  async #load(id: SagaId): Promise<SagaState> {
    const [first, ...rest] = await this.#parts.store.events(id);
    if (first === undefined) throw notFound(id);
    return rest.reduce(applyEvent, beginSaga(first, await this.#definitionOf(first)));
  }

  async #definitionOf(first: SagaEvent): Promise<VersionedDefinition> {
    if (first.type !== "saga_requested") throw new Error("BUG: a saga begins otherwise");
    const { definition: name, definition_version: version } = first.data;
    const key = `${version} ${name}`;
    const known = this.#definitions.get(key) ?? await this.#parts.store.definition(name, version);
    if (known === null) {
      throw new LayerdError("io_error", `Version ${version} of saga definition ${name} is missing`);
    }
    this.#definitions.set(key, known);
    return known;
  }

  #run(saga: SagaState): void {
    const { store, clock, random, perform } = this.#parts;
    const run = new SagaRun({
      store,
      clock,
      random,
      perform,
      places: this.#places,
      recorded: (after, event) => this.#publish(after, event),
      over: (ended, error) => this.#over(ended, error),
    }, saga);
    this.#runs.set(run.id, run);
    run.poke();
  }

  #over(run: SagaRun, error: unknown): void {
    if (this.#runs.get(run.id) === run) this.#runs.delete(run.id);
    if (error === null || this.#closed) return;
    if (error instanceof SagaMovedOn && error.why === "owner") {
      logger.warn("{error}; this daemon lets it go", { error: error.message });
      return;
    }
    logger.error("Saga {id} is read again: {error}", { id: run.id, error: messageOf(error) });
    this.#reloadAfter(run.id, RELOAD_MS_MIN);
  }

  #reloadAfter(id: SagaId, delayMs: number): void {
    const timer = this.#parts.clock.after(delayMs, () => {
      this.#reloads.delete(id);
      void this.#takeUp(id).catch((error) => {
        logger.error("Saga {id} cannot be read: {error}", { id, error: messageOf(error) });
        if (!this.#closed) this.#reloadAfter(id, Math.min(2 * delayMs, RELOAD_MS_MAX));
      });
    });
    this.#reloads.set(id, timer);
  }

  async #takeUp(id: SagaId): Promise<void> {
    if (this.#runs.has(id) || this.#closed) return;
    const saga = await this.#load(id);
    if (!isTerminal(saga) && !this.#runs.has(id)) this.#run(saga);
  }

  async #claim(): Promise<void> {
    for (const id of await this.#parts.store.claim()) {
      await this.#takeUp(id).catch((error) => {
        logger.error("Saga {id} cannot be read: {error}", { id, error: messageOf(error) });
        this.#reloadAfter(id, RELOAD_MS_MIN);
      });
    }
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

  #publish(saga: SagaState, event: SagaEvent): void {
    const { type, step_id, attempt, sequence, data } = eventDocument(event);
    this.#parts.events.publish(`saga.${type.replace(/^saga_/, "")}`, {
      saga_id: saga.id,
      definition: saga.definition.name,
      tenant_id: saga.tenantId,
      state: saga.state,
      condition: saga.condition,
      sequence,
      step_id,
      attempt,
      ...("error" in data ? { error: data["error"] } : {}),
    });
    if (isTerminal(saga)) this.#waiters.ended(parseSagaId(saga.id));
  }
}

function notFound(id: SagaId): LayerdError {
  return new LayerdError("saga_not_found", `No saga has the id ${quote(id)}`);
}
