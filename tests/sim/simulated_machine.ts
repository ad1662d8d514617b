/**
 * One boot of the simulated machine: a disk, a clock, randomness, and the real engine over
 * them. A crash is not an exception: the disk is copied at a call, the copy loses what a
 * power loss takes, and the next machine boots from it. The old one is simply not run any
 * further, so that nothing of it can be seen, nor its failing code disturb anybody.
 */
import { FileSystemError } from "../../src/system/file_system.ts";
import { type Engine, openEngine } from "../../src/transactions/engine.ts";
import { Metrics } from "../../src/transactions/metrics.ts";
import { SeededRandom } from "../harness/random.ts";
import "./one_thread.ts";
import { SimulatedClock } from "./simulated_clock.ts";
import type { PowerLoss, SimulatedDisk } from "./simulated_disk.ts";
import { type CallWatcher, SimulatedFileSystem, type SystemCall } from "./simulated_file_system.ts";
import { ledgerAfterPowerLoss, type LedgerImage, SimulatedLedger } from "./simulated_ledger.ts";
import { SimulatedRandom } from "./simulated_random.ts";

export const STATE_DIRECTORY = "/state";
/** Small, so that scenarios change segments and make checkpoints by themselves. */
const LOG_SIZES = { segmentBytes: 64 * 1024, reserveBytes: 16 * 1024 };
const SYNC_MS_MIN = 0.1;
const SYNC_MS_MAX = 4;
const DOWN_MS = 1_500;

/** What outlives a machine. */
export interface Image {
  readonly disk: SimulatedDisk;
  readonly ledger: LedgerImage;
  readonly nowMs: number;
}

/** `killed`: the process ends, the page cache stays. */
export type CrashKind = PowerLoss | "killed";

/** The image as the next boot finds it: somebody has made room on a full disk. */
export function afterCrash(full: Image, kind: CrashKind, seed: number): Image {
  const image = { ...full, disk: full.disk.snapshot() };
  image.disk.capacityBytes = null;
  const nowMs = image.nowMs + DOWN_MS;
  if (kind === "killed") return { ...image, nowMs };
  const random = new SeededRandom(seed);
  return {
    disk: image.disk.afterPowerLoss(random, kind),
    ledger: ledgerAfterPowerLoss(image.ledger, random),
    nowMs,
  };
}

/** Makes calls fail: answers the code, or null. */
export interface Faults {
  onCall(call: SystemCall): string | null;
  onWrite(
    call: SystemCall,
    length: number,
  ): { readonly count: number; readonly code: string } | null;
  onSync(call: SystemCall): string | null;
}

export const NO_FAULTS: Faults = {
  onCall: () => null,
  onWrite: () => null,
  onSync: () => null,
};

export interface MachineOptions {
  readonly seed: number;
  readonly faults?: Faults;
  /** Bytes of log after which a checkpoint is made. */
  readonly checkpointBytes?: number;
}

export class SimulatedMachine {
  readonly clock: SimulatedClock;
  readonly fileSystem: SimulatedFileSystem;
  readonly disk: SimulatedDisk;
  readonly random: SeededRandom;
  /** Called before each call does anything. */
  beforeCall: (call: SystemCall) => void = () => {};
  /** The log failed: the daemon ends its process here. */
  onFatal: (error: unknown) => void = () => {};
  readonly ledger: SimulatedLedger;
  readonly #options: MachineOptions;
  #engine: Engine | null = null;
  #failing: (call: SystemCall) => string | null = () => null;

  constructor(image: Image, options: MachineOptions) {
    this.#options = options;
    this.disk = image.disk;
    this.clock = new SimulatedClock(image.nowMs);
    this.random = new SeededRandom(options.seed);
    this.ledger = new SimulatedLedger(image.ledger);
    this.fileSystem = new SimulatedFileSystem(image.disk, this.#watcher());
  }

  #watcher(): CallWatcher {
    const faults = this.#options.faults ?? NO_FAULTS;
    return {
      enter: (call) => {
        this.clock.noteCall();
        this.beforeCall(call);
        const code = this.#failing(call) ?? faults.onCall(call);
        if (code !== null) throw new FileSystemError(code, call.name, call.path);
      },
      shortWrite: (call, length) => faults.onWrite(call, length),
      syncFailure: (call) => faults.onSync(call),
      disk: () =>
        this.clock.sleep(SYNC_MS_MIN + this.random.uniform() * (SYNC_MS_MAX - SYNC_MS_MIN)),
      now: () => this.clock.fileTime(),
    };
  }

  /** From here on calls fail as this says. */
  fail(failing: (call: SystemCall) => string | null): void {
    this.#failing = failing;
  }

  get engine(): Engine {
    if (this.#engine === null) throw new Error("The engine is not open");
    return this.#engine;
  }

  get isServing(): boolean {
    return this.#engine !== null;
  }

  /** Opens the engine, which is recovery. */
  async boot(): Promise<Engine> {
    const { checkpointBytes } = this.#options;
    const opening = openEngine({
      fileSystem: this.fileSystem,
      clock: this.clock,
      random: new SimulatedRandom(new SeededRandom(this.random.integer(0, 2 ** 31))),
      metrics: new Metrics(),
      stateDirectory: STATE_DIRECTORY,
      version: "0.0.0",
      pid: 1,
      onFatal: (error) => this.onFatal(error),
      openLedger: () => ({ ledger: this.ledger, replaced: null }),
      logSizes: LOG_SIZES,
      ...checkpointBytes === undefined ? {} : { checkpointBytes },
    });
    this.#engine = await this.clock.until(opening);
    return this.#engine;
  }

  /** Stops the engine in good order. */
  async stop(): Promise<void> {
    await this.clock.until(this.engine.close(0));
    this.#engine = null;
  }

  /** Disk and ledger as they are at this moment. */
  image(): Image {
    return {
      disk: this.disk.snapshot(),
      ledger: this.ledger.image,
      nowMs: this.clock.now(),
    };
  }
}
