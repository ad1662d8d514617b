/** What any ledger must do; run against each. */
import { assert, assertEquals } from "@std/assert";
import { KEPT_ROUTES, keysCountSince } from "../../src/core/idempotency_life.ts";
import { parseTransactionId, toLsn, type TransactionId } from "../../src/core/ids.ts";
import type { TransactionDocument } from "../../src/core/transaction_document.ts";
import type { Ledger, LedgerEntry, LedgerFilter } from "../../src/ledger/ledger.ts";

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

/** A fresh ledger, and what takes it away again. */
export interface OpenedLedger {
  readonly ledger: Ledger;
  readonly dispose: () => void;
}

export function ledgerConformance(name: string, open: () => OpenedLedger): void {
  const test = (criterion: string, body: (ledger: Ledger) => void | Promise<void>) =>
    Deno.test(`${name} ${criterion}`, async () => {
      const { ledger, dispose } = open();
      try {
        await body(ledger);
      } finally {
        ledger.close();
        dispose();
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

  test("list() takes a layer by its name and by its full ref", (ledger) => {
    const tag = "refs/tags/v1";
    ledger.record([
      entry(1, 1, { snapshot: [{ repository: "app", layer: "team/base", commit: null }] }),
      entry(2, 2, {
        results: [{ repository: "app", layer: tag, ref: tag, old: null, new: null }],
      }),
    ]);
    assertEquals(ids(ledger.list({ layer: "team/base" }, 9, null)), [transactionId(1)]);
    assertEquals(ids(ledger.list({ layer: "refs/layers/team/base" }, 9, null)), [
      transactionId(1),
    ]);
    assertEquals(ids(ledger.list({ layer: tag }, 9, null)), [transactionId(2)]);
  });

  test("list() answers every combination of filters, page by page", (ledger) => {
    const entries = Array.from({ length: 48 }, (_, number) =>
      entry(number, number + 1, {
        state: number % 2 === 0 ? "committed" : "rolled_back",
        tenant_id: number % 3 === 0 ? "acme" : null,
        snapshot: [0, 1].map((step) => ({
          repository: number % 4 < 2 ? "app" : "lib",
          layer: `layer${(number + step) % 4}`,
          commit: null,
        })),
      }));
    ledger.record(entries);
    for (const filter of combinations()) {
      const expected = entries.map(({ transaction }) => transaction)
        .filter(({ state }) => filter.state === undefined || state === filter.state)
        .filter(({ tenant_id }) => filter.tenantId === undefined || tenant_id === filter.tenantId)
        .filter(({ snapshot }) =>
          snapshot.some(({ repository, layer }) =>
            (filter.repository === undefined || repository === filter.repository) &&
            (filter.layer === undefined || layer === filter.layer)
          )
        ).reverse();
      const found: TransactionDocument[] = [];
      for (let page = ledger.list(filter, 5, null); page.length > 0;) {
        found.push(...page);
        const last = page.at(-1);
        page = last ? ledger.list(filter, 5, parseTransactionId(last.id)) : [];
      }
      assertEquals(found, expected, JSON.stringify(filter));
    }
  });

  test("record() replaces the layers and the key of a row with it", (ledger) => {
    const before = [{ repository: "app", layer: "x", commit: null }];
    const after = [{ repository: "app", layer: "y", commit: null }];
    ledger.record([entry(1, 1, { state: "committing", snapshot: before }, "k")]);
    ledger.record([entry(1, 2, { state: "failed", snapshot: after })]);
    assertEquals(ledger.list({ layer: "x" }, 9, null), []);
    assertEquals(ids(ledger.list({ layer: "y", state: "failed" }, 9, null)), [transactionId(1)]);
    assertEquals(ledger.list({ repository: "app", state: "committing" }, 9, null), []);
    assertEquals(ledger.idempotent("r", "k", "2025-12-31T00:00:00.000Z"), null);
  });

  test("record() leaves a key to its younger transaction, in whatever order they come", (ledger) => {
    const [first, second] = [entry(1, 1, {}, "k"), entry(2, 2, {}, "k")];
    const younger = second.idempotency
      ? { ...second.idempotency, createdAt: "2026-01-03T00:00:00.000Z" }
      : null;
    ledger.record([{ ...second, idempotency: younger }, first]);
    const found = ledger.idempotent("r", "k", "2025-12-31T00:00:00.000Z");
    assertEquals(found?.transactionId, transactionId(2));
    ledger.record([entry(1, 3, { state: "failed" })]);
    assertEquals(ledger.idempotent("r", "k", "2025-12-31T00:00:00.000Z"), found);
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

  test("forgetKeysBefore() keeps the keys of sagas", (ledger) => {
    for (const [index, route] of KEPT_ROUTES.entries()) {
      const { idempotency, ...one } = entry(index + 1, 1, {}, "k");
      assert(idempotency);
      ledger.record([{ ...one, idempotency: { ...idempotency, route } }]);
    }
    ledger.forgetKeysBefore("2999-01-01T00:00:00.000Z");
    const since = keysCountSince("saga step", Date.parse("2999-01-01T00:00:00.000Z"));
    for (const [index, route] of KEPT_ROUTES.entries()) {
      assertEquals(ledger.idempotent(route, "k", since)?.transactionId, transactionId(index + 1));
    }
  });

  test("makeDurable() keeps what was recorded", async (ledger) => {
    ledger.record([entry(1, 1)]);
    await ledger.makeDurable();
    ledger.record([entry(2, 2)]);
    assertEquals(ids(ledger.list({}, 9, null)), [2, 1].map(transactionId));
  });
}

/** Every combination of filters that the entries above differ by. */
export function combinations(): LedgerFilter[] {
  const states: Partial<LedgerFilter>[] = [{}, { state: "rolled_back" }, { state: "failed" }];
  const repositories = [{}, { repository: "lib" }];
  const layers = [{}, { layer: "layer1" }];
  const tenants = [{}, { tenantId: "acme" }];
  return states.flatMap((state) =>
    repositories.flatMap((repository) =>
      layers.flatMap((layer) =>
        tenants.map((tenant) => ({ ...state, ...repository, ...layer, ...tenant }))
      )
    )
  );
}
