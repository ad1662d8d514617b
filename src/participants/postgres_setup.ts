/**
 * What a PostgreSQL database needs before it can take part: room for prepared transactions,
 * and a table of ours. Looked at when it is registered.
 */
import { LayerdError, messageOf } from "../core/errors.ts";
import type { PostgresAddress } from "./addresses.ts";
import { PostgresConnection } from "./postgres_connection.ts";

/** After this nobody's late prepare can still be on its way. */
export const ROLLED_BACK_KEPT_HOURS = 24;

const PROBE_MS_MAX = 10_000;
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
 * database's identity: the same at another address, under another password.
 */
export async function setUpPostgres(address: PostgresAddress): Promise<string> {
  const connection = await connect(address);
  try {
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
    await connection.run(SCHEMA);
    const [row] = await connection.query("SELECT id FROM layerd.identity");
    return row?.["id"] ?? "";
  } catch (error) {
    throw refusalOf(error);
  } finally {
    connection.destroy();
  }
}

async function connect(address: PostgresAddress): Promise<PostgresConnection> {
  try {
    return await PostgresConnection.open(address, PROBE_MS_MAX);
  } catch (error) {
    throw refusalOf(error);
  }
}

function refusalOf(error: unknown): LayerdError {
  if (error instanceof LayerdError) return error;
  return new LayerdError(
    "invalid_request",
    `The database cannot take part: ${messageOf(error)}`,
    { field: "url" },
    error,
  );
}
