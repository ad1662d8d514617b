/**
 * The event store that several daemons share: a schema `layerd_sagas` in PostgreSQL.
 *
 * A daemon that opens it gets the next token and a lease by the server's clock, which renew()
 * prolongs. claim() takes the open sagas of tokens whose lease has lapsed, under one's own; an
 * append locks the saga's row and compares its owner, so that a daemon which was thought dead
 * and goes on is refused from its next event on, whatever its own clock says.
 */
import { LayerdError, messageOf } from "../core/errors.ts";
import { parseSagaId, type SagaId } from "../core/ids.ts";
import { SAGA_LEASE_MS } from "../core/limits.ts";
import type { SagaDefinition, VersionedDefinition } from "../core/saga_definition.ts";
import type { SagaEvent, SagaFact } from "../core/saga_event.ts";
import {
  type PostgresConnection,
  PostgresPool,
  type Row,
} from "../participants/postgres_connection.ts";
import { parsePostgresAddress, redacted } from "../participants/addresses.ts";
import type { Clock } from "../system/clock.ts";
import { SCHEMA } from "./postgres_saga_schema.ts";
import {
  claimed,
  conditionsOf,
  definitionOf,
  eventOf,
  factText,
  OPEN_STATES,
  requirePlace,
  requireSameRequest,
  versioned,
} from "./saga_rows.ts";
import {
  type ClaimedSaga,
  type SagaFilter,
  SagaMovedOn,
  type SagaStore,
  type SagaSummary,
  type StartedSaga,
} from "./saga_store.ts";

const CONNECTIONS_MAX = 8;
const QUERY_MS_MAX = 10_000;
/** Only one daemon makes or changes the schema, or a definition, at a time. */
const SCHEMA_LOCK = 7_402_531;
/** Connects, makes the schema where it is missing and takes a token. `io_error` where it cannot. */
export async function openPostgresSagaStore(url: string, clock: Clock): Promise<SagaStore> {
  const address = parsePostgresAddress(url);
  const pool = new PostgresPool(address, clock, CONNECTIONS_MAX);
  const store = new Queries(pool, redacted(address.url));
  try {
    const token = await store.inTransaction(async (connection) => {
      await connection.query("SELECT pg_advisory_xact_lock($1::bigint)", [String(SCHEMA_LOCK)]);
      await connection.run(SCHEMA);
      const [row] = await connection.query(TAKE_TOKEN);
      return Number(row?.["token"]);
    });
    return new PostgresSagaStore(store, pool, token);
  } catch (error) {
    pool.close();
    throw error;
  }
}

const LEASE_END = `now() + interval '${SAGA_LEASE_MS} milliseconds'`;
const TAKE_TOKEN =
  `INSERT INTO layerd_sagas.owners (alive_until) VALUES (${LEASE_END}) RETURNING token`;

/** Statements, one by one or in a transaction; what fails is an `io_error` without the password. */
class Queries {
  readonly #pool: PostgresPool;
  readonly #where: string;

  constructor(pool: PostgresPool, where: string) {
    this.#pool = pool;
    this.#where = where;
  }

  async query(text: string, params: readonly (string | null)[] = []): Promise<readonly Row[]> {
    return await this.#guarded((connection) => connection.query(text, params));
  }

  /** The work may throw to roll back; SagaMovedOn and LayerdError pass as they are. */
  async inTransaction<T>(work: (connection: PostgresConnection) => Promise<T>): Promise<T> {
    return await this.#guarded(async (connection) => {
      await connection.run("BEGIN");
      const result = await work(connection);
      await connection.run("COMMIT");
      return result;
    });
  }

  /** A connection on which anything failed is thrown away, and its transaction with it. */
  async #guarded<T>(work: (connection: PostgresConnection) => Promise<T>): Promise<T> {
    try {
      return await this.#pool.use(QUERY_MS_MAX, work);
    } catch (error) {
      if (error instanceof SagaMovedOn || error instanceof LayerdError) throw error;
      throw new LayerdError(
        "io_error",
        `Saga events at ${this.#where} cannot be reached: ${messageOf(error)}`,
        {},
        error,
      );
    }
  }
}

class PostgresSagaStore implements SagaStore {
  readonly leaseMs = SAGA_LEASE_MS;
  readonly #queries: Queries;
  readonly #pool: PostgresPool;
  #token: string;

  constructor(queries: Queries, pool: PostgresPool, token: number) {
    this.#queries = queries;
    this.#pool = pool;
    this.#token = String(token);
  }

