/**
 * Plays one cell of the kill matrix on real processes: brings the protocol to the moment, kills
 * and starts the victim again, lets everybody come to rest, and compares all sides.
 *
 * Messages are held by what stands between the daemon and its participants, records by strace
 * on the daemon's writes to its log.
 */
import { assertEquals } from "@std/assert";
import { create, put, transactionIn } from "../harness/api.ts";
import { assertFsckClean } from "../harness/repositories.ts";
import { ConnectionLost, type Reply } from "../harness/socket_client.ts";
import type { Scene } from "../harness/scene.ts";
import { ScriptedService } from "../participants/scripted_service.ts";
import type { PostgresServer } from "../participants/postgres.ts";
import { Strace } from "../crash/strace.ts";
import type { HeldMessage } from "./held_message.ts";
import {
  type Cell,
  type Decision,
  type Moment,
  type Side,
  titleOf,
  type Verb,
} from "./matrix_cells.ts";
import { PostgresWire } from "./postgres_wire.ts";
import { ServiceWire } from "./service_wire.ts";
import { settled, Stand } from "./stand.ts";

const STATEMENTS: Readonly<Record<Verb, string>> = {
  prepare: "PREPARE TRANSACTION",
  commit: "COMMIT PREPARED",
  abort: "ROLLBACK PREPARED",
};
const REST_MS_MAX = 30_000;
const REACH_MS_MAX = 15_000;

/** What a client was told, where it was told anything. */
type Told = Decision | null;

/** What keeps the protocol at a moment. */
interface Stop {
  readonly reached: Promise<void>;
  /** Lets go of what is held. */
  release(): Promise<void>;
  /** What is held belongs to somebody dead. */
  drop(): Promise<void>;
}

export class MatrixStage {
  readonly #scene: Scene;
  readonly #stand: Stand;
  readonly #wires: { readonly pg: PostgresWire; readonly flags: ServiceWire };
  readonly #veto: ScriptedService;
  readonly #closed: PromiseWithResolvers<void> = Promise.withResolvers();
  #played = 0;

  private constructor(
    scene: Scene,
    stand: Stand,
    wires: { readonly pg: PostgresWire; readonly flags: ServiceWire },
    veto: ScriptedService,
  ) {
    this.#scene = scene;
    this.#stand = stand;
    this.#wires = wires;
    this.#veto = veto;
  }

  static async make(scene: Scene, postgres: PostgresServer): Promise<MatrixStage> {
    const veto = new ScriptedService();
    const directory = scene.path("wire");
    const pg = PostgresWire.listen(directory, postgres.socketPath);
    const services: ServiceWire[] = [];
    const stand = await Stand.make(scene, postgres, {
      postgres: directory,
      service: (port) => {
        const wire = new ServiceWire(port);
        services.push(wire);
        return wire.baseUrl;
      },
      also: [veto.host],
    });
    const [flags] = services;
    if (flags === undefined) throw new Error("The stand asked for no way to the service");
    const address = { base_url: `http://${veto.host}`, timeout_ms: 10_000 };
    await stand.register({ name: "veto", kind: "http", ...address });
    const [first] = stand.repositories;
    await scene.api.apply([create(first?.name ?? "", "other")]);
    return new MatrixStage(scene, stand, { pg, flags }, veto);
  }

  async close(): Promise<void> {
    this.#closed.resolve();
    await this.#scene.daemon.kill();
    this.#wires.pg.close();
    this.#wires.flags.close();
    await this.#stand.close();
    await this.#veto[Symbol.asyncDispose]();
  }

  async assertClean(): Promise<void> {
    await this.#stand.assertQuiet();
    for (const { path } of this.#stand.repositories) await assertFsckClean(path);
  }

  async play(cell: Cell): Promise<void> {
    const id = `c${++this.#played}`;
    try {
      await this.#play(cell, id);
    } catch (error) {
      throw new Error(`${titleOf(cell)}: ${error}`, { cause: error });
    }
  }

  async #play(cell: Cell, change: string): Promise<void> {
    const { api } = this.#scene;
    // What a start writes to the log by itself is behind us.
    await this.#scene.daemon.client.request("POST", "/v1/wal/checkpoint");
    const { id } = await api.begin();
    const veto = cell.course === "refused"
      ? [{ op: "http", participant: "veto", payload: {} }]
      : [];
    await api.stage(id, ...this.#stand.change(change, veto));
    this.#armVeto();
    const calls = this.#calls(cell, id);
    let told: Told = null;
    for (const { phase, call } of calls) {
      const said = phase === cell.phase ? await this.#struck(cell, call) : await tolerant(call);
      if (phase !== "after") told = said ?? told;
    }
    told = await this.#finish(cell, id) ?? told;
    await this.#verify(cell, { id, change, told });
  }

  /** The client's part, phase by phase. */
  #calls({ course }: Cell, id: string): { phase: Cell["phase"]; call: () => Promise<Reply> }[] {
    const verb = (name: string) => () => this.#scene.api.tryVerb(id, name);
    const after = {
      phase: "after" as const,
      call: () => this.#scene.api.tryApply([this.#other()]),
    };
    switch (course) {
      case "committed":
      case "refused":
        return [{ phase: "ask", call: verb("commit") }, after];
      case "kept":
        return [
          { phase: "ask", call: verb("prepare") },
          { phase: "end", call: verb("commit") },
          after,
        ];
      case "taken_back":
        return [
          { phase: "ask", call: verb("prepare") },
          { phase: "end", call: verb("rollback") },
          after,
        ];
    }
  }

