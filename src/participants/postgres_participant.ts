/**
 * A PostgreSQL database as a participant: `PREPARE TRANSACTION`, with a marker row written
 * inside the prepared transaction.
 *
 * M1. `COMMIT PREPARED` of a name that is not there (42704) does not say what happened; the
 *     marker does: it is visible exactly when the branch has committed.
 * M2. abort() of a name that is not there writes the marker itself, as rolled back. A prepare
 *     that arrives later meets it and fails, so that nothing of it is left behind.
 * M3. Deciding has connections of its own: prepares that wait for rows of undecided branches
 *     must not keep those branches from being decided. Where the server has no more for us,
 *     idle ones of the others go.
 * M4. The server says whether the statements left the transaction as it was: by the time at
 *     which it began, which no statement can set.
 */
import { messageOf } from "../core/errors.ts";
import type { ParticipantName } from "../core/ids.ts";
import { POSTGRES_CONNECTIONS_MAX } from "../core/limits.ts";
import type { Json } from "../core/structured_value.ts";
import type { Clock } from "../system/clock.ts";
import type { PostgresAddress } from "./addresses.ts";
import type {
  Acknowledgement,
  BranchCall,
  BranchStatus,
  Participant,
  ParticipantWork,
  TellCall,
  Vote,
} from "./participant.ts";
import { type PostgresConnection, PostgresPool } from "./postgres_connection.ts";
import { ROLLED_BACK_KEPT_HOURS } from "./postgres_setup.ts";
import { shortened } from "./reasons.ts";

/** No prepared transaction has this name. */
const UNDEFINED_OBJECT = "42704";
/** The server's, the database's or the role's connections are used up. */
const TOO_MANY_CONNECTIONS = "53300";
/** How long a statement that only looks may take. */
const LOOK_MS_MAX = 5_000;

export class PostgresParticipant implements Participant {
  readonly kind = "postgres";
  readonly name: ParticipantName;
  readonly #working: PostgresPool;
  readonly #deciding: PostgresPool;

  constructor(name: ParticipantName, address: PostgresAddress, clock: Clock) {
    this.name = name;
    this.#working = new PostgresPool(address, clock, POSTGRES_CONNECTIONS_MAX);
    this.#deciding = new PostgresPool(address, clock, POSTGRES_CONNECTIONS_MAX);
  }

  async prepare(call: BranchCall, work: ParticipantWork): Promise<Vote> {
    if (work.kind !== "postgres") throw new Error(`BUG: ${work.kind} work for ${this.name}`);
    let asked = false;
    let vote: Vote | null = null;
    try {
      return await this.#working.use(call.timeoutMs, async (connection) => {
        await connection.run(openingOf(call));
        const { begun } = await stateOf(connection);
        for (const { text, params } of work.statements) {
          await connection.execute(text, params.map(asText));
        }
        const { begun: stillBegun, xid, locks } = await stateOf(connection);
        if (begun !== stillBegun) {
          return { vote: "abort", reason: "A statement ended the transaction" };
        }
        if (xid === null) {
          // Not COMMIT: a NOTIFY would be sent whatever the others vote.
          await connection.run("ROLLBACK");
          await connection.run("DISCARD ALL");
          return { vote: "read_only" };
        }
        await connection.query(
          "INSERT INTO layerd.branches (key, outcome) VALUES ($1, 'committed')",
          [call.key],
        );
        asked = true;
        await connection.run(`PREPARE TRANSACTION ${literal(call.key)}`);
        vote = { vote: "prepared", resourceLocks: locks };
        await connection.run("DISCARD ALL");
        return vote;
      });
    } catch (error) {
      // What it voted stands, whatever becomes of the connection.
      if (vote !== null) return vote;
      // Before it was asked to prepare, the end of the connection is the end of the branch.
      const isOpen = asked && sqlStateOf(error) === null;
      return { vote: isOpen ? "unknown" : "abort", reason: reasonOf(error) };
    }
  }

  commit(call: TellCall): Promise<Acknowledgement> {
    return this.#decide(call, async (connection) => {
      if (await decided(connection, "COMMIT PREPARED", call.key)) return { kind: "done" };
      const marker = await markerOf(connection, call.key);
      if (marker === "committed") return { kind: "done" };
      const reason = marker === null
        ? "The branch is neither prepared nor committed: somebody rolled it back"
        : "The branch was rolled back";
      return { kind: "contradicted", reason };
    });
  }

  abort(call: TellCall): Promise<Acknowledgement> {
    return this.#decide(call, async (connection) => {
      if (await decided(connection, "ROLLBACK PREPARED", call.key)) return { kind: "done" };
      await connection.query(
        "INSERT INTO layerd.branches (key, outcome) VALUES ($1, 'rolled_back') " +
          "ON CONFLICT DO NOTHING",
        [call.key],
      );
      if (await markerOf(connection, call.key) === "rolled_back") return { kind: "done" };
      return { kind: "contradicted", reason: "The branch has committed" };
    });
  }

  async inquire(call: BranchCall): Promise<BranchStatus> {
    try {
      return await this.#deciding.use(call.timeoutMs, async (connection) => {
        const [found] = await connection.query(
          "SELECT gid FROM pg_prepared_xacts WHERE gid = $1",
          [call.key],
        );
        return found ? "prepared" : await markerOf(connection, call.key) ?? "unknown";
      });
    } catch {
      return null;
    }
  }

  async prepared(prefix: string): Promise<readonly string[]> {
    return await this.#deciding.use(LOOK_MS_MAX, async (connection) => {
      const rows = await connection.query(
        "SELECT gid FROM pg_prepared_xacts " +
          "WHERE database = current_database() AND starts_with(gid, $1)",
        [prefix],
      );
      return rows.flatMap(({ gid }) => gid === null || gid === undefined ? [] : [gid]);
    });
  }

  async forget(prefix: string, isOver: (key: string) => Promise<boolean>): Promise<void> {
    await this.#deciding.use(LOOK_MS_MAX, async (connection) => {
      const rows = await connection.query(
        "SELECT key FROM layerd.branches WHERE starts_with(key, $1) AND (outcome = 'committed' " +
          `OR ended_at < now() - interval '${ROLLED_BACK_KEPT_HOURS} hours') LIMIT 1000`,
        [prefix],
      );
      for (const { key } of rows) {
        if (key === null || key === undefined || !await isOver(key)) continue;
        await connection.query("DELETE FROM layerd.branches WHERE key = $1", [key]);
      }
    });
  }

  close(): Promise<void> {
    this.#working.close();
    this.#deciding.close();
    return Promise.resolve();
  }

  async #decide(
    call: TellCall,
    work: (connection: PostgresConnection) => Promise<Acknowledgement>,
  ): Promise<Acknowledgement> {
    try {
      return await this.#deciding.use(call.timeoutMs, async (connection) => {
        await connection.run(`SET statement_timeout = ${Math.ceil(call.timeoutMs)}`);
        return await work(connection);
      });
    } catch (error) {
      if (sqlStateOf(error) === TOO_MANY_CONNECTIONS) this.#working.closeIdle();
      return { kind: "again", reason: reasonOf(error) };
    }
  }
}

