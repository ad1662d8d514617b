/**
 * The daemon as a process: engine beneath, socket in front, signals beside. The socket
 * answers (503 `recovering`) while recovery runs; the ready line is printed after it.
 */
import { getLogger } from "@logtape/logtape";
import { LayerdError, messageOf } from "../core/errors.ts";
import { parseRepositoryName } from "../core/ids.ts";
import { DRAIN_MS_MAX } from "../core/limits.ts";
import { ReplicaFile } from "../replicas/replica_file.ts";
import { Replicator } from "../replicas/replicator.ts";
import type { SagaEngine } from "../sagas/saga_engine.ts";
import { DenoClock } from "../system/deno_clock.ts";
import { DenoFileSystem } from "../system/deno_file_system.ts";
import { DenoRandom } from "../system/deno_random.ts";
import { type Engine, openEngine } from "../transactions/engine.ts";
import { Metrics } from "../transactions/metrics.ts";
import { StackWriter } from "../views/stack_writer.ts";
import { lazyViews } from "../views/lazy_views.ts";
import { createApp } from "./app.ts";
import type { DaemonControl, DaemonPhase } from "./daemon_control.ts";
import { healthDocument } from "./health.ts";
import { configureLogs } from "./logs.ts";
import { openSagas } from "./open_sagas.ts";
import { serveSocket } from "./server.ts";
import { SocketRefused } from "./socket_directory.ts";

const logger = getLogger(["layerd", "daemon"]);

const EXIT_STOPPED = 0;
const EXIT_REFUSED = 1;
/** The user may not, or others could: EX_NOPERM of sysexits. */
const EXIT_FORBIDDEN = 77;
/** The log failed; EX_IOERR of sysexits, so that a supervisor can tell it from a refusal. */
const EXIT_LOG_FAILED = 74;

/** Calls of sagas under way get this long at the end; the next start asks for them again. */
const SAGA_GRACE_MS = 2_000;

export interface DaemonOptions {
  /** Absolute. */
  readonly socket: string;
  /** Absolute. */
  readonly stateDir: string;
  readonly repositories: readonly { readonly name: string; readonly path: string }[];
  /** URL of a PostgreSQL in which sagas are kept, or null. */
  readonly sagaStore: string | null;
  /** `HOST:PORT` or `unix:PATH` each. */
  readonly allowParticipants: readonly string[];
  readonly version: string;
  readonly uid: number;
  /** Writes the one ready line. */
  readonly announce: (line: string) => void;
}

/** Serves until it is told to stop; answers the exit code. */
export async function serveDaemon(options: DaemonOptions): Promise<number> {
  await configureLogs();
  try {
    await new Daemon(options).run();
    return EXIT_STOPPED;
  } catch (error) {
    logger.fatal("layerd does not start: {error}", { error: messageOf(error) });
    return isForbidden(error) ? EXIT_FORBIDDEN : EXIT_REFUSED;
  }
}

function isForbidden(error: unknown): boolean {
  return error instanceof Deno.errors.PermissionDenied ||
    (error instanceof SocketRefused && error.reason === "unsafe_directory");
}

class Daemon implements DaemonControl {
  readonly #options: DaemonOptions;
  readonly #fileSystem = new DenoFileSystem();
  readonly #clock = new DenoClock();
  readonly #random = new DenoRandom();
  readonly #metrics = new Metrics();
  readonly #startedMs = this.#clock.monotonic();
  readonly #stop = Promise.withResolvers<void>();
  #engine: Engine | null = null;
  #sagas: SagaEngine | null = null;
  #replicas: Replicator | null = null;
  #phase: DaemonPhase = "recovering";

  constructor(options: DaemonOptions) {
    this.#options = options;
  }

  phase(): DaemonPhase {
    return this.#phase;
  }

  shutdown(): void {
    this.#stop.resolve();
  }