  /** A transaction of its own, whose commit record takes waiting ends along. */
  #other() {
    const [first] = this.#stand.repositories;
    return put(first?.name ?? "", "other", "n", `${this.#played}`);
  }

  /** Runs the call into the moment, kills, starts again; what the client was told. */
  async #struck(cell: Cell, call: () => Promise<Reply>): Promise<Told> {
    if (cell.phase === "after") await settled(this.#stand);
    const otherVote = this.#otherVote(cell);
    const stop = await this.#stop(cell.moment);
    const running = tolerant(call);
    await within(REACH_MS_MAX, stop.reached, running);
    await otherVote;
    const { victim } = cell;
    if (victim === "daemon") {
      const dead = this.#scene.daemon.kill();
      // A process that is held ends only when it is let go of.
      if (!cell.late) await stop.drop();
      await dead;
      await this.#stand.restartDaemon();
      if (cell.late) await stop.release();
    } else {
      const process = victim === "pg" ? this.#stand.postgres : this.#stand.service;
      await process.kill();
      // What is held meets nobody, or has been answered already.
      if (cell.moment.kind === "message") await stop.release();
      await process.start();
      if (cell.moment.kind === "record") await stop.release();
    }
    return await running;
  }

  /** The veto waits until both others have voted. */
  #armVeto(): void {
    const both = Promise.all([this.#voted("pg"), this.#voted("flags")]);
    this.#veto.answer = async ({ verb }) => {
      if (verb === "prepare") await Promise.race([both, this.#closed.promise]);
      return Response.json({ vote: "abort", reason: "a veto" });
    };
  }

  /** Where a vote is struck, the other side's vote is in. */
  #otherVote({ moment }: Cell): Promise<void> {
    if (moment.kind !== "message" || moment.verb !== "prepare") return Promise.resolve();
    return this.#voted(moment.side === "pg" ? "flags" : "pg");
  }

  #voted(side: Side): Promise<void> {
    return this.#wires[side].holds.passed(subjectOf(side, "prepare"));
  }

  async #stop(moment: Moment): Promise<Stop> {
    if (moment.kind === "message") {
      const { side, verb, point } = moment;
      return stopOf(this.#wires[side].holds.arm(subjectOf(side, verb), point));
    }
    const directory = `${this.#scene.home.stateDirectory}/log`;
    const paths = [...Deno.readDirSync(directory)].map(({ name }) => `${directory}/${name}`);
    const fault = moment.point === "before" ? "HOLD_BEFORE" : "HOLD_AFTER";
    const { pid } = this.#scene.daemon;
    const strace = await Strace.attach(pid, { call: "write", at: moment.write, fault, paths });
    const detach = async () => {
      await strace.detach();
    };
    return { reached: strace.begun("write", moment.write), release: detach, drop: detach };
  }

  /** Until the transaction is at its end: a promise is asked for its ending again. */
  async #finish({ course }: Cell, id: string): Promise<Told> {
    const { client } = this.#scene.daemon;
    const until = performance.now() + REST_MS_MAX;
    while (true) {
      const reply = await client.request("GET", `/v1/transactions/${id}`);
      if (reply.status === 404) return null;
      const { state } = transactionIn(reply, 200);
      if (state === "committed" || state === "rolled_back") return state;
      if (performance.now() > until) throw new Error(`${id} stays ${state}`);
      if (state === "prepared") {
        await this.#scene.api.tryVerb(id, course === "taken_back" ? "rollback" : "commit");
      } else {
        await client.request("GET", `/v1/transactions/${id}?wait_for=terminal&timeout_ms=2000`);
      }
    }
  }

  async #verify(
    cell: Cell,
    { id, change, told }: { readonly id: string; readonly change: string; readonly told: Told },
  ): Promise<void> {
    await settled(this.#stand);
    const sides = await this.#stand.sides(change);
    const [first = false] = sides;
    assertEquals(sides, [first, first, first, first], "All sides agree");
    const decision: Decision = first ? "committed" : "rolled_back";
    if (cell.expected !== null) assertEquals(decision, cell.expected);
    if (told === "committed" || told === "rolled_back") assertEquals(decision, told, "As told");
    const reply = await this.#scene.daemon.client.request("GET", `/v1/transactions/${id}`);
    const known = reply.status === 404 ? "rolled_back" : transactionIn(reply, 200).state;
    assertEquals(known, decision, "As the daemon has it");
    await this.#stand.assertQuiet();
  }
}

function subjectOf(side: Side, verb: Verb): string {
  return side === "pg" ? STATEMENTS[verb] : verb;
}

function stopOf(held: HeldMessage): Stop {
  const release = () => Promise.resolve(held.release());
  return { reached: held.reached, release, drop: () => Promise.resolve(held.drop()) };
}

/** A call that may lose its daemon; what it was told of the transaction. */
async function tolerant(call: () => Promise<Reply>): Promise<Told> {
  try {
    return toldBy(await call());
  } catch (error) {
    if (error instanceof ConnectionLost) return null;
    throw error;
  }
}

/** Of a problem only what ended the transaction says anything. */
function toldBy(reply: Reply): Told {
  const { transaction } = reply.json as { transaction?: { state: string } };
  const state = transaction?.state;
  return state === "committed" || state === "rolled_back" ? state : null;
}

/** An abort is told after the client was answered, so only time says that a moment is missed. */
async function within(ms: number, reached: Promise<void>, running: Promise<Told>): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(async () => {
    reject(new Error(`The moment did not come; the client was told ${await running}`));
  }, ms);
  try {
    await Promise.race([reached, late]);
  } finally {
    clearTimeout(timer);
  }
}
