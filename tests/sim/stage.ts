/**
 * A scenario's stage: the engine on a simulated machine, and beside it what the client knows:
 * the states that its commits lead through, and how far they were acknowledged. At any call
 * the stage can say what a crash there must leave (`Expectation`).
 */
import { parseRepositoryName, parseTransactionId, type TransactionId } from "../../src/core/ids.ts";
import type { BeginRequest } from "../../src/transactions/manager.ts";
import { canonical, create, type Model, type Step } from "./model.ts";
import { SimulatedDisk } from "./simulated_disk.ts";
import type { DiskKind } from "./name_journal.ts";
import { EMPTY_LEDGER } from "./simulated_ledger.ts";
import { type Image, type MachineOptions, SimulatedMachine } from "./simulated_machine.ts";
import { makeSimulatedRepository, writeNativeCommit } from "./simulated_repository.ts";

const START_MS = Date.UTC(2025, 0, 1);

/** A promise that the daemon made, and the state that keeping it leads to. */
export interface Promised {
  readonly id: TransactionId;
  readonly steps: readonly Step[];
  /** A commit or rollback of it was asked for and not yet answered. */
  readonly asked: "nothing" | "commit" | "rollback";
}

/** What must be found after a crash at some call. */
export interface Expectation {
  /** One of these, as a whole. */
  readonly allowed: readonly Model[];
  readonly promised: readonly Promised[];
  /** A prepare was asked for and not yet answered: the promise may have been made. */
  readonly preparing: boolean;
  readonly repositories: readonly string[];
}

export const BEGIN: BeginRequest = {
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
};

/** A disk with bare repositories at `/<name>`. */
export async function freshImage(kind: DiskKind, repositories: readonly string[]): Promise<Image> {
  const image = { disk: new SimulatedDisk(kind), ledger: EMPTY_LEDGER, nowMs: START_MS };
  const machine = new SimulatedMachine(image, { seed: 0 });
  for (const name of repositories) {
    await machine.clock.until(makeSimulatedRepository(machine.fileSystem, `/${name}`));
  }
  return machine.image();
}

export class Stage {
  machine: SimulatedMachine;
  readonly #repositories: string[] = [];
  #model: Model = {};
  /** What is asked for and not answered leads here. */
  #pending: Model | null = null;
  #promised: readonly Promised[] = [];
  #preparing = false;
  /** While several commits are in flight: every state that they may leave. */
  #allowed: (() => Model[]) | null = null;

  constructor(image: Image, options: MachineOptions) {
    this.machine = new SimulatedMachine(image, options);
  }

  /** Puts the stage on another machine: a restart within the scenario. */
  async restart(): Promise<void> {
    await this.machine.stop();
    await this.machine.boot();
  }

