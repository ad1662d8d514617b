import { join } from "@std/path";
import { DatabaseSync } from "node:sqlite";
import { assertEquals, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { openSqliteLedger } from "../../src/ledger/sqlite_ledger.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import { entry, ledgerConformance, transactionId } from "./conformance.ts";

const fileSystem = new DenoFileSystem();

ledgerConformance("SqliteLedger", () => openSqliteLedger(":memory:", fileSystem).ledger);

Deno.test("openSqliteLedger() finds what an earlier one recorded", () => {
  const path = join(Deno.makeTempDirSync(), "ledger.sqlite");
  const first = openSqliteLedger(path, fileSystem).ledger;
  first.record([entry(1, 1)]);
  first.close();
  const { ledger, replaced } = openSqliteLedger(path, fileSystem);
  assertEquals(replaced, null);
  assertEquals(ledger.get(transactionId(1))?.message, "number 1");
  ledger.close();
  Deno.removeSync(join(path, ".."), { recursive: true });
});

Deno.test("openSqliteLedger() moves a damaged database aside and makes a new one", () => {
  const path = join(Deno.makeTempDirSync(), "ledger.sqlite");
  Deno.writeTextFileSync(path, "this is no database ".repeat(500));
  const { ledger, replaced } = openSqliteLedger(path, fileSystem);
  assertEquals(replaced, `${path}.damaged-1`);
  assertEquals(Deno.readTextFileSync(`${path}.damaged-1`).startsWith("this is no"), true);
  assertEquals(ledger.list({}, 9, null), []);
  ledger.close();
  Deno.removeSync(join(path, ".."), { recursive: true });
});

Deno.test("openSqliteLedger() refuses a ledger of a newer layerd by its version", () => {
  const path = join(Deno.makeTempDirSync(), "ledger.sqlite");
  const database = new DatabaseSync(path);
  database.exec("PRAGMA user_version = 99");
  database.close();
  assertThrows(() => openSqliteLedger(path, fileSystem), LayerdError, "schema version 99");
  Deno.removeSync(join(path, ".."), { recursive: true });
});