  get fencingToken(): number {
    return Number(this.#token);
  }

  saveDefinition(name: string, definition: SagaDefinition): Promise<VersionedDefinition> {
    return this.#queries.inTransaction(async (connection) => {
      await connection.query("SELECT pg_advisory_xact_lock($1::bigint)", [String(SCHEMA_LOCK)]);
      const text = JSON.stringify(definition);
      const [newest] = await connection.query(NEWEST, [name]);
      if (newest?.["document"] === text) return definitionOf(name, newest);
      const version = Number(newest?.["version"] ?? 0) + 1;
      await connection.query(
        "INSERT INTO layerd_sagas.definitions VALUES ($1, $2::integer, $3)",
        [name, String(version), text],
      );
      return versioned(name, version, text);
    });
  }

  async definition(name: string, version: number | null): Promise<VersionedDefinition | null> {
    const [row] = version === null
      ? await this.#queries.query(NEWEST, [name])
      : await this.#queries.query(
        `SELECT version, document FROM layerd_sagas.definitions
         WHERE name = $1 AND version = $2::integer`,
        [name, String(version)],
      );
    return row ? definitionOf(name, row) : null;
  }

  async definitions(): Promise<VersionedDefinition[]> {
    const rows = await this.#queries.query(
      `SELECT DISTINCT ON (name) name, version, document FROM layerd_sagas.definitions
       ORDER BY name, version DESC`,
    );
    return rows.map((row) => definitionOf(String(row["name"]), row));
  }

  start(saga: StartedSaga): Promise<{ readonly id: SagaId; readonly repeated: boolean }> {
    const { id, at, fact, key } = saga;
    return this.#queries.inTransaction(async (connection) => {
      if (key !== null) {
        // Waits for another start under this key to end, so that what it left is seen.
        const made = await connection.query(
          `INSERT INTO layerd_sagas.keys VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING key`,
          [key.key, key.requestHash, id],
        );
        if (made.length === 0) return await knownSaga(connection, key);
      }
      const { definition, tenant_id } = fact.data;
      await connection.query(
        `INSERT INTO layerd_sagas.sagas
           (id, definition, tenant_id, state, created_at, sequence, owner)
         VALUES ($1, $2, $3, 'not_started', $4, 1, $5::bigint)`,
        [id, definition, tenant_id, at, this.#token],
      );
      await connection.query(ADD_EVENT, [id, "1", at, factText(fact)]);
      return { id, repeated: false };
    });
  }

  append(
    id: SagaId,
    event: { readonly sequence: number; readonly at: string; readonly fact: SagaFact },
    summary: SagaSummary,
  ): Promise<void> {
    return this.#queries.inTransaction(async (connection) => {
      const [place] = await connection.query(
        "SELECT sequence, owner FROM layerd_sagas.sagas WHERE id = $1 FOR UPDATE",
        [id],
      );
      requirePlace(id, place, { owner: this.fencingToken, sequence: event.sequence });
      await connection.query(ADD_EVENT, [
        id,
        String(event.sequence),
        event.at,
        factText(event.fact),
      ]);
      await connection.query(
        `UPDATE layerd_sagas.sagas SET sequence = $2::integer, state = $3, condition = $4
         WHERE id = $1`,
        [id, String(event.sequence), summary.state, summary.condition],
      );
    });
  }

  async events(id: SagaId): Promise<SagaEvent[]> {
    const rows = await this.#queries.query(
      "SELECT sequence, at, fact FROM layerd_sagas.events WHERE saga_id = $1 ORDER BY sequence",
      [id],
    );
    return rows.map((row) => eventOf(id, row));
  }

  async list(filter: SagaFilter, limit: number, before: SagaId | null): Promise<SagaId[]> {
    const { where, values } = conditionsOf(filter, before, placeholder);
    const rows = await this.#queries.query(
      `SELECT id FROM layerd_sagas.sagas WHERE ${where} ORDER BY id DESC
       LIMIT $${values.length + 1}::integer`,
      [...values, String(limit)],
    );
    return rows.map((row) => parseSagaId(String(row["id"])));
  }

  async count(filter: SagaFilter): Promise<number> {
    const { where, values } = conditionsOf(filter, null, placeholder);
    const sql = `SELECT count(*) AS n FROM layerd_sagas.sagas WHERE ${where}`;
    return Number((await this.#queries.query(sql, values))[0]?.["n"]);
  }

  async claim(): Promise<ClaimedSaga[]> {
    await this.#queries.query(
      `UPDATE layerd_sagas.sagas SET owner = $1::bigint
       WHERE state IN ${OPEN_STATES} AND owner <> $1::bigint AND NOT EXISTS (
         SELECT FROM layerd_sagas.owners
         WHERE token = sagas.owner AND alive_until > now()
       )`,
      [this.#token],
    );
    const rows = await this.#queries.query(
      `SELECT id, sequence FROM layerd_sagas.sagas
       WHERE owner = $1::bigint AND state IN ${OPEN_STATES}`,
      [this.#token],
    );
    return rows.map(claimed);
  }

  /**
   * A lease that has lapsed is not taken up again: whoever took the sagas over has shown a
   * higher token to their services, and the one of before would be refused there.
   */
  async renew(): Promise<void> {
    const alive = await this.#queries.query(
      `UPDATE layerd_sagas.owners SET alive_until = ${LEASE_END}
       WHERE token = $1::bigint AND alive_until > now() RETURNING token`,
      [this.#token],
    );
    if (alive.length > 0) return;
    const [row] = await this.#queries.query(TAKE_TOKEN);
    this.#token = String(row?.["token"]);
  }

  /** Gives its sagas up at once, so that nobody waits for the lease. */
  async close(): Promise<void> {
    try {
      await this.#queries.query(
        "UPDATE layerd_sagas.owners SET alive_until = now() WHERE token = $1::bigint",
        [this.#token],
      );
    } catch (error) {
      // The lease lapses by itself.
      if (!(error instanceof LayerdError)) throw error;
    } finally {
      this.#pool.close();
    }
  }
}

const placeholder = (place: number) => `$${place}`;

const NEWEST = `SELECT version, document FROM layerd_sagas.definitions
  WHERE name = $1 ORDER BY version DESC LIMIT 1`;
const ADD_EVENT = "INSERT INTO layerd_sagas.events VALUES ($1, $2::integer, $3, $4)";

async function knownSaga(
  connection: PostgresConnection,
  key: { readonly key: string; readonly requestHash: string },
): Promise<{ readonly id: SagaId; readonly repeated: boolean }> {
  const [known] = await connection.query(
    "SELECT request_hash, saga_id FROM layerd_sagas.keys WHERE key = $1",
    [key.key],
  );
  requireSameRequest(key, String(known?.["request_hash"]));
  return { id: parseSagaId(String(known?.["saga_id"])), repeated: true };
}
