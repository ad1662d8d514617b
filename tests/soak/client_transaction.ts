/**
 * One transaction of a client under load: reads counters inside it, stages three
 * operations, then commits, rolls back or vanishes.
 *
 * T1. Each touched layer's `counter` grows by one; a lost update shows as a low counter.
 * T2. The first touched layer may get a line in `list`, in the order of the commits.
 * T3. Vanishing closes the connection or ends the process at a random step; the short lease
 *     that such a transaction began with must then free its locks.
 */
import { type Api, type Body, bodyOf, put } from "../harness/api.ts";
import type { SeededRandom } from "../harness/random.ts";
import { ConnectionLost, type Reply } from "../harness/socket_client.ts";
import type { LoadedLayer, Outcome, Touched } from "./worker_messages.ts";

/** How a transaction ended, for the report. */
export interface Ended {
  readonly id: string;
  readonly outcome: Outcome;
  readonly touched: readonly Touched[];
  readonly vanished: boolean;
  readonly code: string | null;
}

interface Plan {
  readonly isolation: "locking" | "optimistic";
  readonly touched: readonly Touched[];
  readonly declaresLocks: boolean;
  readonly prepares: boolean;
  readonly ending: "commit" | "rollback" | "drop_connection" | "end_process";
}

/** A problem that a client under load meets and repeats after; the transaction has ended. */
const EXPECTED_CODES = new Set(["write_conflict", "deadlock", "lock_timeout", "lease_expired"]);
const REPOSITORY_LOCKED_RETRIES_MAX = 50;
const LEASE_MS_VANISHING = 400;

/** Chooses what to do. A process that may not vanish drops its connection instead. */
function planFor(random: SeededRandom, layers: readonly LoadedLayer[], mayEnd: boolean): Plan {
  const count = random.pick([1, 2, 3]);
  const touched = random.sample(layers, count).map(([repository, layer], index) => ({
    repository,
    layer,
    listed: index === 0 && count < 3,
  }));
  const draw = random.uniform();
  const ending = draw < 0.02
    ? (mayEnd ? "end_process" : "drop_connection")
    : draw < 0.04
    ? "drop_connection"
    : draw < 0.12
    ? "rollback"
    : "commit";
  return {
    isolation: random.chance(0.5) ? "locking" : "optimistic",
    touched,
    declaresLocks: random.chance(0.6),
    prepares: ending === "commit" && random.chance(0.2),
    ending,
  };
}

export class ClientTransaction {
  readonly #api: Api;
  readonly #random: SeededRandom;
  readonly #plan: Plan;
  readonly #name: string;
  /** Set by the answer to begin. */
  #id: string | null = null;
  #committing = false;

  constructor(
    api: Api,
    random: SeededRandom,
    layers: readonly LoadedLayer[],
    options: { readonly name: string; readonly mayEndProcess: boolean },
  ) {
    this.#api = api;
    this.#random = random;
    this.#plan = planFor(random, layers, options.mayEndProcess);
    this.#name = options.name;
  }

  /** Whether it wants its process to end where run() answers `vanished`. */
  get endsProcess(): boolean {
    return this.#plan.ending === "end_process";
  }

  /**
   * Runs to its end. Null where nothing was begun (conflict or lost connection before an id
   * was known). Rejects on an answer that the contract does not allow.
   */
  async run(): Promise<Ended | null> {
    try {
      return await this.#steps();
    } catch (error) {
      if (!isLost(error)) throw error;
      if (this.#id === null) return null;
      return this.#ended(this.#committing ? "unknown" : "rolled_back", { vanished: true });
    }
  }

  async #steps(): Promise<Ended | null> {
    const begun = await this.#api.tryBegin(this.#beginBody());
    if (begun.status !== 201) {
      expectedProblem(begun);
      return null;
    }
    const id = bodyOf<{ transaction: { id: string } }>(begun, 201).transaction.id;
    this.#id = id;
    const vanishAt = this.#vanishes ? this.#random.integer(0, 3) : null;
    if (vanishAt === 0) return this.#vanish();
    const operations = await this.#operations(id);
    if (typeof operations === "string") return await this.#giveUp(id, operations);
    if (vanishAt === 1) return this.#vanish();
    const refused = await this.#stage(id, operations);
    if (refused !== null) return await this.#giveUp(id, refused);
    if (vanishAt === 2) return this.#vanish();
    if (this.#plan.ending === "rollback") {
      const reply = await this.#api.tryVerb(id, "rollback");
      const code = reply.status === 200 ? "asked" : expectedProblem(reply);
      return this.#ended("rolled_back", { code });
    }
    if (vanishAt === 3) return await this.#vanishUnderCommit(id);
    return await this.#finish(id);
  }

