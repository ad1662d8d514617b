/**
 * The ledger in SQLite.
 *
 * Commits do not wait for its fsync (`synchronous = OFF`): what a crash takes from it is in
 * the log, and recovery writes it again. The database file itself is written by makeDurable()
 * alone, under `synchronous = FULL`: it folds the WAL into the file and syncs both, and is the
 * barrier before a checkpoint lets go of the log. A power loss can therefore only cut the
 * WAL's tail, which its checksums tell. A file damaged in another way is moved aside and made
 * anew: history older than the log's redo position is then gone from it, which is said. A
 * ledger of a newer layerd is refused by its version.
 */
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import type { IdempotencyEntry } from "../core/log_record.ts";
import { LayerdError, messageOf } from "../core/errors.ts";
import { parseTransactionId, type TransactionId } from "../core/ids.ts";
import type { TransactionDocument } from "../core/transaction_document.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { Ledger, LedgerEntry, LedgerFilter } from "./ledger.ts";
import { touchedRefs } from "./touched.ts";

const SCHEMA_VERSION = 1;
const SCHEMA = `
  CREATE TABLE transactions (
    id TEXT PRIMARY KEY,
    lsn INTEGER NOT NULL,
    state TEXT NOT NULL,
    tenant_id TEXT,
    document TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX transactions_state ON transactions (state, id);
  CREATE INDEX transactions_tenant ON transactions (tenant_id, id) WHERE tenant_id IS NOT NULL;
  CREATE TABLE touched (
    repository TEXT NOT NULL,
    layer TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (repository, layer, id)
  ) WITHOUT ROWID;
  CREATE INDEX touched_layer ON touched (layer, id);
  CREATE TABLE idempotency (
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (route, key)
  ) WITHOUT ROWID;
  CREATE INDEX idempotency_age ON idempotency (created_at);
`;

/** Opens the ledger; `replaced` is where a damaged one was moved to. */
export function openSqliteLedger(
  path: string,
  fileSystem: FileSystem,
): { readonly ledger: SqliteLedger; readonly replaced: string | null } {
  try {
    return { ledger: new SqliteLedger(openDatabase(path)), replaced: null };
  } catch (error) {
    if (error instanceof LayerdError) throw error;
    if (!isDamage(error)) {
      throw new LayerdError("io_error", `Cannot open ${path}: ${messageOf(error)}`, {}, error);
    }
  }
  const replaced = moveAside(path, fileSystem);
  return { ledger: new SqliteLedger(openDatabase(path)), replaced };
}

