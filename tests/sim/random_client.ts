/** A client of the random simulation: transactions of reads and appends, ended in every way. */
import { LayerdError } from "../../src/core/errors.ts";
import {
  parseFilePath,
  parseLayerName,
  parseObjectId,
  parseRefName,
  parseRepositoryName,
  parseTransactionId,
  type TransactionId,
} from "../../src/core/ids.ts";
import type { Operation } from "../../src/core/operations.ts";
import { FileSystemError } from "../../src/system/file_system.ts";
import { LogFailedError } from "../../src/wal/write_ahead_log.ts";
import { drop, put, type Step } from "./model.ts";
import { type ListPlace, LISTS, type RandomWorld, type Running } from "./random_world.ts";
import type { SimulatedMachine } from "./simulated_machine.ts";
import { BEGIN } from "./stage.ts";

const LOCK_TIMEOUT_MS = 300;

/** What a client can be told: a refusal, or that the machine failed. */
function requireExpected(error: unknown): void {
  const expected = error instanceof LayerdError || error instanceof FileSystemError ||
    error instanceof LogFailedError;
  if (!expected) throw error;
}

/** Whether an error leaves open if the commit happened. */
function isUnknown(error: unknown): boolean {
  return !(error instanceof LayerdError) || error.code === "io_error";
}

export class RandomClient {
  readonly #world: RandomWorld;
  readonly #machine: SimulatedMachine;
  readonly #name: string;

  constructor(world: RandomWorld, machine: SimulatedMachine, name: string) {
    this.#world = world;
    this.#machine = machine;
    this.#name = name;
  }

  async work(transactions: number): Promise<void> {
    const { random } = this.#world;
    for (let n = 0; n < transactions; n++) {
      await this.#live(this.#machine.clock.sleep(random.integer(0, 20)));
      if (random.chance(0.15)) await this.#once();
      else await this.#transaction();
    }
  }

