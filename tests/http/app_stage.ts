/**
 * The application on a real Unix socket. What lies beneath it is given call by call: a call
 * that a test does not expect fails the test.
 */
import { LayerdError } from "../../src/core/errors.ts";
import type { TransactionDocument } from "../../src/core/transaction_document.ts";
import { createApp } from "../../src/http/app.ts";
import type { DaemonControl } from "../../src/http/daemon_control.ts";
import type { AppParts } from "../../src/http/exchange.ts";
import { serveSocket, type SocketServer } from "../../src/http/server.ts";
import type { Replicator } from "../../src/replicas/replicator.ts";
import type { SagaEngine } from "../../src/sagas/saga_engine.ts";
import type { Clock } from "../../src/system/clock.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import { DenoRandom } from "../../src/system/deno_random.ts";
import type { RepositoryCatalog } from "../../src/transactions/catalog.ts";
import { RingEventBus } from "../../src/transactions/event_bus.ts";
import type { LayerReader, TransactionManager } from "../../src/transactions/manager.ts";
import { Metrics } from "../../src/transactions/metrics.ts";
import { toLsn } from "../../src/core/ids.ts";
import { SocketClient } from "../harness/socket_client.ts";

/** An interface of which only the given members may be used. */
function only<T extends object>(what: string, given: Partial<T>): T {
  return new Proxy(given, {
    get(target, name) {
      if (name in target) return Reflect.get(target, name);
      return () => {
        throw new Error(`Not expected: ${what}.${String(name)}()`);
      };
    },
  }) as T;
}

export interface StageOptions {
  readonly manager?: Partial<TransactionManager>;
  readonly reader?: Partial<LayerReader>;
  readonly catalog?: Partial<RepositoryCatalog>;
  readonly control?: Partial<DaemonControl>;
  readonly clock?: Clock;
}

const LOG_STATUS = {
  bytes: 1,
  segments: 2,
  lastLsn: toLsn(3),
  durableLsn: toLsn(4),
  checkpointLsn: toLsn(5),
  isFull: false,
  bytesSinceCheckpoint: 6,
};

function partsOf(options: StageOptions, events: RingEventBus): AppParts {
  return {
    manager: only<TransactionManager>("manager", {
      counts: () => ({ active: 1, in_doubt: 0, failed: 0 }),
      ...options.manager,
    }),
    reader: only<LayerReader>("reader", { ...options.reader }),
    views: only<AppParts["views"]>("views", {}),
    stacks: only<AppParts["stacks"]>("stacks", {}),
    catalog: only<RepositoryCatalog>("catalog", { ...options.catalog }),
    control: only<DaemonControl>("control", {
      phase: () => "serving",
      walStatus: () => LOG_STATUS,
      ...options.control,
    }),
    replicas: only<Replicator>("replicas", {}),
    participants: only<AppParts["participants"]>("participants", {}),
    inDoubt: only<AppParts["inDoubt"]>("inDoubt", { list: () => [] }),
    sagas: only<SagaEngine>("sagas", {}),
    events,
    metrics: new Metrics(),
    clock: options.clock ?? new DenoClock(),
    random: new DenoRandom(),
    version: "1.2.3",
  };
}

/** The application, listening. */
export class AppStage {
  private constructor(
    readonly directory: string,
    readonly path: string,
    readonly server: SocketServer,
    readonly client: SocketClient,
    readonly events: RingEventBus,
    readonly parts: AppParts,
  ) {}

  static async open(options: StageOptions = {}): Promise<AppStage> {
    const directory = await Deno.makeTempDir({ prefix: "layerd-test-" });
    const path = `${directory}/run/layerd.sock`;
    const clock = new DenoClock();
    const events = new RingEventBus({ clock, incarnation: 7 });
    const parts = partsOf(options, events);
    const app = createApp(parts);
    const server = await serveSocket({
      path,
      handler: (request) => app.fetch(request),
      fileSystem: new DenoFileSystem(),
      clock,
      uid: Deno.uid() ?? 0,
    });
    return new AppStage(directory, path, server, new SocketClient(path), events, parts);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    this.events.close();
    await this.server.close();
    await Deno.remove(this.directory, { recursive: true });
  }
}

/** A transaction in a state. */
export function transactionIn(state: TransactionDocument["state"]): TransactionDocument {
  return {
    id: TRANSACTION_ID,
    state,
    isolation: "locking",
    message: "m",
    author: null,
    tenant_id: null,
    labels: {},
    created_at: "2026-01-01T00:00:00.000Z",
    updated_at: "2026-01-01T00:00:00.000Z",
    lease_expires_at: null,
    fencing_token: 1,
    operations: 0,
    savepoints: [],
    locks: [],
    snapshot: [],
    results: [],
    participants: [],
    problem: null,
  };
}

export const TRANSACTION_ID = "01JZ0000000000000000000000";

/** What a call that is refused throws. */
export function refuse(code: ConstructorParameters<typeof LayerdError>[0]): never {
  throw new LayerdError(code, `Refused with ${code}`);
}
