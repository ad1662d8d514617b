import { assertEquals } from "@std/assert";
import {
  type Lsn,
  type ObjectId,
  parseObjectId,
  parseRefName,
  parseRepositoryId,
  parseRepositoryName,
  parseTransactionId,
  type RefName,
  type RepositoryId,
  toLsn,
} from "../../src/core/ids.ts";
import type { LoggedRecord, LogRecord, RepositoryPart } from "../../src/core/log_record.ts";
import { digestLog, planRedo, unfinishedParts } from "../../src/core/recovery_plan.ts";
import type { TransactionDocument } from "../../src/core/transaction_document.ts";

const repositoryA = parseRepositoryId("01ARZ3NDEKTSV4RRFFQ69G5FAA");
const repositoryB = parseRepositoryId("01ARZ3NDEKTSV4RRFFQ69G5FAB");
const one = oid("1"), two = oid("2"), three = oid("3");
const layer = parseRefName("refs/layers/base");

function oid(digit: string): ObjectId {
  return parseObjectId(digit.repeat(40));
}

function transactionId(number: number) {
  return parseTransactionId("01ARZ3NDEKTSV4RRFFQ69G5" + String(number).padStart(3, "0"));
}

function documentOf(number: number): TransactionDocument {
  return {
    id: transactionId(number),
    state: "committed",
    isolation: "locking",
    message: "",
    author: null,
    tenant_id: null,
    labels: {},
    created_at: "2026-01-01T00:00:00.000Z",
    updated_at: "2026-01-01T00:00:00.000Z",
    lease_expires_at: null,
    fencing_token: number,
    operations: 1,
    savepoints: [],
    locks: [],
    snapshot: [],
    results: [],
    participants: [],
    problem: null,
  };
}

function part(
  repositoryId: RepositoryId,
  old: ObjectId | null,
  next: ObjectId | null,
  ref: RefName = layer,
): RepositoryPart {
  return {
    repositoryId,
    repository: parseRepositoryName(repositoryId === repositoryA ? "a" : "b"),
    edits: [{ ref, old, new: next }],
    checks: [],
    objects: { kind: "recorded", objects: [] },
  };
}

function commit(number: number, ...parts: RepositoryPart[]): LogRecord {
  return { kind: "commit", transaction: documentOf(number), parts, idempotency: null };
}

function applied(number: number, repositoryId: RepositoryId): LogRecord {
  return { kind: "applied", transactionId: transactionId(number), repositoryId };
}

function logged(...records: LogRecord[]): LoggedRecord[] {
  return records.map((record, index) => ({ lsn: toLsn(index + 1), record }));
}

function planOf(records: LogRecord[], values: Record<string, ObjectId | null | undefined>) {
  const plan = planRedo(
    digestLog(logged(...records)).commits.values(),
    (repositoryId) => values[repositoryId],
  );
  return {
    edits: Object.fromEntries(plan.edits),
    publish: plan.publish.map(({ record }) => record.transaction.id),
    failed: plan.failed.map((failure) => failure.transactionId),
  };
}

Deno.test("planRedo() moves a ref that still holds the old value (R2)", () => {
  const plan = planOf([commit(1, part(repositoryA, one, two))], { [repositoryA]: one });
  assertEquals(plan, {
    edits: { [repositoryA]: [{ ref: layer, old: one, new: two }] },
    publish: [transactionId(1)],
    failed: [],
  });
});

Deno.test("planRedo() counts a ref with the new value as published (R1)", () => {
  const plan = planOf([commit(1, part(repositoryA, one, two))], { [repositoryA]: two });
  assertEquals(plan, { edits: {}, publish: [transactionId(1)], failed: [] });
});

Deno.test("planRedo() counts a ref with a later record's value as published (R1)", () => {
  const plan = planOf([
    commit(1, part(repositoryA, one, two)),
    commit(2, part(repositoryA, two, three)),
    applied(2, repositoryA),
  ], { [repositoryA]: three });
  assertEquals(plan, { edits: {}, publish: [transactionId(1)], failed: [] });
});