function openDatabase(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  try {
    const check = database.prepare("PRAGMA quick_check(1)").get();
    if (check?.["quick_check"] !== "ok") throw new Error("database disk image is malformed");
    database.exec("PRAGMA journal_mode = WAL");
    // Folding the WAL belongs to makeDurable(), not to a commit.
    database.exec("PRAGMA wal_autocheckpoint = 0");
    database.exec("PRAGMA synchronous = OFF");
    migrate(database, path);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function migrate(database: DatabaseSync, path: string): void {
  const version = Number(database.prepare("PRAGMA user_version").get()?.["user_version"]);
  if (version > SCHEMA_VERSION) {
    throw new LayerdError(
      "io_error",
      `Ledger ${path} has schema version ${version}, this layerd knows ${SCHEMA_VERSION}: ` +
        `run the layerd that wrote it`,
    );
  }
  if (version === SCHEMA_VERSION) return;
  database.exec(`BEGIN; ${SCHEMA} PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT`);
}

function isDamage(error: unknown): boolean {
  return /malformed|not a database|file is encrypted|corrupt/i.test(messageOf(error));
}

function moveAside(path: string, fileSystem: FileSystem): string {
  let number = 1;
  while (fileSystem.lstatIfAny(`${path}.damaged-${number}`) !== null) number++;
  const aside = `${path}.damaged-${number}`;
  fileSystem.rename(path, aside);
  for (const suffix of ["-wal", "-shm"]) {
    if (fileSystem.lstatIfAny(path + suffix) !== null) fileSystem.unlink(path + suffix);
  }
  return aside;
}

class SqliteLedger implements Ledger {
  readonly #database: DatabaseSync;
  readonly #upsert: StatementSync;
  readonly #touch: StatementSync;
  readonly #remember: StatementSync;
  readonly #get: StatementSync;
  readonly #key: StatementSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#upsert = database.prepare(
      `INSERT INTO transactions (id, lsn, state, tenant_id, document) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET lsn = excluded.lsn, state = excluded.state,
         tenant_id = excluded.tenant_id, document = excluded.document
       WHERE excluded.lsn > transactions.lsn`,
    );
    this.#touch = database.prepare(
      "INSERT OR IGNORE INTO touched (repository, layer, id) VALUES (?, ?, ?)",
    );
    this.#remember = database.prepare(
      `INSERT OR REPLACE INTO idempotency (route, key, request_hash, transaction_id, created_at)
       VALUES (?, ?, ?, ?, ?)`,
    );
    this.#get = database.prepare("SELECT document FROM transactions WHERE id = ?");
    this.#key = database.prepare(
      "SELECT * FROM idempotency WHERE route = ? AND key = ? AND created_at >= ?",
    );
  }

  record(entries: readonly LedgerEntry[]): void {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      for (const entry of entries) this.#recordOne(entry);
      this.#database.exec("COMMIT");
    } catch (error) {
      // SQLite has rolled back by itself after some errors (a full disk).
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  #recordOne({ lsn, transaction, idempotency }: LedgerEntry): void {
    const { id, state, tenant_id } = transaction;
    const { changes } = this.#upsert.run(id, lsn, state, tenant_id, JSON.stringify(transaction));
    if (Number(changes) === 0) return;
    for (const { repository, layer } of touchedRefs(transaction)) {
      this.#touch.run(repository, layer, id);
    }
    if (idempotency === null) return;
    const { route, key, requestHash, transactionId, createdAt } = idempotency;
    this.#remember.run(route, key, requestHash, transactionId, createdAt);
  }

  get(id: TransactionId): TransactionDocument | null {
    const row = this.#get.get(id);
    return row ? documentOf(row) : null;
  }

  list(filter: LedgerFilter, limit: number, before: TransactionId | null): TransactionDocument[] {
    const wheres: string[] = [];
    const values: SQLInputValue[] = [];
    const where = (text: string, ...more: SQLInputValue[]) => {
      wheres.push(text);
      values.push(...more);
    };
    if (before !== null) where("id < ?", before);
    if (filter.state !== undefined) where("state = ?", filter.state);
    if (filter.tenantId !== undefined) where("tenant_id = ?", filter.tenantId);
    const { repository, layer } = filter;
    if (repository !== undefined && layer !== undefined) {
      where("id IN (SELECT id FROM touched WHERE repository = ? AND layer = ?)", repository, layer);
    } else if (repository !== undefined) {
      where("id IN (SELECT id FROM touched WHERE repository = ?)", repository);
    } else if (layer !== undefined) {
      where("id IN (SELECT id FROM touched WHERE layer = ?)", layer);
    }
    const condition = wheres.length > 0 ? `WHERE ${wheres.join(" AND ")}` : "";
    const sql = `SELECT document FROM transactions ${condition} ORDER BY id DESC LIMIT ?`;
    return this.#database.prepare(sql).all(...values, limit).map(documentOf);
  }

  idempotent(route: string, key: string, since: string): IdempotencyEntry | null {
    const row = this.#key.get(route, key, since);
    if (!row) return null;
    return {
      route,
      key,
      requestHash: String(row["request_hash"]),
      transactionId: parseTransactionId(String(row["transaction_id"])),
      createdAt: String(row["created_at"]),
    };
  }

  forgetKeysBefore(since: string): void {
    this.#database.prepare("DELETE FROM idempotency WHERE created_at < ?").run(since);
  }

  makeDurable(): Promise<void> {
    this.#database.exec("PRAGMA synchronous = FULL");
    try {
      const result = this.#database.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get();
      if (Number(result?.["busy"]) !== 0) throw new Error("Ledger is busy with another process");
    } finally {
      this.#database.exec("PRAGMA synchronous = OFF");
    }
    return Promise.resolve();
  }

  close(): void {
    this.#database.close();
  }
}

function documentOf(row: Record<string, unknown>): TransactionDocument {
  return JSON.parse(String(row["document"]));
}
