/**
 * What two-phase commit costs: the same change of one file alone, in three repositories (which
 * share one log, so no second phase), beside a row in PostgreSQL, beside a flag of an HTTP
 * service, and beside both. Every side syncs: PostgreSQL with fsync on, the service
 * (examples/participant.py) its journal. Each client has a layer, a row and a flag of its own,
 * and what it wrote last is looked for on every side afterwards.
 */
import { join } from "@std/path";
import type { OperationBody } from "../../src/client/client.ts";
import { PostgresServer } from "../../tests/participants/postgres.ts";
import { ServiceProcess } from "../../tests/participants/service.ts";
import { type Context, newRepository } from "../bench_kit/context.ts";
import { BenchDaemon } from "../bench_kit/daemon.ts";
import { type Figures, measure, medianOf } from "../bench_kit/figures.ts";
import type { Section } from "../bench_kit/report.ts";

const ALONE = "one repository alone";
const CLIENTS = [1, 16] as const;
const CLIENTS_MAX = 16;
const REPOSITORIES = ["one", "two", "three"] as const;

/** What a client changes to `value`; `lane` is what is its own. */
type Change = (lane: string, value: string) => OperationBody[];

const file = (repository: string, lane: string, content: string): OperationBody => ({
  op: "put_file",
  repository,
  layer: lane,
  path: "value",
  content,
});
const row = (lane: string, value: string): OperationBody => ({
  op: "sql",
  participant: "pg",
  statements: [{ text: "UPDATE models SET version = $1 WHERE id = $2", params: [value, lane] }],
});
const flag = (lane: string, value: string): OperationBody => ({
  op: "http",
  participant: "flags",
  payload: { set: { [lane]: value } },
});

const SIDES: readonly (readonly [name: string, change: Change])[] = [
  [ALONE, (lane, value) => [file("one", lane, value)]],
  ["three repositories", (lane, value) => REPOSITORIES.map((name) => file(name, lane, value))],
  ["one and PostgreSQL", (lane, value) => [file("one", lane, value), row(lane, value)]],
  ["one and a service", (lane, value) => [file("one", lane, value), flag(lane, value)]],
  ["one, PostgreSQL and a service", (lane, value) => [
    file("one", lane, value),
    row(lane, value),
    flag(lane, value),
  ]],
];

class Stand {
  #value = 0;
  readonly #last = new Map<string, string>();

  private constructor(
    readonly daemon: BenchDaemon,
    readonly postgres: PostgresServer,
    readonly service: ServiceProcess,
  ) {}

  static async start(context: Context): Promise<Stand> {
    const repositories: Record<string, string> = {};
    for (const name of REPOSITORIES) repositories[name] = await newRepository(context, name);
    const postgres = await PostgresServer.make();
    const service = await ServiceProcess.start("py", join(context.directory, "flags.journal"));
    const daemon = await BenchDaemon.start(context, repositories, [
      new URL(service.baseUrl).host,
      `unix:${postgres.socketPath}`,
    ]);
    const stand = new Stand(daemon, postgres, service);
    try {
      await stand.#fill();
      return stand;
    } catch (error) {
      await stand.close();
      throw error;
    }
  }

  async #fill(): Promise<void> {
    const { client } = this.daemon;
    // The tests' servers sync nothing.
    await this.postgres.stop();
    await this.postgres.start("fsync=on");
    await this.postgres.psql(
      "CREATE TABLE models (id text PRIMARY KEY, version text NOT NULL);" +
        `INSERT INTO models SELECT 'c' || n, '' FROM generate_series(1, ${CLIENTS_MAX}) AS n`,
    );
    await client.participants.add({ name: "pg", kind: "postgres", url: this.postgres.url() });
    const base_url = this.service.baseUrl;
    await client.participants.add({ name: "flags", kind: "http", base_url });
    for (const repository of REPOSITORIES) {
      const operations = lanes(CLIENTS_MAX).map((layer) =>
        ({ op: "create_layer", repository, layer }) as const
      );
      await client.begin({ commit: true, operations });
    }
  }

  async measure(change: Change, clients: number, seconds: number): Promise<Figures> {
    return await measure(
      seconds,
      ...lanes(clients).map((lane) => async () => {
        const value = String(++this.#value);
        const { state } = await this.daemon.client.begin({
          commit: true,
          operations: change(lane, value),
        });
        if (state !== "committed") throw new Error(`A commit answered ${state}`);
        for (const operation of change(lane, value)) {
          const side = "participant" in operation ? operation.participant : operation.repository;
          this.#last.set(`${side} ${lane}`, value);
        }
      }),
    );
  }

  /** All sides hold what was committed last. */
  async check(): Promise<void> {
    const rows = (await this.postgres.psql("SELECT id, version FROM models")).split("\n")
      .map((line) => line.split("|") as [string, string]);
    const seen = new Map<string, unknown>([
      ...rows.map(([lane, value]) => [`pg ${lane}`, value] as const),
      ...Object.entries(await this.service.flags())
        .map(([lane, value]) => [`flags ${lane}`, value] as const),
    ]);
    for (const [place, value] of this.#last) {
      const [side = "", lane = ""] = place.split(" ");
      const found = seen.get(place) ?? (await this.daemon.client.file(side, lane, "value")).content;
      if (found !== value) throw new Error(`${place} holds ${found}, not ${value}`);
    }
    if ((await this.daemon.client.inDoubt.list()).length > 0) throw new Error("Some are in doubt");
  }

  async close(): Promise<void> {
    await this.daemon.stop();
    await this.service.kill();
    await this.postgres.remove();
  }
}

export async function twoPhase(context: Context): Promise<Section[]> {
  const stand = await Stand.start(context);
  try {
    const rounds = new Map<string, Figures[]>();
    for (let round = 0; round < context.rounds; round++) {
      for (const clients of CLIENTS) {
        for (const [name, change] of SIDES) {
          context.tell(`two-phase, round ${round + 1}, ${clients} clients: ${name}`);
          const figures = await stand.measure(change, clients, context.seconds);
          const key = `${name}, ${clients}`;
          rounds.set(key, [...rounds.get(key) ?? [], figures]);
        }
      }
    }
    await stand.check();
    return [section(new Map([...rounds].map(([key, figures]) => [key, medianOf(figures)])))];
  } finally {
    await stand.close();
  }
}

function section(medians: ReadonlyMap<string, Figures>): Section {
  const of = (name: string, clients: number) => medians.get(`${name}, ${clients}`);
  return {
    title: "Two-phase commit",
    note: "One-shot commits, each client on a layer, a row and a flag of its own. Three " +
      "repositories share one log and need no second phase; a participant outside costs one " +
      "forced record more, its prepare and its commit.",
    columns: CLIENTS.flatMap((clients) => {
      const who = clients === 1 ? "1 client" : `${clients} clients`;
      return [`${who}: commits/s`, "p50 ms", "p99 ms", "times alone"];
    }),
    rows: SIDES.map(([name]) => ({
      name,
      values: CLIENTS.flatMap((clients) => {
        const one = of(name, clients);
        const alone = of(ALONE, clients)?.p50Ms ?? NaN;
        return one ? [one.perSecond, one.p50Ms, one.p99Ms, one.p50Ms / alone] : [null];
      }),
    })),
    goals: [],
  };
}

function lanes(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `c${index + 1}`);
}
