/**
 * The ledger, looked at without a daemon, and made anew. It is an index: what the log still
 * holds is written again exactly; what a checkpoint let go of is read back from the histories
 * of the layers, as far as commits tell it (see ledger_history.ts).
 */
import { DatabaseSync } from "node:sqlite";
import type { Diagnosis } from "../core/diagnosis.ts";
import { found, mended } from "../core/diagnosis.ts";
import { messageOf } from "../core/errors.ts";
import type { LogDigest } from "../core/recovery_plan.ts";
import type { LedgerEntry } from "../ledger/ledger.ts";
import { openSqliteLedger } from "../ledger/sqlite_ledger.ts";
import type { FileSystem } from "../system/file_system.ts";

/** Reads rows from the histories of repositories; made durable before they are recorded. */
export type HistoryRows = () => Promise<readonly LedgerEntry[]>;

/** What is wrong with the ledger at `path`; null where nothing is. */
export function lookAtLedger(
  fileSystem: FileSystem,
  path: string,
  digest: LogDigest,
): Diagnosis | null {
  if (fileSystem.lstatIfAny(path) === null) {
    // No transaction was ever begun: then nothing was ever written into one.
    if (digest.fencingUpTo === 0) return null;
    const text = `Ledger ${path} is missing; the next start writes what the log still holds, and ` +
      "transactions from before its last checkpoint are in no list";
    return found("suspicious", "ledger_missing", path, text, "layerd doctor --fix");
  }
  try {
    const problem = checkPages(path);
    return problem === null ? null : damagedLedger(path, problem);
  } catch (error) {
    const { code, errcode } = codesOf(error);
    // SQLITE_CORRUPT and SQLITE_NOTADB; anything else is about reaching the file.
    const isDamage = code === "ERR_SQLITE_ERROR" && (errcode === 11 || errcode === 26);
    if (isDamage) return damagedLedger(path, messageOf(error));
    const text = `Ledger ${path} could not be looked at: ${messageOf(error)}`;
    return found("unknown", "ledger_unread", path, text);
  }
}

/**
 * Transactions that the layers tell of and that are older than the ledger's first row: it was
 * made anew by a start, from the log alone. A layer that was fetched from elsewhere can tell of
 * another daemon's, hence only a note.
 */
export async function lookForOlder(path: string, history: HistoryRows): Promise<Diagnosis | null> {
  const oldest = oldestRow(path);
  const older = (await history()).filter(({ transaction }) => transaction.id < oldest);
  if (older.length === 0) return null;
  const text = `Ledger ${path} begins at ${oldest}; ${older.length} older ` +
    "transactions stand in the layers' histories and in no list";
  return found("note", "ledger_incomplete", path, text, "layerd doctor --fix");
}

function oldestRow(path: string): string {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const row = database.prepare("SELECT min(id) AS id FROM transactions").get();
    // Above every ULID: then all that the layers tell of is older.
    return typeof row?.["id"] === "string" ? row["id"] : "8";
  } finally {
    database.close();
  }
}

function damagedLedger(path: string, problem: string): Diagnosis {
  const text = `Ledger ${path} is damaged: ${problem}; the next start moves it aside and writes ` +
    "what the log still holds, and older transactions are in no list";
  return found("corrupted", "ledger_damaged", path, text, "layerd doctor --fix");
}

function checkPages(path: string): string | null {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const row = database.prepare("PRAGMA quick_check(1)").get();
    const [answer] = row ? Object.values(row) : [];
    if (answer !== "ok") return String(answer);
    database.prepare("SELECT count(*) FROM transactions").get();
    return null;
  } finally {
    database.close();
  }
}

function codesOf(error: unknown): { readonly code: unknown; readonly errcode: number } {
  if (!(error instanceof Error) || !("errcode" in error)) return { code: null, errcode: 0 };
  const code = "code" in error ? error.code : null;
  return { code, errcode: typeof error.errcode === "number" ? error.errcode & 0xff : 0 };
}

/** Makes the ledger anew from the log and the histories; the damaged one is moved aside. */
export async function rebuildLedger(
  fileSystem: FileSystem,
  path: string,
  finding: Diagnosis,
  digest: LogDigest,
  history: HistoryRows,
): Promise<Diagnosis> {
  const fromHistory = await history();
  const { ledger, replaced } = openSqliteLedger(path, fileSystem);
  const fromLog = entriesOf(digest);
  try {
    // Rows of the log are recorded over those of the histories, which have a lower LSN.
    ledger.record([...fromHistory, ...fromLog]);
    await ledger.makeDurable();
  } finally {
    ledger.close();
  }
  const known = new Set(fromLog.map(({ transaction }) => transaction.id));
  const older = fromHistory.filter(({ transaction }) => !known.has(transaction.id)).length;
  const text = `Ledger ${path} was completed: ${fromLog.length} transactions from the log, ` +
    `${older} older ones from the layers' histories. Of these only what commits tell is known ` +
    "(label rebuilt_from=history): not their locks, labels, tenants, idempotency keys, the " +
    "deletions in them, nor transactions that were rolled back" +
    (replaced === null ? "" : `; the damaged one is ${replaced}`);
  return mended(finding, text);
}

function entriesOf(digest: LogDigest): LedgerEntry[] {
  // What is unfinished, failed or in doubt is for recovery to judge.
  const commits = [...digest.commits.values()].filter(({ failed, record, applied }) =>
    failed.size === 0 && record.parts.every((part) => applied.has(part.repositoryId))
  );
  return [
    ...commits.map(({ lsn, record: { transaction, idempotency } }) => ({
      lsn,
      transaction,
      idempotency,
    })),
    ...digest.rolledBack.map(({ lsn, record }) => ({
      lsn,
      transaction: record.transaction,
      idempotency: null,
    })),
  ];
}
