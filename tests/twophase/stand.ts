/**
 * A daemon with a PostgreSQL and a service as its participants, and repositories: each a
 * process of its own that a test can kill.
 */
import { assertEquals } from "@std/assert";
import { type Body, bodyOf, create, put } from "../harness/api.ts";
import { assertNothingLeftBehind } from "../harness/repositories.ts";
import type { Registered, Scene } from "../harness/scene.ts";
import type { PostgresServer } from "../participants/postgres.ts";
import { ServiceProcess } from "../participants/service.ts";

export const LAYER = "team/base";
/** Another, for a second transaction beside one that holds the first. */
export const BESIDE = "team/beside";
const REST_MS_MAX = 60_000;

export class Stand {
  private constructor(
    readonly scene: Scene,
    readonly postgres: PostgresServer,
    readonly service: ServiceProcess,
    readonly repositories: readonly Registered[],
    readonly allowed: readonly string[],
    private readonly serviceUrl: string,
  ) {}

  /**
   * `postgres` is the file's, empty, and is so again after close().
   * `ways`: how the daemon finds the participants, if not directly.
   */
  static async make(
    scene: Scene,
    postgres: PostgresServer,
    ways: {
      /** URL of the service that listens on this port. */
      readonly service?: (port: number) => string;
      /** Directory of PostgreSQL's socket. */
      readonly postgres?: string;
      /** Further places that the daemon may reach. */
      readonly also?: readonly string[];
    } = {},
  ): Promise<Stand> {
    const service = await ServiceProcess.start("py", scene.path("journal"));
    try {
      const baseUrl = ways.service?.(service.port) ?? service.baseUrl;
      const socketDirectory = ways.postgres ?? postgres.directory;
      const places = [new URL(baseUrl).host, `unix:${socketDirectory}/.s.PGSQL.5432`];
      const allowed = [...places, ...ways.also ?? []];
      await postgres.psql("CREATE TABLE models (id text PRIMARY KEY, version int NOT NULL)");
      await scene.start({ allow: allowing(allowed) });
      const repositories = [await scene.repository(), await scene.repository()];
      const stand = new Stand(scene, postgres, service, repositories, allowed, baseUrl);
      await stand.register({ name: "pg", kind: "postgres", url: postgres.url(socketDirectory) });
      await stand.registerService();
      for (const { name } of repositories) {
        await scene.api.apply([create(name, LAYER), create(name, BESIDE)]);
      }
      return stand;
    } catch (error) {
      await service.kill();
      await postgres.clear();
      throw error;
    }
  }

  async register(body: Body): Promise<void> {
    const reply = await this.scene.daemon.client.request("POST", "/v1/participants", body);
    bodyOf(reply, 201);
  }

  async registerService(timeoutMs = 10_000): Promise<void> {
    const address = { base_url: this.serviceUrl, timeout_ms: timeoutMs };
    await this.register({ name: "flags", kind: "http", ...address });
  }

  async restartDaemon(): Promise<void> {
    await this.scene.start({ allow: allowing(this.allowed) });
  }

  /** A change of one value on every side. */
  change(id: string, extra: readonly Body[] = [], layer = LAYER): readonly Body[] {
    return [
      ...this.repositories.map(({ name }) => put(name, layer, id, id)),
      {
        op: "sql",
        participant: "pg",
        statements: [{ text: "INSERT INTO models VALUES ($1, $2)", params: [id, 1] }],
      },
      { op: "http", participant: "flags", payload: { set: { [id]: "on" } } },
      ...extra,
    ];
  }

  /** Begins, stages a change and prepares it; the transaction's id. */
  async promise(id: string, layer = LAYER): Promise<string> {
    const { api } = this.scene;
    const transaction = (await api.begin()).id;
    await api.stage(transaction, ...this.change(id, [], layer));
    await api.prepare(transaction);
    return transaction;
  }

  /** On how many of the four sides the change is. */
  async sides(id: string, layer = LAYER): Promise<boolean[]> {
    const git = await Promise.all(
      this.repositories.map(async ({ name }) => await this.scene.api.read(name, layer, id) === id),
    );
    const sql = await this.postgres.psql(`SELECT count(*) FROM models WHERE id = '${id}'`) === "1";
    return [...git, sql, (await this.service.flags())[id] === "on"];
  }

  async inDoubt(): Promise<readonly { transaction_id: string; participant: string }[]> {
    return (await this.scene.api.get<
      { in_doubt: readonly { transaction_id: string; participant: string }[] }
    >("/v1/in-doubt")).in_doubt;
  }

  /** Nobody holds anything any more. */
  async assertQuiet(): Promise<void> {
    assertEquals(await this.inDoubt(), []);
    assertEquals(await this.postgres.psql("SELECT gid FROM pg_prepared_xacts"), "");
    assertEquals(await this.service.prepared(), []);
    assertEquals(await this.scene.api.locks(), { locks: [], waits_for: [] });
    for (const { commonDirectory } of this.repositories) {
      await assertNothingLeftBehind(commonDirectory);
    }
  }

  async close(): Promise<void> {
    await this.service.kill();
    await this.postgres.clear();
  }
}

/** Arguments of `serve` that allow these places. */
export function allowing(places: readonly string[]): string[] {
  return places.flatMap((place) => ["--allow-participant", place]);
}

/** Resolves once every participant has acknowledged. */
export async function settled(stand: Stand): Promise<void> {
  const until = performance.now() + REST_MS_MAX;
  for (let doubt = await stand.inDoubt(); doubt.length > 0; doubt = await stand.inDoubt()) {
    if (performance.now() > until) throw new Error(`In doubt: ${JSON.stringify(doubt)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
