/**
 * The embedded event store: an SQLite file of its own beside the ledger, `synchronous = FULL`,
 * one forced write a batch. Appends that arrive in one turn of the event loop share it.
 *
 * The state directory's lock keeps other daemons away, so opening the file is taking over: the
 * token rises with each opening and is compared in every append.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { LayerdError } from "../core/errors.ts";
import { parseSagaId, type SagaId } from "../core/ids.ts";
import type { SagaDefinition, VersionedDefinition } from "../core/saga_definition.ts";
import type { SagaEvent, SagaFact } from "../core/saga_event.ts";
import { ledgerError, pragma } from "../ledger/ledger_database.ts";
import type { Clock } from "../system/clock.ts";
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

const SCHEMA_VERSION = 1;
const SCHEMA = `
  CREATE TABLE owner (token INTEGER NOT NULL);
  INSERT INTO owner VALUES (0);
  CREATE TABLE definitions (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (name, version)
  ) WITHOUT ROWID;
  CREATE TABLE sagas (
    id TEXT PRIMARY KEY NOT NULL,
    definition TEXT NOT NULL,
    tenant_id TEXT,
    state TEXT NOT NULL,
    condition TEXT,
    created_at TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    owner INTEGER NOT NULL
  );
  CREATE INDEX sagas_state ON sagas (state, id);
  CREATE INDEX sagas_definition ON sagas (definition, id);
  CREATE INDEX sagas_tenant ON sagas (tenant_id, id) WHERE tenant_id IS NOT NULL;
  CREATE TABLE events (
    saga_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    at TEXT NOT NULL,
    fact TEXT NOT NULL,
    PRIMARY KEY (saga_id, sequence)
  ) WITHOUT ROWID;
  CREATE TABLE keys (
    key TEXT PRIMARY KEY NOT NULL,
    request_hash TEXT NOT NULL,
    saga_id TEXT NOT NULL
  ) WITHOUT ROWID;
`;

/** Opens or makes the file and takes its sagas over. Throws `io_error` where it is damaged. */
export function openSqliteSagaStore(path: string, clock: Clock): SagaStore {
  try {
    const database = new DatabaseSync(path);
    try {
      pragma(database, "journal_mode = WAL");
      pragma(database, "synchronous = FULL");
      migrate(database, path);
      return new SqliteSagaStore(database, clock);
    } catch (error) {
      database.close();
      throw error;
    }
  } catch (error) {
    throw ledgerError(`Saga events ${path} cannot be opened`, error);
  }
}

function migrate(database: DatabaseSync, path: string): void {
  const version = Number(pragma(database, "user_version"));
  if (version > SCHEMA_VERSION) {
    throw new LayerdError(
      "io_error",
      `Saga events ${path} have schema version ${version}, this layerd knows ${SCHEMA_VERSION}: ` +
        `run the layerd that wrote them`,
    );
  }
  if (version === SCHEMA_VERSION) return;
  database.exec(`BEGIN; ${SCHEMA} PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT`);
}

function compile(database: DatabaseSync) {
  const statement = (sql: string): StatementSync => database.prepare(sql);
  return {
    begin: statement("BEGIN IMMEDIATE"),
    commit: statement("COMMIT"),
    token: statement("UPDATE owner SET token = token + 1 RETURNING token"),
    newest: statement(
      "SELECT version, document FROM definitions WHERE name = ? ORDER BY version DESC LIMIT 1",
    ),
    version: statement("SELECT version, document FROM definitions WHERE name = ? AND version = ?"),
    define: statement("INSERT INTO definitions (name, version, document) VALUES (?, ?, ?)"),
    definitions: statement(
      `SELECT name, version, document FROM definitions AS d
       WHERE version = (SELECT max(version) FROM definitions WHERE name = d.name) ORDER BY name`,
    ),
    key: statement("SELECT request_hash, saga_id FROM keys WHERE key = ?"),
    remember: statement("INSERT INTO keys (key, request_hash, saga_id) VALUES (?, ?, ?)"),
    create: statement(
      `INSERT INTO sagas (id, definition, tenant_id, state, created_at, sequence, owner)
       VALUES (?, ?, ?, 'not_started', ?, 1, ?)`,
    ),
    place: statement("SELECT sequence, owner FROM sagas WHERE id = ?"),
    move: statement("UPDATE sagas SET sequence = ?, state = ?, condition = ? WHERE id = ?"),
    event: statement("INSERT INTO events (saga_id, sequence, at, fact) VALUES (?, ?, ?, ?)"),
    events: statement("SELECT sequence, at, fact FROM events WHERE saga_id = ? ORDER BY sequence"),
    claim: statement(`UPDATE sagas SET owner = ? WHERE owner <> ? AND state IN ${OPEN_STATES}`),
    own: statement(`SELECT id, sequence FROM sagas WHERE owner = ? AND state IN ${OPEN_STATES}`),
  };
}

const placeholder = () => "?";

interface Waiting {
  readonly run: () => void;
  readonly settle: (failure: unknown) => void;
}

