import { join } from "@std/path";
import { DatabaseSync } from "node:sqlite";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { openLedgerDatabase, pragma } from "../../src/ledger/ledger_database.ts";
import { listQuery } from "../../src/ledger/list_query.ts";
import { openSqliteLedger, SqliteLedger } from "../../src/ledger/sqlite_ledger.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import { combinations, entry, ledgerConformance, transactionId } from "./conformance.ts";

const fileSystem = new DenoFileSystem();

ledgerConformance("SqliteLedger", () => {
  const directory = Deno.makeTempDirSync();
  return {
    ledger: openSqliteLedger(join(directory, "ledger.sqlite"), fileSystem).ledger,
    dispose: () => Deno.removeSync(directory, { recursive: true }),
  };
});

async function withDirectory(body: (path: string) => void | Promise<void>): Promise<void> {
  const directory = Deno.makeTempDirSync();
  try {
    await body(join(directory, "ledger.sqlite"));
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

/** The file as it is when a ledger with some rows was closed. */
function writeLedger(path: string, rows: number): void {
  const { ledger } = openSqliteLedger(path, fileSystem);
  ledger.record(Array.from({ length: rows }, (_, number) => entry(number, number + 1)));
  ledger.close();
}

Deno.test("openSqliteLedger() finds what an earlier one recorded", () =>
  withDirectory((path) => {
    writeLedger(path, 2);
    const { ledger, replaced } = openSqliteLedger(path, fileSystem);
    assertEquals(replaced, null);
    assertEquals(ledger.get(transactionId(1))?.message, "number 1");
    ledger.close();
  }));

Deno.test("makeDurable() moves everything into the file itself", () =>
  withDirectory(async (path) => {
    const { ledger } = openSqliteLedger(path, fileSystem);
    ledger.record([entry(1, 1)]);
    assert(Deno.statSync(`${path}-wal`).size > 0);
    await ledger.makeDurable();
    assertEquals(Deno.statSync(`${path}-wal`).size, 0);
    // What a power loss leaves: the file alone.
    Deno.copyFileSync(path, `${path}.copy`);
    ledger.close();
    const copy = openSqliteLedger(`${path}.copy`, fileSystem).ledger;
    assertEquals(copy.get(transactionId(1))?.message, "number 1");
    copy.close();
  }));

Deno.test("openSqliteLedger() reads up to a WAL's torn tail", () =>
  withDirectory(async (path) => {
    const { ledger } = openSqliteLedger(path, fileSystem);
    ledger.record([entry(1, 1)]);
    await ledger.makeDurable();
    ledger.record([entry(2, 2)]);
    const whole = Deno.statSync(`${path}-wal`).size;
    ledger.record([entry(3, 3)]);
    Deno.copyFileSync(path, `${path}.copy`);
    Deno.copyFileSync(`${path}-wal`, `${path}.copy-wal`);
    ledger.close();
    Deno.truncateSync(`${path}.copy-wal`, whole + 5_000);
    const { ledger: copy, replaced } = openSqliteLedger(`${path}.copy`, fileSystem);
    assertEquals(replaced, null);
    assertEquals(copy.list({}, 9, null).map(({ id }) => id), [2, 1].map(transactionId));
    copy.close();
  }));

const DAMAGES: Record<string, (path: string) => void> = {
  "is no database": (path) => Deno.writeTextFileSync(path, "this is no database ".repeat(500)),
  "was cut short": (path) => Deno.truncateSync(path, 3 * 4096),
  "has garbage in the middle": (path) => {
    const bytes = Deno.readFileSync(path);
    Deno.writeFileSync(path, bytes.fill(0xa5, 4096, 8 * 4096));
  },
};

for (const [damage, inflict] of Object.entries(DAMAGES)) {
  Deno.test(`openSqliteLedger() moves a file aside that ${damage}, and makes a new one`, () =>
    withDirectory((path) => {
      writeLedger(path, 200);
      inflict(path);
      const damaged = Deno.readFileSync(path);
      Deno.writeTextFileSync(`${path}.damaged-1`, "from an earlier time");
      const { ledger, replaced } = openSqliteLedger(path, fileSystem);
      assertEquals(replaced, `${path}.damaged-2`);
      assertEquals(Deno.readFileSync(`${path}.damaged-2`), damaged);
      assertEquals(ledger.list({}, 9, null), []);
      ledger.record([entry(1, 1)]);
      assertEquals(ledger.get(transactionId(1))?.message, "number 1");
      ledger.close();
    }));
}

Deno.test("openSqliteLedger() refuses a ledger of a newer layerd by its version", () =>
  withDirectory((path) => {
    const database = new DatabaseSync(path);
    database.exec("PRAGMA user_version = 99");
    database.close();
    assertThrows(() => openSqliteLedger(path, fileSystem), LayerdError, "schema version 99");
  }));

Deno.test("openSqliteLedger() keeps other processes out while it is open", () =>
  withDirectory((path) => {
    const { ledger } = openSqliteLedger(path, fileSystem);
    const error = assertThrows(() => openSqliteLedger(path, fileSystem), LayerdError, "locked");
    assertEquals(error.code, "io_error");
    ledger.close();
  }));

Deno.test("record() says no_space when the file cannot grow, and records nothing of the group", () =>
  withDirectory((path) => {
    const { database } = openLedgerDatabase(path, fileSystem);
    pragma(database, "max_page_count = 40");
    const ledger = new SqliteLedger(database, `${path}-wal`, fileSystem);
    ledger.record([entry(1, 1)]);
    const large = entry(3, 3, { message: "x".repeat(200_000) });
    const error = assertThrows(() => ledger.record([entry(2, 2), large]), LayerdError);
    assertEquals(error.code, "no_space");
    assertEquals(ledger.get(transactionId(2)), null);
    ledger.record([entry(4, 4)]);
    assertEquals(ledger.list({}, 9, null).map(({ id }) => id), [4, 1].map(transactionId));
    ledger.close();
  }));

Deno.test("listQuery() reads an index from its newest id down, whatever the filter", () =>
  withDirectory((path) => {
    const { database } = openLedgerDatabase(path, fileSystem);
    for (const filter of combinations()) {
      const { sql, values } = listQuery(filter, 100, transactionId(9));
      const plan = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values)
        .map((step) => String(step["detail"]));
      const text = `${JSON.stringify(filter)}: ${plan.join("; ")}`;
      assert(!plan.some((step) => step.includes("TEMP B-TREE")), `It sorts. ${text}`);
      assert(!plan.some((step) => step.startsWith("SCAN")), `It reads a whole table. ${text}`);
      assertEquals(
        plan[filter.layer || (filter.repository && !filter.tenantId) ? 2 : 0],
        lead(filter),
        text,
      );
    }
    database.close();
  }));

function lead({ layer, repository, tenantId, state }: ReturnType<typeof combinations>[number]) {
  if (layer !== undefined) return "SEARCH touched USING PRIMARY KEY (layer=? AND id<?)";
  if (tenantId !== undefined) {
    return "SEARCH transactions USING INDEX transactions_tenant (tenant_id=? AND id<?)";
  }
  if (repository !== undefined) {
    return "SEARCH touched USING COVERING INDEX touched_repository (repository=? AND id<?)";
  }
  return state === undefined
    ? "SEARCH transactions USING INDEX sqlite_autoindex_transactions_1 (id<?)"
    : "SEARCH transactions USING INDEX transactions_state (state=? AND id<?)";
}
