/** The shape of a transaction's document where it is read back from the log. */
import type { RefConflict } from "./errors.ts";
import { parseTransactionId } from "./ids.ts";
import {
  at,
  fieldsAt,
  integerAt,
  listAt,
  nullableAt,
  oneOfAt,
  parsedAt,
  textAt,
} from "./json_shape.ts";
import {
  type Identity,
  type ParticipantDocument,
  type ProblemSummary,
  type RefResult,
  TRANSACTION_STATES,
  type TransactionDocument,
} from "./transaction_document.ts";

export function documentAt(value: unknown, path: string): TransactionDocument {
  const fields = fieldsAt(value, path);
  const text = (name: string) => textAt(fields[name], at(path, name));
  const integer = (name: string) => integerAt(fields[name], at(path, name));
  const nullableText = (name: string) => nullableAt(fields[name], at(path, name), textAt);
  const list = <T>(name: string, each: (item: unknown, path: string) => T) =>
    listAt(fields[name], at(path, name), each);
  return {
    id: parsedAt(fields["id"], at(path, "id"), parseTransactionId),
    state: oneOfAt(fields["state"], at(path, "state"), TRANSACTION_STATES),
    isolation: oneOfAt(fields["isolation"], at(path, "isolation"), ["locking", "optimistic"]),
    message: text("message"),
    author: nullableAt(fields["author"], at(path, "author"), identityAt),
    tenant_id: nullableText("tenant_id"),
    labels: labelsAt(fields["labels"], at(path, "labels")),
    created_at: text("created_at"),
    updated_at: text("updated_at"),
    lease_expires_at: nullableText("lease_expires_at"),
    fencing_token: integer("fencing_token"),
    operations: integer("operations"),
    savepoints: list("savepoints", textAt),
    locks: list("locks", (item, itemPath) => {
      const lock = fieldsAt(item, itemPath);
      const mode = oneOfAt(lock["mode"], at(itemPath, "mode"), ["shared", "exclusive"]);
      return { ...placeAt(item, itemPath), mode };
    }),
    snapshot: list("snapshot", (item, itemPath) => {
      const { commit } = fieldsAt(item, itemPath);
      const seen = nullableAt(commit, at(itemPath, "commit"), textAt);
      return { ...placeAt(item, itemPath), commit: seen };
    }),
    results: list("results", resultAt),
    participants: list("participants", participantAt),
    problem: nullableAt(fields["problem"], at(path, "problem"), problemAt),
  };
}

export function refConflictAt(value: unknown, path: string): RefConflict {
  const fields = fieldsAt(value, path);
  const nullableText = (name: string) => nullableAt(fields[name], at(path, name), textAt);
  return {
    repository: textAt(fields["repository"], at(path, "repository")),
    ref: textAt(fields["ref"], at(path, "ref")),
    layer: nullableText("layer"),
    expected: nullableText("expected"),
    actual: nullableText("actual"),
    ...fields["path"] === undefined ? {} : { path: textAt(fields["path"], at(path, "path")) },
    ...fields["key"] === undefined ? {} : { key: textAt(fields["key"], at(path, "key")) },
    ...fields["reason"] === undefined
      ? {}
      : { reason: textAt(fields["reason"], at(path, "reason")) },
  };
}

function placeAt(value: unknown, path: string): { repository: string; layer: string } {
  const { repository, layer } = fieldsAt(value, path);
  return {
    repository: textAt(repository, at(path, "repository")),
    layer: textAt(layer, at(path, "layer")),
  };
}

function identityAt(value: unknown, path: string): Identity {
  const { name, email } = fieldsAt(value, path);
  return { name: textAt(name, at(path, "name")), email: textAt(email, at(path, "email")) };
}

function labelsAt(value: unknown, path: string): Record<string, string> {
  const labels = Object.entries(fieldsAt(value, path));
  return Object.fromEntries(labels.map(([name, label]) => [name, textAt(label, at(path, name))]));
}

function resultAt(value: unknown, path: string): RefResult {
  const fields = fieldsAt(value, path);
  return {
    ...placeAt(value, path),
    ref: textAt(fields["ref"], at(path, "ref")),
    old: nullableAt(fields["old"], at(path, "old"), textAt),
    new: nullableAt(fields["new"], at(path, "new"), textAt),
  };
}

const KINDS = ["git", "postgres", "http"] as const;
const VOTES = ["prepared", "read_only", "abort"] as const;
const OUTCOMES = ["committed", "rolled_back", "in_doubt", "failed"] as const;

function participantAt(value: unknown, path: string): ParticipantDocument {
  const { name, kind, vote, outcome } = fieldsAt(value, path);
  return {
    name: textAt(name, at(path, "name")),
    kind: oneOfAt(kind, at(path, "kind"), KINDS),
    vote: nullableAt(vote, at(path, "vote"), (one, where) => oneOfAt(one, where, VOTES)),
    outcome: nullableAt(
      outcome,
      at(path, "outcome"),
      (one, where) => oneOfAt(one, where, OUTCOMES),
    ),
  };
}

function problemAt(value: unknown, path: string): ProblemSummary {
  const { code, detail, conflicts, participants } = fieldsAt(value, path);
  const problem = {
    code: textAt(code, at(path, "code")),
    detail: textAt(detail, at(path, "detail")),
  };
  return {
    ...problem,
    ...conflicts === undefined
      ? {}
      : { conflicts: listAt(conflicts, at(path, "conflicts"), refConflictAt) },
    ...participants === undefined
      ? {}
      : { participants: listAt(participants, at(path, "participants"), refusalAt) },
  };
}

function refusalAt(value: unknown, path: string): { name: string; reason: string } {
  const { name, reason } = fieldsAt(value, path);
  return { name: textAt(name, at(path, "name")), reason: textAt(reason, at(path, "reason")) };
}