  async run(): Promise<void> {
    const { socket, stateDir, version, uid } = this.#options;
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      Deno.addSignalListener(signal, () => this.shutdown());
    }
    const [fileSystem, clock] = [this.#fileSystem, this.#clock];
    const app = createApp(this.#appParts());
    const server = await serveSocket({
      path: socket,
      handler: (request) => app.fetch(request),
      fileSystem,
      clock,
      uid,
    });
    try {
      const engine = await openEngine({
        fileSystem,
        clock,
        random: this.#random,
        metrics: this.#metrics,
        stateDirectory: stateDir,
        allowedParticipants: this.#options.allowParticipants,
        version,
        pid: Deno.pid,
        onFatal: (error) => this.#die(error),
      });
      this.#engine = engine;
      await this.#serveRepositories(engine);
      this.#replicas = this.#openReplicas(engine);
      this.#sagas = await openSagas({
        engine,
        clock,
        random: this.#random,
        stateDirectory: stateDir,
        sharedStore: this.#options.sagaStore,
      });
      this.#phase = "serving";
      const ready = { event: "ready", socket, pid: Deno.pid, version };
      this.#options.announce(JSON.stringify(ready) + "\n");
      await this.#stop.promise;
    } finally {
      this.#phase = "draining";
      try {
        await this.#replicas?.close();
        await this.#sagas?.close(SAGA_GRACE_MS);
        await this.#engine?.close(DRAIN_MS_MAX);
      } finally {
        await server.close();
      }
    }
    logger.info("Stopped");
  }

  async healthDocument() {
    const uptimeMs = Math.round(this.#clock.monotonic() - this.#startedMs);
    const { version } = this.#options;
    return await healthDocument({ engine: this.#engine, version, uptimeMs, phase: this.#phase });
  }

  walStatus() {
    return this.#served().log.status();
  }

  checkpoint(): Promise<void> {
    return this.#served().checkpoint();
  }

  async #serveRepositories(engine: Engine): Promise<void> {
    for (const { name, path } of this.#options.repositories) {
      await engine.catalog.ensure({ name: parseRepositoryName(name), path, adopt: false });
    }
  }

  /** Parts that exist only once the engine is open: routes ask for them after recovery. */
  #appParts() {
    const served = () => this.#served();
    const fileSystem = this.#fileSystem;
    const servedSagas = () => this.#servedSagas();
    const servedReplicas = () => this.#servedReplicas();
    return {
      get manager() {
        return served().manager;
      },
      get reader() {
        return served().reader;
      },
      get views() {
        const { catalog, manager } = served();
        return lazyViews({ catalog, transactions: manager, fileSystem });
      },
      get stacks() {
        return new StackWriter(served().manager);
      },
      get catalog() {
        return served().catalog;
      },
      get events() {
        return served().events;
      },
      get replicas() {
        return servedReplicas();
      },
      get participants() {
        return served().twoPhase.registry;
      },
      get inDoubt() {
        return served().inDoubt;
      },
      get sagas() {
        return servedSagas();
      },
      control: this,
      metrics: this.#metrics,
      clock: this.#clock,
      random: this.#random,
      version: this.#options.version,
    };
  }

  #served(): Engine {
    if (this.#engine) return this.#engine;
    throw new LayerdError("recovering", "The daemon is replaying its log");
  }

  #openReplicas({ catalog, manager, events }: Engine): Replicator {
    const [fileSystem, clock] = [this.#fileSystem, this.#clock];
    const file = new ReplicaFile(fileSystem, this.#options.stateDir);
    const replicas = new Replicator({ catalog, manager, events, fileSystem, clock, file });
    replicas.open();
    return replicas;
  }

  #servedReplicas(): Replicator {
    if (this.#replicas) return this.#replicas;
    throw new LayerdError("recovering", "The daemon is taking up its replicas");
  }

  #servedSagas(): SagaEngine {
    if (this.#sagas) return this.#sagas;
    throw new LayerdError("recovering", "The daemon is taking up its sagas");
  }

  /** GIT-SAFETY 4.4: nothing is given back; the next process decides from what is on disk. */
  #die(error: unknown): never {
    logger.fatal("The log cannot be written, layerd ends and keeps its locks: {error}", {
      error: messageOf(error),
    });
    Deno.exit(EXIT_LOG_FAILED);
  }
}