Deno.test("planRedo() moves a ref once, to the last value of its chain", () => {
  const plan = planOf([
    commit(1, part(repositoryA, one, two)),
    commit(2, part(repositoryA, two, three)),
  ], { [repositoryA]: one });
  assertEquals(plan.edits, { [repositoryA]: [{ ref: layer, old: one, new: three }] });
  assertEquals(plan.publish, [transactionId(1), transactionId(2)]);
});

Deno.test("planRedo() fails a transaction whole when one of its refs is elsewhere (R3)", () => {
  const plan = planOf([
    commit(1, part(repositoryA, one, two), part(repositoryB, one, two)),
  ], { [repositoryA]: one, [repositoryB]: three });
  assertEquals(plan, { edits: {}, publish: [], failed: [transactionId(1)] });
});

Deno.test("planRedo() publishes the reachable part of a transaction and leaves the other", () => {
  const plan = planOf([
    commit(1, part(repositoryA, one, two), part(repositoryB, one, two)),
  ], { [repositoryA]: one, [repositoryB]: undefined });
  assertEquals(plan.edits, { [repositoryA]: [{ ref: layer, old: one, new: two }] });
  assertEquals(plan.failed, []);
});

Deno.test("planRedo() publishes creation and deletion", () => {
  assertEquals(
    planOf([commit(1, part(repositoryA, null, two))], { [repositoryA]: null }).edits,
    { [repositoryA]: [{ ref: layer, old: null, new: two }] },
  );
  assertEquals(
    planOf([commit(1, part(repositoryA, two, null))], { [repositoryA]: two }).edits,
    { [repositoryA]: [{ ref: layer, old: two, new: null }] },
  );
});

Deno.test("planRedo() leaves a failed part alone and publishes the rest of the transaction", () => {
  const plan = planOf([
    commit(1, part(repositoryA, one, two), part(repositoryB, one, two)),
    {
      kind: "failed",
      transactionId: transactionId(1),
      repositoryId: repositoryB,
      reason: "abandoned",
      conflicts: [],
    },
  ], { [repositoryA]: one, [repositoryB]: three });
  assertEquals(plan.edits, { [repositoryA]: [{ ref: layer, old: one, new: two }] });
});

Deno.test("digestLog() counts a commit that a checkpoint appended again once, at its first place", () => {
  const records = logged(
    commit(1, part(repositoryA, one, two)),
    commit(1, part(repositoryA, one, two)),
    applied(1, repositoryA),
  );
  const digest = digestLog(records);
  const found = digest.commits.get(transactionId(1));
  assertEquals(digest.commits.size, 1);
  assertEquals(found?.lsn, 1 as Lsn);
  assertEquals(found && unfinishedParts(found), []);
});

Deno.test("digestLog() ends a promise by its commit or its rollback, in whatever order", () => {
  const prepared = (number: number): LogRecord => ({
    kind: "prepared",
    transaction: { ...documentOf(number), state: "prepared" },
    parts: [part(repositoryA, one, two)],
    idempotency: null,
    reliesOn: [],
  });
  const digest = digestLog(logged(
    prepared(1),
    prepared(2),
    prepared(3),
    commit(2, part(repositoryA, one, two)),
    { kind: "rolled_back", transaction: { ...documentOf(3), state: "rolled_back" } },
    // A checkpoint that appended a promise again behind its end does not revive it.
    prepared(2),
    prepared(3),
  ));
  assertEquals([...digest.prepared.keys()], [transactionId(1)]);
});

Deno.test("digestLog() knows the registrations and the tokens that are left", () => {
  const name = parseRepositoryName("app");
  const digest = digestLog(logged(
    { kind: "fencing_range", upTo: 1_000 },
    { kind: "repository_added", repositoryId: repositoryA, repository: name, path: "/a" },
    { kind: "repository_added", repositoryId: repositoryB, repository: name, path: "/b" },
    { kind: "repository_removed", repositoryId: repositoryA },
    { kind: "fencing_range", upTo: 2_000 },
  ));
  assertEquals([...digest.repositories], [[repositoryB, { name, path: "/b" }]]);
  assertEquals(digest.fencingUpTo, 2_000);
});
