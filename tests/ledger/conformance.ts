/** What any ledger must do; run against each. */
import { assertEquals } from "@std/assert";
import { parseTransactionId, toLsn, type TransactionId } from "../../src/core/ids.ts";
import type { TransactionDocument } from "../../src/core/transaction_document.ts";
import type { Ledger, LedgerEntry } from "../../src/ledger/ledger.ts";

export function transactionId(number: number): TransactionId {
  return parseTransactionId("01ARZ3NDEKTSV4RRFFQ69G" + String(number).padStart(4, "0"));
}

export function entry(
  number: number,
  lsn: number,
  fields: Partial<TransactionDocument> = {},
  key: string | null = null,
): LedgerEntry {
  const id = transactionId(number);
  const at = "2026-01-01T00:00:00.000Z";
  return {
    lsn: toLsn(lsn),
    transaction: {
      id,
      state: "committed",
      isolation: "locking",
      message: `number ${number}`,
      author: null,
      tenant_id: null,
      labels: {},
      created_at: at,
      updated_at: at,
      lease_expires_at: null,
      fencing_token: number,
      operations: 0,
      savepoints: [],
      locks: [],
      snapshot: [],
      results: [],
      participants: [],
      problem: null,
      ...fields,
    },
    idempotency: key === null
      ? null
      : { route: "r", key, requestHash: `hash of ${key}`, transactionId: id, createdAt: at },
  };
}

export function ledgerConformance(name: string, open: () => Ledger): void {
  const test = (criterion: string, body: (ledger: Ledger) => void | Promise<void>) =>
    Deno.test(`${name} ${criterion}`, async () => {
      const ledger = open();
      try {
        await body(ledger);
      } finally {
        ledger.close();
      }
    });
  const ids = (list: TransactionDocument[]) => list.map((transaction) => transaction.id);

  test("get() gives back what record() took, and null for others", (ledger) => {
    const given = entry(1, 5, { message: "raise ünïcode", labels: { client: "nvim" } });
    ledger.record([given]);
    assertEquals(ledger.get(transactionId(1)), given.transaction);
    assertEquals(ledger.get(transactionId(2)), null);
  });

  test("record() writes a row over a lower LSN only", (ledger) => {
    ledger.record([entry(1, 5, { state: "prepared" })]);
    ledger.record([entry(1, 7, { state: "committed" })]);
    ledger.record([entry(1, 7, { state: "failed" }), entry(1, 6, { state: "rolled_back" })]);
    assertEquals(ledger.get(transactionId(1))?.state, "committed");
  });

  test("list() is newest first and pages by id", (ledger) => {
    ledger.record([1, 3, 2, 5, 4].map((number) => entry(number, number)));
    assertEquals(ids(ledger.list({}, 2, null)), [transactionId(5), transactionId(4)]);
    assertEquals(ids(ledger.list({}, 9, transactionId(4))), [3, 2, 1].map(transactionId));
  });

  test("list() filters by state, tenant, repository and layer", (ledger) => {
    const result = { ref: "refs/layers/x", old: null, new: null };
    ledger.record([
      entry(1, 1, { tenant_id: "acme" }),
      entry(2, 2, { state: "rolled_back" }),
      entry(3, 3, { results: [{ ...result, repository: "app", layer: "x" }] }),
      entry(4, 4, { snapshot: [{ repository: "app", layer: "y", commit: null }] }),
      entry(5, 5, { locks: [{ repository: "lib", layer: "x", mode: "shared" }] }),
    ]);
    assertEquals(ids(ledger.list({ tenantId: "acme" }, 9, null)), [transactionId(1)]);
    assertEquals(ids(ledger.list({ state: "rolled_back" }, 9, null)), [transactionId(2)]);
    assertEquals(ids(ledger.list({ repository: "app" }, 9, null)), [4, 3].map(transactionId));
    assertEquals(ids(ledger.list({ layer: "x" }, 9, null)), [5, 3].map(transactionId));
    assertEquals(
      ids(ledger.list({ repository: "app", layer: "x", state: "committed" }, 9, null)),
      [transactionId(3)],
    );
  });

  test("idempotent() finds a key of its route until it is too old", (ledger) => {
    ledger.record([entry(1, 1, {}, "k")]);
    const found = ledger.idempotent("r", "k", "2025-12-31T00:00:00.000Z");
    assertEquals(found?.transactionId, transactionId(1));
    assertEquals(found?.requestHash, "hash of k");
    assertEquals(ledger.idempotent("other", "k", "2025-12-31T00:00:00.000Z"), null);
    assertEquals(ledger.idempotent("r", "k", "2026-02-01T00:00:00.000Z"), null);
    ledger.forgetKeysBefore("2026-02-01T00:00:00.000Z");
    assertEquals(ledger.idempotent("r", "k", "2025-12-31T00:00:00.000Z"), null);
  });

  test("makeDurable() keeps what was recorded", async (ledger) => {
    ledger.record([entry(1, 1)]);
    await ledger.makeDurable();
    ledger.record([entry(2, 2)]);
    assertEquals(ids(ledger.list({}, 9, null)), [2, 1].map(transactionId));
  });
}