  /** A client knows nothing of what its daemon did after the machine went down. */
  #live<T>(promise: Promise<T>): Promise<T> {
    const { clock } = this.#machine;
    return new Promise((resolve, reject) => {
      promise.then(
        (value) => clock.isHalted || resolve(value),
        (error) => clock.isHalted || reject(error),
      );
    });
  }

  async #transaction(): Promise<void> {
    const running = this.#world.begin(this.#name);
    const { manager } = this.#machine.engine;
    let open: TransactionId | null = null;
    try {
      const { isolation } = this.#world;
      const lockTimeoutMs = LOCK_TIMEOUT_MS;
      const begun = await this.#live(manager.begin({ ...BEGIN, isolation, lockTimeoutMs }));
      const id = open = parseTransactionId(begun.id);
      await this.#stage(running, id);
      await this.#end(running, id);
    } catch (error) {
      requireExpected(error);
      // Only its successor knows what a daemon with a failed log has committed.
      if (isUnknown(error) && running.outcome === "unknown") return;
      if (open !== null) await this.#live(manager.rollback(open)).catch(requireExpected);
      this.#world.end(running, "rolled_back");
    }
  }

  async #stage(running: Running, id: TransactionId): Promise<void> {
    const { random, mode } = this.#world;
    const { manager } = this.#machine.engine;
    const lists = random.sample(LISTS, random.integer(1, 3));
    for (const place of lists) {
      const list = await this.#read(running, id, place);
      const appends = random.pick([0, 1, 1, 2]);
      for (let n = 0; n < appends; n++) {
        const value = `${running.id}.${running.operations.length}`;
        list.push(value);
        const step = put(place.repository, place.layer, "list", list.join("\n"));
        await this.#live(manager.stage(id, [step.operation]));
        running.operations.push({ kind: "append", key: place.key, value });
      }
      if (random.chance(0.2)) await this.#read(running, id, place);
      if (mode === "verified" && appends === 0) await this.#verify(id, place);
    }
    if (running.operations.some((one) => one.kind === "append") && random.chance(0.4)) {
      await this.#touchOwn(running, id);
    }
  }

  async #read(running: Running, id: TransactionId, place: ListPlace): Promise<string[]> {
    const point = {
      repository: parseRepositoryName(place.repository),
      layer: parseLayerName(place.layer),
      transaction: id,
      at: null,
    };
    const file = await this.#live(this.#machine.engine.reader.file(point, parseFilePath("list")));
    const list = new TextDecoder().decode(file.bytes).split("\n").filter((line) => line !== "");
    running.operations.push({ kind: "read", key: place.key, list: [...list] });
    return list;
  }

  /** Makes an optimistic commit depend on a layer that it only read. */
  async #verify(id: TransactionId, place: ListPlace): Promise<void> {
    const { manager } = this.#machine.engine;
    const seen = manager.get(id).snapshot.find((one) =>
      one.repository === place.repository && one.layer === place.layer
    );
    if (seen === undefined) throw new Error(`${id} read ${place.key} and has no snapshot of it`);
    const { operation } = verify(place, seen.commit);
    await this.#live(manager.stage(id, [operation]));
  }

  /** Creates, changes or removes the layer that is this client's alone. */
  async #touchOwn(running: Running, id: TransactionId): Promise<void> {
    const { manager } = this.#machine.engine;
    const layer = `own/${this.#name}`;
    const exists = await this.#exists(layer);
    const steps: Step[] = [];
    if (exists && this.#world.random.chance(0.4)) {
      steps.push(drop("web", layer));
      running.own = null;
    } else {
      running.own = running.id;
      steps.push(put("web", layer, "by", running.id));
    }
    const create: Operation[] = exists ? [] : [{
      op: "create_layer",
      repository: parseRepositoryName("web"),
      layer: parseLayerName(layer),
      from: null,
    }];
    await this.#live(manager.stage(id, [...create, ...steps.map((step) => step.operation)]));
  }

  async #exists(layer: string): Promise<boolean> {
    const { reader } = this.#machine.engine;
    const { layers } = await this.#live(
      reader.layers(parseRepositoryName("web"), "own/", 100, null),
    );
    return layers.some((one) => one.name === layer);
  }

  async #end(running: Running, id: TransactionId): Promise<void> {
    const { manager } = this.#machine.engine;
    const { random } = this.#world;
    const way = random.pick(["commit", "commit", "commit", "rollback", "prepare"]);
    if (way === "rollback") {
      await this.#live(manager.rollback(id));
      this.#world.end(running, "rolled_back");
      return;
    }
    if (way === "prepare") {
      await this.#live(manager.prepare(id));
      running.promised = id;
      await this.#live(this.#machine.clock.sleep(random.integer(0, 30)));
      if (random.chance(0.3)) {
        await this.#live(manager.rollback(id));
        this.#world.end(running, "rolled_back");
        return;
      }
    }
    running.outcome = "unknown";
    const { state } = await this.#live(manager.commit(id));
    // Decided and not yet published (202): whoever begins now may not see it.
    if (state === "committing") this.#world.decided(running);
    else this.#world.end(running, "committed");
  }

  /** A one-shot commit with a key; where the answer is lost it is asked for again (`again`). */
  async #once(): Promise<void> {
    const message = `once ${this.#name}.${this.#world.next()}`;
    this.#world.once.set(message, "asked");
    await this.ask(message);
  }

  /** Asks with a key; each time with another content, so that a second commit would show. */
  async ask(message: string): Promise<void> {
    const text = `${message} ${this.#world.next()}`;
    const { operation } = put("app", "once", "last", text);
    try {
      await this.#live(this.#machine.engine.manager.begin({
        ...BEGIN,
        message,
        operations: [operation],
        commit: true,
        idempotency: { route: "POST /v1/transactions", key: message, requestHash: message },
      }));
      this.#world.once.set(message, "acknowledged");
    } catch (error) {
      requireExpected(error);
      if (!isUnknown(error)) this.#world.once.set(message, "refused");
    }
  }
}

function verify(place: ListPlace, commit: string | null): { readonly operation: Operation } {
  return {
    operation: {
      op: "verify",
      repository: parseRepositoryName(place.repository),
      ref: parseRefName(`refs/layers/${place.layer}`),
      commit: commit === null ? null : parseObjectId(commit),
    },
  };
}
