/**
 * Sagas of this daemon: starts them, answers about all, passes operators' words on. Those that
 * have not ended run in saga_runs.ts. What is answered about a saga is what the store holds.
 */
import { LayerdError } from "../core/errors.ts";
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
import type { Clock } from "../system/clock.ts";
import type { Random } from "../system/random.ts";
import type { EventBus } from "../transactions/events.ts";
import { CallPlaces } from "./call_places.ts";
import { checkExpressions } from "./expressions.ts";
import { isRefusal, SagaRuns } from "./saga_runs.ts";
import { type SagaFilter, SagaMovedOn, type SagaStore } from "./saga_store.ts";
import { SagaWaiters } from "./saga_waiters.ts";
import type { StepAction } from "./step_action.ts";

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
  readonly #runs: SagaRuns;
  readonly #definitions = new Map<string, VersionedDefinition>();
  readonly #waiters: SagaWaiters;
  #closed = false;

  constructor(parts: SagaEngineParts) {
    this.#parts = parts;
    this.#waiters = new SagaWaiters(parts.clock);
    this.#runs = new SagaRuns({
      ...parts,
      places: new CallPlaces(SAGA_CALLS_MAX),
      load: (id) => this.#load(id),
      recorded: (after, event) => this.#publish(after, event),
    });
  }

  /** Takes up the sagas that have not ended. */
  open(): Promise<void> {
    return this.#runs.open();
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
    const { id, repeated } = await store.start({ id: proposed, at, fact, key: request.key })
      .catch((error) => {
        // It may be there, although the answer was lost; then it has to run.
        if (!isRefusal(error)) this.#runs.claimLater();
        throw error;
      });
    if (repeated) return await this.get(id);
    const event = { ...fact, saga_id: id, sequence: 1, at };
    const saga = beginSaga(event, definition);
    this.#publish(saga, event);
    this.#runs.begin(saga);
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
    if (run !== undefined) {
      try {
        return sagaDocument(await run.obey(verb, reason), clock.now());
      } catch (error) {
        if (!(error instanceof SagaMovedOn)) throw error;
      }
    }
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
    await this.#runs.close(graceMs);
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
