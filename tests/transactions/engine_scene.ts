/**
 * The engine over real repositories in a temporary directory: what the transactions room's
 * tests talk to. One repository `app` with a native commit on `main` unless told otherwise.
 */
import {
  type ObjectId,
  parseFilePath,
  parseLayerName,
  parseObjectId,
  parseRefName,
  parseRepositoryName,
  parseTransactionId,
  type TransactionId,
} from "../../src/core/ids.ts";
import type { FileContent, GitOperation, Operation } from "../../src/core/operations.ts";
import type { Json } from "../../src/core/structured_value.ts";
import type { TransactionDocument } from "../../src/core/transaction_document.ts";
import type { Clock } from "../../src/system/clock.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import { type FileInfo, FileSystemError } from "../../src/system/file_system.ts";
import { DenoRandom } from "../../src/system/deno_random.ts";
import { type Engine, openEngine } from "../../src/transactions/engine.ts";
import type { LayerdEvent } from "../../src/transactions/events.ts";
import type { BeginRequest, ReadPoint } from "../../src/transactions/manager.ts";
import { Metrics } from "../../src/transactions/metrics.ts";
import { makeRepository } from "../harness/repositories.ts";

export const app = parseRepositoryName("app");

/** The real file system, which counts whole-system syncs and can refuse publications and unlinks. */
class WatchedFileSystem extends DenoFileSystem {
  systemSyncs = 0;
  refusesPublication = false;
  /** The same below this path alone. */
  refusesPublicationBelow: string | null = null;
  /** Fsyncs of directories wait for this. */
  directorySync: Promise<void> = Promise.resolve();
  /** Fsyncs of packs fail. */
  refusesFileSyncs = false;
  /** How many unlinks of lock files fail from here on. */
  refusedUnlocks = 0;
  /** Called right before `packed-refs` is replaced. */
  beforePublication: () => void = () => {};
  /** Looks at paths so far. */
  looks = 0;
  /** Segments of the log that were read so far. */
  segmentsRead = 0;
  readonly #unlocked: { readonly path: string; readonly resolve: () => void }[] = [];

  /** Resolves once this lock file is gone. */
  unlocked(path: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#unlocked.push({ path, resolve });
    return promise;
  }

  override readFile(path: string): Uint8Array {
    if (path.endsWith(".wal")) this.segmentsRead++;
    return super.readFile(path);
  }

  override lstatIfAny(path: string): FileInfo | null {
    this.looks++;
    return super.lstatIfAny(path);
  }

  override unlink(path: string): void {
    if (path.endsWith(".lock") && this.refusedUnlocks > 0) {
      this.refusedUnlocks--;
      throw new FileSystemError("EIO", "unlink", path);
    }
    super.unlink(path);
    for (const waiting of this.#unlocked) if (waiting.path === path) waiting.resolve();
  }

  override rename(from: string, to: string): void {
    const refused = this.refusesPublication ||
      (this.refusesPublicationBelow !== null && to.startsWith(`${this.refusesPublicationBelow}/`));
    if (refused && to.endsWith("/packed-refs")) {
      throw new FileSystemError("EIO", "rename", to);
    }
    if (to.endsWith("/packed-refs")) this.beforePublication();
    super.rename(from, to);
  }

  override async syncDirectory(path: string): Promise<void> {
    await this.directorySync;
    await super.syncDirectory(path);
  }

  override syncFile(path: string): Promise<void> {
    if (this.refusesFileSyncs && path.includes("/objects/pack/")) {
      throw new FileSystemError("EIO", "fsync", path);
    }
    return super.syncFile(path);
  }

  override syncFileSystem(path: string): Promise<void> {
    this.systemSyncs++;
    return super.syncFileSystem(path);
  }
}

export class EngineScene {
  readonly directory: string;
  readonly fileSystem: WatchedFileSystem = new WatchedFileSystem();
  /** The engine's, from its next start on. */
  clock: Clock = new DenoClock();
  /** Places of participants that the engine may reach, from its next start on. */
  readonly allowed: string[] = [];
  #engine: Engine | null = null;

  constructor(directory: string) {
    this.directory = directory;
  }

  get engine(): Engine {
    if (this.#engine === null) throw new Error("The engine is closed");
    return this.#engine;
  }

  get manager(): Engine["manager"] {
    return this.engine.manager;
  }

  get reader(): Engine["reader"] {
    return this.engine.reader;
  }

  /** Path of the repository with this name. */
  path(name: string): string {
    return `${this.directory}/${name}`;
  }

  async open(): Promise<void> {
    this.#engine = await openEngine({
      fileSystem: this.fileSystem,
      clock: this.clock,
      random: new DenoRandom(),
      metrics: new Metrics(),
      stateDirectory: `${this.directory}/state`,
      version: "0.0.0",
      pid: Deno.pid,
      allowedParticipants: this.allowed,
      onFatal: (error) => {
        throw error;
      },
    });
  }

  async close(): Promise<void> {
    const engine = this.#engine;
    this.#engine = null;
    await engine?.close(0);
  }

  async restart(): Promise<void> {
    await this.close();
    await this.open();
  }

  async serveRepository(name: string): Promise<void> {
    const path = await makeRepository(this.path(name));
    await this.engine.catalog.add({ name: parseRepositoryName(name), path, adopt: false });
  }