  get #vanishes(): boolean {
    return this.#plan.ending === "drop_connection" || this.#plan.ending === "end_process";
  }

  #beginBody(): Body {
    const { isolation, touched, declaresLocks } = this.#plan;
    const locks = declaresLocks && isolation === "locking"
      ? touched.map(({ repository, layer }) => ({ repository, layer, mode: "exclusive" }))
      : [];
    return {
      message: this.#name,
      isolation,
      locks,
      lock_timeout_ms: 10_000,
      lease_ms: this.#vanishes ? LEASE_MS_VANISHING : 60_000,
    };
  }

  /** Three operations with what the transaction reads, or the code that refused a read. */
  async #operations(id: string): Promise<Body[] | string> {
    const operations: Body[] = [];
    for (const { repository, layer, listed } of this.#plan.touched) {
      const counter = await this.#read(id, repository, layer, "counter");
      if ("code" in counter) return counter.code;
      operations.push(put(repository, layer, "counter", String(Number(counter.content) + 1)));
      if (!listed) continue;
      const list = await this.#read(id, repository, layer, "list");
      if ("code" in list) return list.code;
      operations.push(put(repository, layer, "list", `${list.content}${id}\n`));
    }
    const [first] = this.#plan.touched;
    if (operations.length < 3 && first !== undefined) {
      const path = `notes/${this.#random.integer(0, 20)}/${this.#random.integer(0, 20)}`;
      operations.push(put(first.repository, first.layer, path, this.#name));
    }
    return operations;
  }

  async #read(
    id: string,
    repository: string,
    layer: string,
    path: string,
  ): Promise<{ readonly content: string } | { readonly code: string }> {
    const reply = await this.#api.tryFile(repository, layer, path, { transaction: id });
    if (reply.status !== 200) return { code: expectedProblem(reply) };
    return { content: bodyOf<{ content: string }>(reply).content };
  }

  /** Stages all at once or one by one; the code of a refusal, or null. */
  async #stage(id: string, operations: readonly Body[]): Promise<string | null> {
    const calls = this.#random.chance(0.5) ? [operations] : operations.map((one) => [one]);
    for (const call of calls) {
      const reply = await this.#api.tryStage(id, call);
      if (reply.status !== 200) return expectedProblem(reply);
    }
    return null;
  }

  async #finish(id: string): Promise<Ended> {
    if (this.#plan.prepares) {
      this.#committing = true;
      const reply = await this.#repeated(id, "prepare");
      if (reply.status !== 200) return await this.#giveUp(id, expectedProblem(reply));
    }
    this.#committing = true;
    const reply = await this.#repeated(id, "commit");
    if (reply.status === 200) return this.#ended("committed", {});
    if (reply.status === 202) {
      const state = (await this.#api.transaction(id, "?wait_for=terminal&timeout_ms=60000")).state;
      if (state !== "committed") throw new Error(`${id} was decided and ended ${state}`);
      return this.#ended("committed", { code: "stalled" });
    }
    return await this.#giveUp(id, expectedProblem(reply));
  }

  /** After a refusal the transaction may be open still, or have ended: ends it either way. */
  async #giveUp(id: string, code: string): Promise<Ended> {
    this.#committing = false;
    const reply = await this.#api.tryVerb(id, "rollback");
    if (reply.status !== 200) expectedProblem(reply);
    return this.#ended("rolled_back", { code });
  }

  /** A native lock in the way leaves the transaction open; then the call is repeated. */
  async #repeated(id: string, verb: "prepare" | "commit"): Promise<Reply> {
    for (let tries = 0; tries < REPOSITORY_LOCKED_RETRIES_MAX; tries++) {
      const reply = await this.#api.tryVerb(id, verb);
      if (reply.status !== 423) return reply;
      const code = codeOf(reply);
      if (code !== "repository_locked" && code !== "lock_timeout") return reply;
    }
    await this.#api.rollback(id);
    throw new Error(`${id} met a native lock ${REPOSITORY_LOCKED_RETRIES_MAX} times`);
  }

  #vanish(): Ended {
    return this.#ended("rolled_back", { vanished: true });
  }

  /** Sends the commit and leaves before the answer. */
  async #vanishUnderCommit(id: string): Promise<Ended> {
    this.#committing = true;
    await this.#api.client.sendAndLeave("POST", `/v1/transactions/${id}/commit`);
    return this.#ended("unknown", { vanished: true });
  }

  #ended(outcome: Outcome, rest: { vanished?: boolean; code?: string | null }): Ended {
    if (this.#id === null) throw new Error("Ended before it began");
    const { vanished = false, code = null } = rest;
    return { id: this.#id, outcome, touched: this.#plan.touched, vanished, code };
  }
}

/** Whether the daemon went away: the connection broke, or none could be made. */
export function isLost(error: unknown): boolean {
  return error instanceof ConnectionLost || error instanceof Deno.errors.ConnectionRefused ||
    error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.NotFound;
}

/** The code of a problem that may happen under load; anything else is an error. */
export function expectedProblem(reply: Reply): string {
  const code = codeOf(reply);
  if (!EXPECTED_CODES.has(code)) {
    throw new Error(`Unexpected answer ${reply.status}: ${reply.text.slice(0, 1_000)}`);
  }
  return code;
}

function codeOf(reply: Reply): string {
  return bodyOf<{ code?: string }>(reply, reply.status).code ?? "";
}