  expectation(): Expectation {
    const inFlight = this.#pending === null ? [] : [this.#pending];
    const allowed = this.#allowed?.() ?? [this.#model, ...inFlight];
    return {
      allowed,
      promised: this.#promised,
      preparing: this.#preparing,
      repositories: [...this.#repositories],
    };
  }

  async register(name: string): Promise<void> {
    if (!this.#repositories.includes(name)) this.#repositories.push(name);
    await this.wait(this.machine.engine.catalog.add({
      name: parseRepositoryName(name),
      path: `/${name}`,
      adopt: false,
    }));
  }

  /** Somebody else put this there, durably. */
  assume(change: (model: Model) => Model): void {
    this.#model = change(this.#model);
  }

  /** One commit that must succeed; `committing` (a stalled repository) counts as promised. */
  async commit(...steps: readonly Step[]): Promise<string> {
    const whole = withLayers(this.#model, steps);
    this.#pending = applyAll(this.#model, whole);
    const operations = whole.map((step) => step.operation);
    const document = await this.wait(
      this.machine.engine.manager.begin({ ...BEGIN, operations, commit: true }),
    );
    this.#settle();
    return document.state;
  }

  /** Commits of several clients at once, each on layers of its own; any of them may be first. */
  async commitTogether(clients: readonly (readonly Step[])[]): Promise<void> {
    const all = clients.map((steps) => withLayers(this.#model, steps));
    const answered = new Set<number>();
    this.#allowed = () => subsetsWith(this.#model, all, answered);
    await Promise.all(all.map(async (steps, index) => {
      const operations = steps.map((step) => step.operation);
      await this.wait(
        this.machine.engine.manager.begin({ ...BEGIN, operations, commit: true }),
      );
      answered.add(index);
    }));
    this.#allowed = null;
    this.#model = applyAll(this.#model, all.flat());
  }

  /** A commit that must be refused with this code. */
  async refused(code: string, ...steps: readonly Step[]): Promise<void> {
    const operations = withLayers(this.#model, steps).map((step) => step.operation);
    const begun = this.machine.engine.manager.begin({ ...BEGIN, operations, commit: true });
    const outcome = await this.wait(begun.then(() => "committed", (error) => error.code));
    if (outcome !== code) throw new Error(`Expected ${code}, the commit ended ${outcome}`);
  }

  async unregister(name: string): Promise<void> {
    const { catalog } = this.machine.engine;
    await this.wait(catalog.remove(parseRepositoryName(name), { abandon: false }));
  }

  /** A durable commit of native git that nothing points at. */
  async nativeCommit(text: string): Promise<string> {
    const { fileSystem } = this.machine;
    const commit = writeNativeCommit(fileSystem, "/app", { file: "readme", text, parent: null });
    await this.wait(fileSystem.syncFileSystem("/app"));
    return commit;
  }

  async prepare(...wanted: readonly Step[]): Promise<TransactionId> {
    const { manager } = this.machine.engine;
    const steps = withLayers(this.#model, wanted);
    const operations = steps.map((step) => step.operation);
    const document = await this.wait(manager.begin({ ...BEGIN, operations }));
    const id = parseTransactionId(document.id);
    this.#preparing = true;
    await this.wait(manager.prepare(id));
    this.#preparing = false;
    this.#promised = [...this.#promised, { id, steps, asked: "nothing" }];
    return id;
  }

  async commitPrepared(id: TransactionId): Promise<void> {
    const promise = this.#ask(id, "commit");
    this.#pending = applyAll(this.#model, promise.steps);
    await this.wait(this.machine.engine.manager.commit(id));
    this.#forget(id);
    this.#settle();
  }

  async rollbackPrepared(id: TransactionId): Promise<void> {
    this.#ask(id, "rollback");
    await this.wait(this.machine.engine.manager.rollback(id));
    this.#forget(id);
  }

  wait<T>(promise: Promise<T>): Promise<T> {
    return this.machine.clock.until(promise);
  }

  #ask(id: TransactionId, asked: "commit" | "rollback"): Promised {
    const promise = this.#promised.find((one) => one.id === id);
    if (promise === undefined) throw new Error(`Transaction ${id} is not prepared`);
    this.#promised = this.#promised.map((one) => one.id === id ? { ...one, asked } : one);
    return promise;
  }

  #forget(id: TransactionId): void {
    this.#promised = this.#promised.filter((one) => one.id !== id);
  }

  #settle(): void {
    if (this.#pending !== null) this.#model = this.#pending;
    this.#pending = null;
  }
}

/** The state after any of the commits, but always after those that were answered. */
function subsetsWith(
  model: Model,
  commits: readonly (readonly Step[])[],
  answered: ReadonlySet<number>,
): Model[] {
  let states = [model];
  for (const [index, steps] of commits.entries()) {
    const after = states.map((state) => applyAll(state, steps));
    states = answered.has(index) ? after : [...states, ...after];
  }
  return states;
}

/** The steps, each layer created before the first file that is put into it. */
function withLayers(model: Model, steps: readonly Step[]): Step[] {
  let now = model;
  return steps.flatMap((step) => {
    const { operation } = step;
    const before = now;
    now = step.after(now);
    if (operation.op !== "put_file") return [step];
    const { repository, layer } = operation;
    const exists = before[`${repository} refs/layers/${layer}`] !== undefined;
    return exists ? [step] : [create(repository, layer), step];
  });
}

export function applyAll(model: Model, steps: readonly Step[]): Model {
  return steps.reduce((now, step) => step.after(now), model);
}

/** Whether a state is one of those allowed. */
export function isAllowed(state: Model, { allowed }: Expectation): boolean {
  return allowed.some((one) => canonical(one) === canonical(state));
}