  begin(request: Partial<BeginRequest> = {}, signal?: AbortSignal): Promise<TransactionDocument> {
    return this.manager.begin({
      message: null,
      author: null,
      isolation: "locking",
      locks: [],
      lockTimeoutMs: 5_000,
      leaseMs: 30_000,
      prepareTimeoutMs: 10_000,
      operationType: null,
      tenantId: null,
      labels: {},
      operations: [],
      commit: false,
      idempotency: null,
      ...request,
    }, signal);
  }

  /** Begins and answers the id. */
  async openTransaction(request: Partial<BeginRequest> = {}): Promise<TransactionId> {
    return parseTransactionId((await this.begin(request)).id);
  }

  idOf(document: TransactionDocument): TransactionId {
    return parseTransactionId(document.id);
  }

  /** One-shot commit of these operations. */
  run(...operations: Operation[]): Promise<TransactionDocument> {
    return this.begin({ operations, commit: true });
  }

  /** Text of a file as git would see it now, or inside a transaction. */
  async text(layer: string, path: string, transaction: TransactionId | null = null) {
    const file = await this.reader.file(at(layer, transaction), parseFilePath(path));
    return new TextDecoder().decode(file.bytes);
  }

  /** Paths of a layer. */
  async paths(layer: string, transaction: TransactionId | null = null): Promise<string[]> {
    const { files } = await this.reader.tree(at(layer, transaction));
    return files.map(({ path }) => path);
  }

  /** Resolves with the next event of this type; subscribes before it returns. */
  async next(type: string): Promise<LayerdEvent> {
    const subscription = this.engine.events.subscribe(null);
    try {
      for await (const event of subscription) {
        if ("data" in event && event.type === type) return event;
      }
    } finally {
      subscription.close();
    }
    throw new Error(`The events ended before ${type}`);
  }

  /** Events from now on, collected until the returned function is called. */
  events(): () => Promise<LayerdEvent[]> {
    const subscription = this.engine.events.subscribe(null);
    const events: LayerdEvent[] = [];
    const reading = (async () => {
      for await (const event of subscription) if ("data" in event) events.push(event);
    })();
    return async () => {
      subscription.close();
      await reading;
      return events;
    };
  }
}

/** Runs a test over an engine that serves `app`, and removes everything. */
export async function withEngine(test: (scene: EngineScene) => Promise<void>): Promise<void> {
  const directory = await Deno.realPath(await Deno.makeTempDir({ prefix: "layerd-engine-" }));
  const scene = new EngineScene(directory);
  // Timers of the daemon's clock keep no process alive; its socket does, and here this.
  const alive = setInterval(() => {}, 1_000);
  try {
    await scene.open();
    await scene.serveRepository("app");
    await test(scene);
  } finally {
    await scene.close();
    clearInterval(alive);
    await Deno.remove(directory, { recursive: true });
  }
}

function at(layer: string, transaction: TransactionId | null): ReadPoint {
  return { repository: app, layer: parseLayerName(layer), transaction, at: null };
}

export function create(layer: string): GitOperation {
  return { op: "create_layer", repository: app, layer: parseLayerName(layer), from: null };
}

/** Creates a layer at a commit. */
export function createAt(layer: string, commit: string): GitOperation {
  const from = { kind: "commit" as const, commit: parseObjectId(commit) };
  return { op: "create_layer", repository: app, layer: parseLayerName(layer), from };
}

export function createFrom(layer: string, from: string): GitOperation {
  const origin = from.startsWith("refs/")
    ? { kind: "ref" as const, ref: parseRefName(from) }
    : { kind: "layer" as const, layer: parseLayerName(from) };
  return { op: "create_layer", repository: app, layer: parseLayerName(layer), from: origin };
}

export function put(layer: string, path: string, text: string): GitOperation {
  return putContent(layer, path, { kind: "inline", bytes: new TextEncoder().encode(text) });
}

export function putBlob(layer: string, path: string, oid: ObjectId): GitOperation {
  return putContent(layer, path, { kind: "object", oid });
}

function putContent(layer: string, path: string, content: FileContent): GitOperation {
  return {
    op: "put_file",
    repository: app,
    layer: parseLayerName(layer),
    path: parseFilePath(path),
    mode: "100644",
    content,
  };
}

export function patch(layer: string, path: string, mergePatch: Json): GitOperation {
  return {
    op: "patch_file",
    repository: app,
    layer: parseLayerName(layer),
    path: parseFilePath(path),
    mergePatch,
  };
}

export function merge(layer: string, from: string): GitOperation {
  const origin = /^[0-9a-f]{40}$/.test(from)
    ? { kind: "commit" as const, commit: parseObjectId(from) }
    : { kind: "layer" as const, layer: parseLayerName(from) };
  return { op: "merge_layer", repository: app, layer: parseLayerName(layer), from: origin };
}

export function remove(layer: string, path: string): GitOperation {
  return {
    op: "delete_file",
    repository: app,
    layer: parseLayerName(layer),
    path: parseFilePath(path),
  };
}

export function move(layer: string, from: string, to: string): GitOperation {
  return {
    op: "move_file",
    repository: app,
    layer: parseLayerName(layer),
    from: parseFilePath(from),
    to: parseFilePath(to),
  };
}

export function dropLayer(layer: string): GitOperation {
  return { op: "delete_layer", repository: app, layer: parseLayerName(layer) };
}

export function updateRef(ref: string, value: string | null): GitOperation {
  const oid = value === null ? null : parseObjectId(value);
  return { op: "update_ref", repository: app, ref: parseRefName(ref), new: oid };
}

export function verify(ref: string, commit: string | null): GitOperation {
  const oid = commit === null ? null : parseObjectId(commit);
  return { op: "verify", repository: app, ref: parseRefName(ref), commit: oid };
}
