import { assertEquals, assertThrows } from "@std/assert";
import { MemoryLedger } from "../../src/ledger/memory_ledger.ts";
import type { LedgerEntry } from "../../src/ledger/ledger.ts";
import { LedgerWriter } from "../../src/transactions/ledger_writer.ts";
import { entry, transactionId } from "../ledger/conformance.ts";

/** A ledger on a disk that can be full. */
class FullableLedger extends MemoryLedger {
  full = false;

  override record(entries: readonly LedgerEntry[]): void {
    if (this.full) throw new Error("database or disk is full");
    super.record(entries);
  }
}

Deno.test("LedgerWriter finds what waits for room, and its keys", () => {
  const ledger = new FullableLedger();
  const writer = new LedgerWriter(ledger);
  writer.record([entry(1, 1)]);
  ledger.full = true;
  writer.record([entry(2, 2, {}, "k")]);
  const since = "2025-01-01T00:00:00.000Z";
  assertEquals(writer.get(transactionId(2))?.message, "number 2");
  assertEquals(writer.idempotent("r", "k", since)?.transactionId, transactionId(2));
  assertEquals(writer.list({}, 9, null).map(({ id }) => id), [2, 1].map(transactionId));
  assertThrows(() => writer.flush(), Error, "full");
  ledger.full = false;
  writer.record([entry(3, 3)]);
  assertEquals(ledger.list({}, 9, null).map(({ id }) => id), [3, 2, 1].map(transactionId));
  assertEquals(ledger.idempotent("r", "k", since)?.transactionId, transactionId(2));
});