class SqliteSagaStore implements SagaStore {
  readonly fencingToken: number;
  readonly leaseMs = null;
  readonly #database: DatabaseSync;
  readonly #statements: ReturnType<typeof compile>;
  readonly #clock: Clock;
  #waiting: Waiting[] = [];

  constructor(database: DatabaseSync, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
    this.#statements = compile(database);
    this.fencingToken = Number(this.#statements.token.get()?.["token"]);
  }

  saveDefinition(name: string, definition: SagaDefinition): Promise<VersionedDefinition> {
    return this.#write(() => {
      const text = JSON.stringify(definition);
      const newest = this.#statements.newest.get(name);
      if (newest?.["document"] === text) return definitionOf(name, newest);
      const version = Number(newest?.["version"] ?? 0) + 1;
      this.#statements.define.run(name, version, text);
      return versioned(name, version, text);
    });
  }

  definition(name: string, version: number | null): Promise<VersionedDefinition | null> {
    return this.#read(() => {
      const { newest, version: exact } = this.#statements;
      const row = version === null ? newest.get(name) : exact.get(name, version);
      return row ? definitionOf(name, row) : null;
    });
  }

  definitions(): Promise<VersionedDefinition[]> {
    return this.#read(() =>
      this.#statements.definitions.all().map((row) => definitionOf(String(row["name"]), row))
    );
  }

  start(saga: StartedSaga): Promise<{ readonly id: SagaId; readonly repeated: boolean }> {
    return this.#write(() => {
      const { key, id, at, fact } = saga;
      const known = key && this.#statements.key.get(key.key);
      if (key && known) {
        requireSameRequest(key, String(known["request_hash"]));
        return { id: parseSagaId(String(known["saga_id"])), repeated: true };
      }
      const { definition, tenant_id } = fact.data;
      if (key) this.#statements.remember.run(key.key, key.requestHash, id);
      this.#statements.create.run(id, definition, tenant_id, at, this.fencingToken);
      this.#statements.event.run(id, 1, at, factText(fact));
      return { id, repeated: false };
    });
  }

  append(
    id: SagaId,
    event: { readonly sequence: number; readonly at: string; readonly fact: SagaFact },
    summary: SagaSummary,
  ): Promise<void> {
    return this.#write(() => {
      const { sequence } = event;
      requirePlace(id, this.#statements.place.get(id), { owner: this.fencingToken, sequence });
      this.#statements.event.run(id, event.sequence, event.at, factText(event.fact));
      this.#statements.move.run(event.sequence, summary.state, summary.condition, id);
    });
  }

  events(id: SagaId): Promise<SagaEvent[]> {
    return this.#read(() => this.#statements.events.all(id).map((row) => eventOf(id, row)));
  }

  list(filter: SagaFilter, limit: number, before: SagaId | null): Promise<SagaId[]> {
    return this.#read(() => {
      const { where, values } = conditionsOf(filter, before, placeholder);
      const sql = `SELECT id FROM sagas WHERE ${where} ORDER BY id DESC LIMIT ?`;
      const rows = this.#database.prepare(sql).all(...values, limit);
      return rows.map((row) => parseSagaId(String(row["id"])));
    });
  }

  count(filter: SagaFilter): Promise<number> {
    return this.#read(() => {
      const { where, values } = conditionsOf(filter, null, placeholder);
      const sql = `SELECT count(*) AS n FROM sagas WHERE ${where}`;
      return Number(this.#database.prepare(sql).get(...values)?.["n"]);
    });
  }

  claim(): Promise<ClaimedSaga[]> {
    return this.#write(() => {
      this.#statements.claim.run(this.fencingToken, this.fencingToken);
      return this.#statements.own.all(this.fencingToken).map(claimed);
    });
  }

  renew(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#flush();
    this.#database.close();
    return Promise.resolve();
  }

  async #read<T>(work: () => T): Promise<T> {
    try {
      return await Promise.resolve(work());
    } catch (error) {
      throw ledgerError("Saga events cannot be read", error);
    }
  }

  /** In the batch of this turn of the event loop; resolves when that is on disk. */
  #write<T>(work: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    let answer: () => void = () => {};
    this.#waiting.push({
      run: () => {
        // A refusal has written nothing, so the batch goes on without it.
        try {
          const result = work();
          answer = () => resolve(result);
        } catch (error) {
          if (!(error instanceof SagaMovedOn || error instanceof LayerdError)) throw error;
          answer = () => reject(error);
        }
      },
      settle: (failure) => failure === null ? answer() : reject(failure),
    });
    if (this.#waiting.length === 1) void this.#clock.sleep(0).then(() => this.#flush());
    return promise;
  }

  #flush(): void {
    const batch = this.#waiting;
    if (batch.length === 0) return;
    this.#waiting = [];
    try {
      this.#statements.begin.run();
      for (const { run } of batch) run();
      this.#statements.commit.run();
      for (const { settle } of batch) settle(null);
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      const failure = ledgerError("Saga events cannot be written", error);
      for (const { settle } of batch) settle(failure);
    }
  }
}
