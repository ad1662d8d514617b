/** The saga engine in the test's process, over the SQLite store and real HTTP services. */
import { assertEquals } from "@std/assert";
import type { SagaDocument } from "../../src/core/saga_document.ts";
import { parseSagaId } from "../../src/core/ids.ts";
import { decode } from "../../src/protocol/decode.ts";
import { definitionBody } from "../../src/protocol/sagas.ts";
import { httpAction } from "../../src/sagas/http_action.ts";
import { SagaEngine } from "../../src/sagas/saga_engine.ts";
import { openSqliteSagaStore } from "../../src/sagas/sqlite_saga_store.ts";
import type { SagaStore } from "../../src/sagas/saga_store.ts";
import type { Clock } from "../../src/system/clock.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { DenoRandom } from "../../src/system/deno_random.ts";
import { RingEventBus } from "../../src/transactions/event_bus.ts";

const REAL = new DenoClock();

export interface Step {
  readonly step_id: string;
  readonly [field: string]: unknown;
}

/** Steps `a`, `b`, `c` and so on of one service; fast retries. */
export function stepsOf(ids: readonly string[], over: Readonly<Record<string, unknown>> = {}) {
  return ids.map((step_id): Step => ({
    step_id,
    service_name: "service",
    action: `do_${step_id}`,
    compensation_action: `undo_${step_id}`,
    kind: "compensatable",
    timeout_ms: 2_000,
    retry_count: 2,
    backoff_ms: 1,
    backoff_max_ms: 5,
    ...over,
  }));
}

export class EngineScene {
  private constructor(
    readonly directory: string,
    readonly store: SagaStore,
    readonly engine: SagaEngine,
    readonly events: RingEventBus,
  ) {}

  /** On a directory that was used before, or a new one; `wrap` puts something before the store. */
  static async open(
    directory?: string,
    wrap: (store: SagaStore) => SagaStore = (store) => store,
    clock: Clock = REAL,
  ): Promise<EngineScene> {
    const home = directory ?? await Deno.makeTempDir({ prefix: "layerd-test-" });
    const store = wrap(openSqliteSagaStore(`${home}/sagas.sqlite`, clock));
    const events = new RingEventBus({ clock, incarnation: 1 });
    const engine = new SagaEngine({
      store,
      clock,
      random: new DenoRandom(),
      events,
      perform: httpAction(clock),
      requireReachable: () => {},
    });
    await engine.open();
    return new EngineScene(home, store, engine, events);
  }

  /** Defines `test` and starts one. */
  async start(url: string, steps: readonly Step[], rest: object = {}): Promise<SagaDocument> {
    const services = { service: { kind: "http", base_url: url } };
    const definition = decode(definitionBody, { services, steps, ...rest });
    await this.engine.saveDefinition("test", definition);
    return await this.again();
  }

  /** Starts another saga of the definition. */
  again(): Promise<SagaDocument> {
    return this.engine.start({ definition: "test", input: { n: 1 }, tenantId: null, key: null });
  }

  async ended(id: string, state: SagaDocument["state"]): Promise<SagaDocument> {
    const signal = new AbortController().signal;
    const saga = await this.engine.waitForEnd(parseSagaId(id), 20_000, signal);
    assertEquals(saga.state, state, JSON.stringify(saga, null, 1));
    return saga;
  }

  /** Resolves at the next event of this type, for this saga. */
  async until(id: string, type: string): Promise<void> {
    const subscription = this.events.subscribe(`1-0`);
    for await (const event of subscription) {
      if (event.type === "overflow") throw new Error("Too slow");
      if (event.type === type && "data" in event && event.data["saga_id"] === id) return;
    }
  }

  async types(id: string): Promise<string[]> {
    const events = await this.engine.events(parseSagaId(id));
    return events.map((e) => e.step_id === null ? e.type : `${e.type} ${e.step_id}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.engine.close(0);
    this.events.close();
    await Deno.remove(this.directory, { recursive: true });
  }
}