/** Begins the branch's transaction; the settings end with it. */
function openingOf({ timeoutMs }: BranchCall): string {
  const ms = Math.ceil(timeoutMs);
  return "BEGIN; " +
    `SET LOCAL statement_timeout = ${ms}; SET LOCAL lock_timeout = ${ms}; ` +
    `SET LOCAL idle_in_transaction_session_timeout = ${ms}`;
}

async function stateOf(connection: PostgresConnection) {
  const [row] = await connection.query(
    "SELECT transaction_timestamp()::text AS begun, " +
      "pg_current_xact_id_if_assigned()::text AS xid, " +
      "(SELECT coalesce(json_agg(DISTINCT relation::regclass::text), '[]')::text FROM pg_locks " +
      "WHERE pid = pg_backend_pid() AND locktype = 'relation' AND mode LIKE '%Exclusive%' " +
      "OR pid = pg_backend_pid() AND mode = 'RowShareLock') AS locks",
  );
  const locks: unknown = JSON.parse(row?.["locks"] ?? "[]");
  return {
    begun: row?.["begun"] ?? null,
    xid: row?.["xid"] ?? null,
    locks: Array.isArray(locks) ? locks.filter((lock) => typeof lock === "string") : [],
  };
}

/** Ends a prepared transaction; false where none has the name. */
async function decided(
  connection: PostgresConnection,
  verb: "COMMIT PREPARED" | "ROLLBACK PREPARED",
  key: string,
): Promise<boolean> {
  try {
    await connection.run(`${verb} ${literal(key)}`);
    return true;
  } catch (error) {
    if (sqlStateOf(error) === UNDEFINED_OBJECT) return false;
    throw error;
  }
}

async function markerOf(
  connection: PostgresConnection,
  key: string,
): Promise<"committed" | "rolled_back" | null> {
  const [row] = await connection.query("SELECT outcome FROM layerd.branches WHERE key = $1", [key]);
  const outcome = row?.["outcome"];
  return outcome === "committed" || outcome === "rolled_back" ? outcome : null;
}

/** A string literal. Keys are made of letters, digits and `:._-`; quoting is for the day they are not. */
function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A parameter as the server reads it: JSON for what is no plain text or number. */
function asText(value: Json): string | null {
  if (value === null) return null;
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** The server's error code, or null where the failure was not the server's answer. */
export function sqlStateOf(error: unknown): string | null {
  if (!(error instanceof Error) || error.name !== "PostgresError" || !("code" in error)) {
    return null;
  }
  // Codes of a broken connection look alike: EPIPE is none of the server's.
  return typeof error.code === "string" ? error.code : null;
}

function reasonOf(error: unknown): string {
  const code = sqlStateOf(error);
  return shortened(code === null ? messageOf(error) : `${messageOf(error)} (SQLSTATE ${code})`);
}
