import { assertEquals } from "@std/assert";
import type { Branch } from "../../src/core/branch.ts";
import { digestBranches } from "../../src/core/branch_plan.ts";
import { parseParticipantName, parseTransactionId, toLsn } from "../../src/core/ids.ts";
import type { LogRecord } from "../../src/core/log_record.ts";

const transactionId = parseTransactionId("01M838F57XA0C9BZXGB3W3KB06");
const at = "2026-11-23T03:00:00.000Z";
const branch: Branch = {
  participant: parseParticipantName("pg"),
  kind: "postgres",
  key: "k1",
  context: { transactionId, tenantId: null, operationType: null, fencingToken: 1 },
  payload: null,
};
const asked: LogRecord = { kind: "asked", decision: "rolled_back", at, branches: [branch] };
const decided: LogRecord = { ...asked, decision: "committed" };
const failed: LogRecord = { kind: "branch_failed", key: "k1", reason: "no" };
const resolved: LogRecord = {
  kind: "resolved",
  transactionId,
  participant: "pg",
  outcome: "committed",
  reason: "seen",
};

function left(...records: LogRecord[]) {
  const logged = records.map((record, index) => ({ lsn: toLsn(index + 1), record }));
  return [...digestBranches(logged).values()].map((open) => [open.decision, open.contradiction]);
}

Deno.test("digestBranches() presumes abort, and never takes a decision back", () => {
  assertEquals(left(asked), [["rolled_back", null]]);
  assertEquals(left(asked, decided), [["committed", null]]);
  assertEquals(left(asked, decided, asked), [["committed", null]]);
});

Deno.test("digestBranches() drops what ended or was resolved, and keeps what contradicts", () => {
  assertEquals(left(decided, failed), [["committed", "no"]]);
  assertEquals(left(decided, failed, resolved), []);
  assertEquals(left(decided, { kind: "ended", keys: ["k1"] }), []);
});
