/**
 * The ledger in SQLite.
 *
 * Commits do not wait for its fsync (`synchronous = OFF`): what a crash takes from it is in
 * the log, and recovery writes it again. The database file itself is written by makeDurable()
 * and close() alone, under `synchronous = FULL`: they fold the WAL into it and sync both. A
 * power loss can therefore only cut the WAL's tail, which its checksums tell.
 *
 * Q1. A row, with its layers and its key, is replaced as a whole, and by a higher LSN only.
 * Q2. After makeDurable() everything recorded before it survives a power loss: the barrier
 *     before a checkpoint lets go of the log.
 * Q3. A file that is damaged all the same is moved aside and made anew; history older than
 *     the log's redo position is then gone from it, which openSqliteLedger() reports. A
 *     ledger of a newer layerd is refused by its version.
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { invariant } from "../core/errors.ts";
import { parseTransactionId, type TransactionId } from "../core/ids.ts";
import { KEPT_ROUTES } from "../core/idempotency_life.ts";
import type { IdempotencyEntry } from "../core/log_record.ts";
import type { TransactionDocument } from "../core/transaction_document.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { Ledger, LedgerEntry, LedgerFilter } from "./ledger.ts";
import { ledgerError, openLedgerDatabase, pragma } from "./ledger_database.ts";
import { listQuery } from "./list_query.ts";
import { touchedRefs } from "./touched.ts";

/** Opens the ledger; `replaced` is where a damaged one was moved to. */
export function openSqliteLedger(
  path: string,
  fileSystem: FileSystem,
): { readonly ledger: Ledger; readonly replaced: string | null } {
  const { database, replaced } = openLedgerDatabase(path, fileSystem);
  return { ledger: new SqliteLedger(database, `${path}-wal`, fileSystem), replaced };
}

/** The statements of the write path, compiled once. */
function compile(database: DatabaseSync) {
  const statement = (sql: string): StatementSync => database.prepare(sql);
  return {
    begin: statement("BEGIN IMMEDIATE"),
    commit: statement("COMMIT"),
    known: statement("SELECT lsn FROM transactions WHERE id = ?"),
    insert: statement(
      "INSERT INTO transactions (id, lsn, state, tenant_id, document) VALUES (?, ?, ?, ?, ?)",
    ),
    remove: statement("DELETE FROM transactions WHERE id = ?"),
    touch: statement("INSERT INTO touched (repository, layer, id, state) VALUES (?, ?, ?, ?)"),
    untouch: statement("DELETE FROM touched WHERE repository = ? AND layer = ? AND id = ?"),
    // A rebuilt ledger may meet a key's older transaction after its younger one.
    remember: statement(
      `INSERT INTO idempotency (route, key, request_hash, transaction_id, created_at)
       VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (route, key) DO UPDATE SET request_hash = excluded.request_hash,
         transaction_id = excluded.transaction_id, created_at = excluded.created_at
       WHERE excluded.created_at >= idempotency.created_at`,
    ),
    forgetKeyOf: statement("DELETE FROM idempotency WHERE transaction_id = ?"),
    forgetKeysBefore: statement(
      `DELETE FROM idempotency WHERE created_at < ?
       AND route NOT IN (${KEPT_ROUTES.map(() => "?").join(", ")})`,
    ),
    get: statement("SELECT document FROM transactions WHERE id = ?"),
    key: statement("SELECT * FROM idempotency WHERE route = ? AND key = ? AND created_at >= ?"),
  };
}

/** A ledger on an open database; openSqliteLedger() is the way to one. */
export class SqliteLedger implements Ledger {
  readonly #database: DatabaseSync;
  readonly #walPath: string;
  readonly #fileSystem: FileSystem;
  readonly #statements: ReturnType<typeof compile>;

  constructor(database: DatabaseSync, walPath: string, fileSystem: FileSystem) {
    this.#database = database;
    this.#walPath = walPath;
    this.#fileSystem = fileSystem;
    this.#statements = compile(database);
  }

  record(entries: readonly LedgerEntry[]): void {
    try {
      this.#statements.begin.run();
      for (const entry of entries) this.#recordOne(entry);
      this.#statements.commit.run();
    } catch (error) {
      // SQLite has rolled back by itself after some errors (a full disk).
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw ledgerError("Ledger cannot be written", error);
    }
  }

  #recordOne({ lsn, transaction, idempotency }: LedgerEntry): void {
    const { known, insert, touch, remember } = this.#statements;
    const { id, state, tenant_id } = transaction;
    const row = known.get(id);
    if (row) {
      if (Number(row["lsn"]) >= lsn) return;
      this.#forget(id);
    }
    insert.run(id, lsn, state, tenant_id, JSON.stringify(transaction));
    for (const { repository, layer } of touchedRefs(transaction)) {
      touch.run(repository, layer, id, state);
    }
    if (idempotency === null) return;
    const { route, key, requestHash, transactionId, createdAt } = idempotency;
    remember.run(route, key, requestHash, transactionId, createdAt);
  }

  #forget(id: string): void {
    const { get, remove, untouch, forgetKeyOf } = this.#statements;
    const row = get.get(id);
    for (const { repository, layer } of row ? touchedRefs(documentOf(row)) : []) {
      untouch.run(repository, layer, id);
    }
    forgetKeyOf.run(id);
    remove.run(id);
  }

  get(id: TransactionId): TransactionDocument | null {
    const row = guarded("read", () => this.#statements.get.get(id));
    return row ? documentOf(row) : null;
  }

  list(filter: LedgerFilter, limit: number, before: TransactionId | null): TransactionDocument[] {
    const { sql, values } = listQuery(filter, limit, before);
    return guarded("read", () => this.#database.prepare(sql).all(...values)).map(documentOf);
  }

  idempotent(route: string, key: string, since: string): IdempotencyEntry | null {
    const row = guarded("read", () => this.#statements.key.get(route, key, since));
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
    guarded("written", () => this.#statements.forgetKeysBefore.run(since, ...KEPT_ROUTES));
  }

  async makeDurable(): Promise<void> {
    // First without holding up the daemon; SQLite's own sync of the WAL is then a short one.
    if (this.#fileSystem.lstatIfAny(this.#walPath) !== null) {
      await this.#fileSystem.syncFile(this.#walPath);
    }
    guarded("made durable", () => this.#fold());
  }

  /** Folds the WAL into the file, under the syncs that make this safe. */
  #fold(): void {
    pragma(this.#database, "synchronous = FULL");
    try {
      const busy = pragma(this.#database, "wal_checkpoint(TRUNCATE)");
      invariant(busy === 0, "somebody else has the ledger, which is opened exclusively");
    } finally {
      pragma(this.#database, "synchronous = OFF");
    }
  }

  close(): void {
    // SQLite folds what is left while it closes.
    pragma(this.#database, "synchronous = FULL");
    this.#database.close();
  }
}

/** Runs work on the database; what fails in it fails as an error of the contract. */
function guarded<T>(action: "read" | "written" | "made durable", work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw ledgerError(`Ledger cannot be ${action}`, error);
  }
}

function documentOf(row: Record<string, unknown>): TransactionDocument {
  return JSON.parse(String(row["document"]));
}
