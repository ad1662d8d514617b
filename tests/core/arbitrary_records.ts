/** Log records of every kind, for property tests. */
import fc from "fast-check";
import {
  parseObjectId,
  parseParticipantName,
  parseRefName,
  parseRepositoryId,
  parseRepositoryName,
  parseTransactionId,
  toLsn,
} from "../../src/core/ids.ts";
import { type LogRecord, OBJECT_TYPES } from "../../src/core/log_record.ts";
import {
  TRANSACTION_STATES,
  type TransactionDocument,
} from "../../src/core/transaction_document.ts";

const ulids = fc.string({
  unit: fc.constantFrom(..."0123456789ABCDEFGHJKMNPQRSTVWXYZ"),
  minLength: 25,
  maxLength: 25,
}).map((text) => `0${text}`);
const transactionIds = ulids.map(parseTransactionId);
const repositoryIds = ulids.map(parseRepositoryId);
const repositories = fc.constantFrom("app", "lib").map(parseRepositoryName);
const objectIds = fc.string({
  unit: fc.constantFrom(..."0123456789abcdef"),
  minLength: 40,
  maxLength: 40,
}).map(parseObjectId);
const refs = fc.constantFrom("refs/layers/base", "refs/tags/v1").map(parseRefName);
const counts = fc.maxSafeNat();
// Lone surrogates too: a message of native git may have them.
const texts = fc.oneof(
  { weight: 9, arbitrary: fc.string({ unit: "binary", maxLength: 12 }) },
  { weight: 1, arbitrary: fc.constant("\ud800") },
);
const few = { maxLength: 3 };

const place = { repository: texts, layer: texts };
const conflicts = fc.array(
  fc.record({
    repository: texts,
    ref: texts,
    layer: fc.option(texts),
    expected: fc.option(texts),
    actual: fc.option(texts),
  }),
  few,
);

const documents: fc.Arbitrary<TransactionDocument> = fc.record({
  id: ulids,
  state: fc.constantFrom(...TRANSACTION_STATES),
  isolation: fc.constantFrom("locking" as const, "optimistic" as const),
  message: texts,
  author: fc.option(fc.record({ name: texts, email: texts })),
  tenant_id: fc.option(texts),
  labels: fc.dictionary(fc.oneof(texts, fc.constant("__proto__")), texts, { maxKeys: 3 }),
  created_at: texts,
  updated_at: texts,
  lease_expires_at: fc.option(texts),
  fencing_token: counts,
  operations: counts,
  savepoints: fc.array(texts, few),
  locks: fc.array(
    fc.record({ ...place, mode: fc.constantFrom("shared" as const, "exclusive" as const) }),
    few,
  ),
  snapshot: fc.array(fc.record({ ...place, commit: fc.option(texts) }), few),
  results: fc.array(
    fc.record({ ...place, ref: texts, old: fc.option(texts), new: fc.option(texts) }),
    few,
  ),
  participants: fc.array(
    fc.record({
      name: texts,
      kind: fc.constantFrom("git" as const, "postgres" as const, "http" as const),
      vote: fc.constantFrom("prepared" as const, "read_only" as const, "abort" as const, null),
      outcome: fc.constantFrom("committed" as const, "in_doubt" as const, "failed" as const, null),
    }),
    few,
  ),
  problem: fc.option(
    fc.record({
      code: texts,
      detail: texts,
      conflicts,
      participants: fc.array(fc.record({ name: texts, reason: texts }), few),
    }, { requiredKeys: ["code", "detail"] }),
  ),
});

const objects = fc.oneof(
  fc.record({
    kind: fc.constant("recorded" as const),
    objects: fc.array(fc.record({
      oid: objectIds,
      type: fc.constantFrom(...OBJECT_TYPES),
      size: fc.nat(),
      bytes: fc.uint8Array({ maxLength: 300 }),
    })),
  }),
  fc.record({ kind: fc.constant("pack" as const), name: texts }),
);
const parts = fc.array(
  fc.record({
    repositoryId: repositoryIds,
    repository: repositories,
    edits: fc.array(
      fc.record({ ref: refs, old: fc.option(objectIds), new: fc.option(objectIds) }),
      few,
    ),
    checks: fc.array(fc.record({ ref: refs, expected: fc.option(objectIds) }), few),
    objects,
  }),
  { maxLength: 4 },
);
const idempotency = fc.option(
  fc.record({
    route: texts,
    key: texts,
    requestHash: texts,
    transactionId: transactionIds,
    createdAt: texts,
  }),
);
const reliesOn = fc.array(
  fc.record({ repositoryId: repositoryIds, objects: fc.array(objectIds, few) }),
  few,
);
const decisions = fc.constantFrom("committed" as const, "rolled_back" as const);
const branches = fc.array(
  fc.record({
    participant: fc.constantFrom("pg", "flags").map(parseParticipantName),
    kind: fc.constantFrom("postgres" as const, "http" as const),
    key: texts,
    context: fc.record({
      transactionId: transactionIds,
      tenantId: fc.option(texts),
      operationType: fc.option(texts),
      fencingToken: counts,
    }),
    payload: fc.oneof(fc.constant(null), fc.constant({ set: { a: [1, "b"] } })),
  }),
  few,
);
const part = { transactionId: transactionIds, repositoryId: repositoryIds };

// By kind, so that a new kind of record does not compile before it is here.
const BY_KIND: { [K in LogRecord["kind"]]: fc.Arbitrary<LogRecord & { kind: K }> } = {
  incarnation: ofKind("incarnation", { incarnation: counts, startedAt: texts, version: texts }),
  fencing_range: ofKind("fencing_range", { upTo: counts }),
  repository_added: ofKind("repository_added", {
    repositoryId: repositoryIds,
    repository: repositories,
    path: texts,
  }),
  repository_removed: ofKind("repository_removed", { repositoryId: repositoryIds }),
  commit: ofKind("commit", { transaction: documents, parts, idempotency, branches }),
  prepared: ofKind("prepared", { transaction: documents, parts, idempotency, reliesOn }),
  rolled_back: ofKind("rolled_back", { transaction: documents }),
  asked: ofKind("asked", { decision: decisions, at: texts, branches }),
  branch_failed: ofKind("branch_failed", { key: texts, reason: texts }),
  ended: ofKind("ended", { keys: fc.array(texts, few) }),
  applied: ofKind("applied", part),
  failed: ofKind("failed", { ...part, reason: texts, conflicts }),
  resolved: ofKind("resolved", {
    transactionId: transactionIds,
    participant: texts,
    outcome: fc.constantFrom("committed" as const, "rolled_back" as const),
    reason: texts,
  }),
  checkpoint: ofKind("checkpoint", { redoLsn: counts.map(toLsn) }),
};

function ofKind<K extends string, T extends object>(
  kind: K,
  fields: { [F in keyof T]: fc.Arbitrary<T[F]> },
): fc.Arbitrary<T & { kind: K }> {
  // The clone has no null prototypes, which fast-check likes and JSON does not know.
  return fc.record(fields).map((record) => structuredClone({ ...record, kind }));
}

export const records: fc.Arbitrary<LogRecord> = fc.oneof(...Object.values(BY_KIND));

/** Only records that carry bytes. */
export const commits = BY_KIND.commit;
