/**
 * The ledger's database file: its schema, its version, and what is done about a damaged one.
 *
 * A row of `touched` says that a transaction has to do with a layer. `state` stands in it
 * and in the tenant index too, so that a list which filters by it reads one index only.
 */
import { DatabaseSync } from "node:sqlite";
import { LayerdError } from "../core/errors.ts";
import { type FileSystem, FileSystemError } from "../system/file_system.ts";

const SCHEMA_VERSION = 1;
const SCHEMA = `
  CREATE TABLE transactions (
    id TEXT PRIMARY KEY NOT NULL,
    lsn INTEGER NOT NULL,
    state TEXT NOT NULL,
    tenant_id TEXT,
    document TEXT NOT NULL
  );
  CREATE INDEX transactions_state ON transactions (state, id);
  CREATE INDEX transactions_tenant ON transactions (tenant_id, id, state)
    WHERE tenant_id IS NOT NULL;
  CREATE TABLE touched (
    repository TEXT NOT NULL,
    layer TEXT NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (layer, id, repository)
  ) WITHOUT ROWID;
  CREATE INDEX touched_repository ON touched (repository, id, state);
  CREATE TABLE idempotency (
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (route, key)
  ) WITHOUT ROWID;
  CREATE INDEX idempotency_age ON idempotency (created_at);
  CREATE INDEX idempotency_transaction ON idempotency (transaction_id);
`;

/**
 * A file up to this size is read through at opening. Above it (some ten thousand
 * transactions) that would hold up every start, and damage is found by what meets it.
 */
const CHECKED_BYTES_MAX = 64 * 1024 * 1024;

// Result codes of SQLite, in the low byte of an error's code.
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_NOTADB = 26;

/** Opens or makes the file; `replaced` is where a damaged one was moved to. */
export function openLedgerDatabase(
  path: string,
  fileSystem: FileSystem,
): { readonly database: DatabaseSync; readonly replaced: string | null } {
  try {
    return { database: openFile(path, fileSystem), replaced: null };
  } catch (error) {
    if (!isDamage(error)) throw ledgerError(`Ledger ${path} cannot be opened`, error);
  }
  const replaced = moveAside(path, fileSystem);
  return { database: openFile(path, fileSystem), replaced };
}

function openFile(path: string, fileSystem: FileSystem): DatabaseSync {
  const database = new DatabaseSync(path);
  try {
    // One daemon has the file. Without it a reader from outside could hold up a checkpoint.
    pragma(database, "locking_mode = EXCLUSIVE");
    pragma(database, "journal_mode = WAL");
    // Folding the WAL into the file belongs to a checkpoint, not to a commit.
    pragma(database, "wal_autocheckpoint = 0");
    pragma(database, "synchronous = OFF");
    migrate(database, path);
    if (fileSystem.stat(path).size <= CHECKED_BYTES_MAX) checkPages(database, path);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Runs a pragma; its first value. (The errors of exec() do not carry SQLite's result code.) */
export function pragma(database: DatabaseSync, text: string): unknown {
  const row = database.prepare(`PRAGMA ${text}`).get();
  return row && Object.values(row)[0];
}

function migrate(database: DatabaseSync, path: string): void {
  const version = Number(pragma(database, "user_version"));
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

class DamagedPagesError extends Error {
  override readonly name = "DamagedPagesError";
}

function checkPages(database: DatabaseSync, path: string): void {
  const found = pragma(database, "quick_check(1)");
  if (found !== "ok") throw new DamagedPagesError(`${path}: ${found}`);
}

function isDamage(error: unknown): boolean {
  const code = resultCode(error);
  return code === SQLITE_CORRUPT || code === SQLITE_NOTADB || error instanceof DamagedPagesError;
}

/** Moves the file with its WAL, so that somebody can still try to read both. */
function moveAside(path: string, fileSystem: FileSystem): string {
  let number = 1;
  while (fileSystem.lstatIfAny(`${path}.damaged-${number}`) !== null) number++;
  const aside = `${path}.damaged-${number}`;
  fileSystem.rename(path, aside);
  for (const suffix of ["-wal", "-shm"]) {
    if (fileSystem.lstatIfAny(path + suffix) === null) continue;
    fileSystem.rename(path + suffix, aside + suffix);
  }
  return aside;
}

/** What SQLite or the file system threw, as an error of the contract; all else is a bug, unchanged. */
export function ledgerError(what: string, error: unknown): unknown {
  if (!isSqliteError(error) && !(error instanceof FileSystemError)) return error;
  const code = resultCode(error) === SQLITE_FULL ? "no_space" : "io_error";
  return new LayerdError(code, `${what}: ${error.message}`, {}, error);
}

function isSqliteError(error: unknown): error is Error {
  return error instanceof Error && "code" in error && error.code === "ERR_SQLITE_ERROR";
}

function resultCode(error: unknown): number | null {
  if (!(error instanceof Error) || !("errcode" in error)) return null;
  return typeof error.errcode === "number" ? error.errcode & 0xff : null;
}
