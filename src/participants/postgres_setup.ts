/**
 * What a PostgreSQL database needs before it can take part: room for prepared transactions,
 * and a table of ours. Looked at when it is registered.
 */
import { LayerdError, messageOf } from "../core/errors.ts";
import type { PostgresAddress } from "./addresses.ts";
import type { Clock } from "../system/clock.ts";
import { type PostgresConnection, PostgresPool } from "./postgres_connection.ts";

/** After this nobody's late prepare can still be on its way. */
export const ROLLED_BACK_KEPT_HOURS = 24;

const VERSION_MIN = 130_000;

const SCHEMA = `
  SELECT pg_advisory_xact_lock(7813950118);
  CREATE SCHEMA IF NOT EXISTS layerd;
  CREATE TABLE IF NOT EXISTS layerd.branches (
    key text PRIMARY KEY,
    outcome text NOT NULL CHECK (outcome IN ('committed', 'rolled_back')),
    ended_at timestamptz NOT NULL DEFAULT now()
  );
  CREATE TABLE IF NOT EXISTS layerd.identity (id text NOT NULL);
  INSERT INTO layerd.identity SELECT gen_random_uuid()::text
    WHERE NOT EXISTS (SELECT 1 FROM layerd.identity);
`;

/**
 * Looks whether the database can take part and makes what it lacks of ours. Answers the
 * database's identity: the same at another address, under another password. Throws
 * `invalid_request` where it cannot take part, or does not answer in time.
 */
export async function setUpPostgres(
  address: PostgresAddress,
  clock: Clock,
  timeoutMs: number,
): Promise<string> {
  const pool = new PostgresPool(address, clock, 1);
  try {
    return await pool.use(timeoutMs, (connection) => setUp(connection, timeoutMs));
  } catch (error) {
    if (error instanceof LayerdError) throw error;
    throw new LayerdError(
      "invalid_request",
      `The database cannot take part: ${messageOf(error)}`,
      { field: "url" },
      error,
    );
  } finally {
    pool.close();
  }
}

async function setUp(connection: PostgresConnection, timeoutMs: number): Promise<string> {
  const [settings] = await connection.query(
    "SELECT current_setting('max_prepared_transactions') AS prepared_max, " +
      "current_setting('server_version_num') AS version",
  );
  if (Number(settings?.["version"]) < VERSION_MIN) {
    throw new LayerdError("invalid_request", "PostgreSQL 13 or later is needed", {
      field: "url",
    });
  }
  if (settings?.["prepared_max"] === "0") {
    throw new LayerdError(
      "invalid_request",
      "This PostgreSQL prepares no transactions (max_prepared_transactions = 0); run " +
        "`ALTER SYSTEM SET max_prepared_transactions = 100;` there and restart it",
      { field: "url", reason: "max_prepared_transactions" },
    );
  }
  // Nobody waits for it past the probe; the server must not either.
  await connection.run(`SET statement_timeout = ${timeoutMs}`);
  await connection.run(SCHEMA);
  const [row] = await connection.query("SELECT id FROM layerd.identity");
  return row?.["id"] ?? "";
}
