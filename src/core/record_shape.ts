/**
 * The shape of a log record's head: JSON in, a {@link LogRecord} out, every field looked at.
 * A checksum vouches for bytes, not for the program that wrote them: what a bug or another
 * version left there must not surface as a TypeError in the middle of recovery.
 *
 * Errors are plain ones that name the field: `Log record's parts[0].edits[1].ref ...`.
 */
import {
  parseObjectId,
  parseRefName,
  parseRepositoryId,
  parseRepositoryName,
  parseTransactionId,
  toLsn,
} from "./ids.ts";
import { branchAt } from "./branch_shape.ts";
import { documentAt, refConflictAt } from "./document_shape.ts";
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
import type {
  IdempotencyEntry,
  LogRecord,
  ReliedObjects,
  RepositoryPart,
  WrittenObjects,
} from "./log_record.ts";
import { OBJECT_TYPES } from "./log_record.ts";
import type { RefCheck, RefEdit } from "./ref_edit.ts";

/** Gives the next bytes of the record's binary part, so many of them. */
export type TakeBytes = (length: number) => Uint8Array;

/** Reads the head of a record. `take` is asked once for each file, in order. */
export function recordOf(head: unknown, take: TakeBytes): LogRecord {
  const fields = fieldsAt(head, "head");
  const text = (name: string) => textAt(fields[name], name);
  const integer = (name: string) => integerAt(fields[name], name);
  const transactionId = () =>
    parsedAt(fields["transactionId"], "transactionId", parseTransactionId);
  const repositoryId = () => parsedAt(fields["repositoryId"], "repositoryId", parseRepositoryId);
  const repository = () => parsedAt(fields["repository"], "repository", parseRepositoryName);
  const kind = text("kind");
  switch (kind) {
    case "incarnation":
      return {
        kind,
        incarnation: integer("incarnation"),
        startedAt: text("startedAt"),
        version: text("version"),
      };
    case "fencing_range":
      return { kind, upTo: integer("upTo") };
    case "repository_added":
      return {
        kind,
        repositoryId: repositoryId(),
        repository: repository(),
        path: text("path"),
      };
    case "repository_removed":
      return { kind, repositoryId: repositoryId() };
    case "commit":
      return { kind, ...decidedAt(fields, take) };
    case "prepared":
      return {
        kind,
        ...decidedAt(fields, take),
        reliesOn: listAt(fields["reliesOn"], "reliesOn", reliedAt),
      };
    case "asked":
      return {
        kind,
        decision: oneOfAt(fields["decision"], "decision", ["committed", "rolled_back"]),
        at: text("at"),
        branches: listAt(fields["branches"], "branches", branchAt),
      };
    case "branch_failed":
      return { kind, key: text("key"), reason: text("reason") };
    case "ended":
      return { kind, keys: listAt(fields["keys"], "keys", textAt) };
    case "rolled_back":
      return { kind, transaction: documentAt(fields["transaction"], "transaction") };
    case "applied":
      return { kind, transactionId: transactionId(), repositoryId: repositoryId() };
    case "failed":
      return {
        kind,
        transactionId: transactionId(),
        repositoryId: repositoryId(),
        reason: text("reason"),
        conflicts: listAt(fields["conflicts"], "conflicts", refConflictAt),
      };
    case "resolved":
      return {
        kind,
        transactionId: transactionId(),
        participant: text("participant"),
        outcome: oneOfAt(fields["outcome"], "outcome", ["committed", "rolled_back"]),
        reason: text("reason"),
      };
    case "checkpoint":
      return { kind, redoLsn: toLsn(integer("redoLsn")) };
    default:
      throw new Error(`Log record has the unknown kind ${JSON.stringify(kind)}`);
  }
}

/** What the records of a decision and of a promise have in common. */
function decidedAt(fields: Record<string, unknown>, take: TakeBytes) {
  return {
    transaction: documentAt(fields["transaction"], "transaction"),
    parts: listAt(fields["parts"], "parts", (part, path) => partAt(part, path, take)),
    idempotency: nullableAt(fields["idempotency"], "idempotency", idempotencyAt),
    ...fields["branches"] === undefined
      ? {}
      : { branches: listAt(fields["branches"], "branches", branchAt) },
  };
}

function reliedAt(value: unknown, path: string): ReliedObjects {
  const fields = fieldsAt(value, path);
  return {
    repositoryId: parsedAt(fields["repositoryId"], at(path, "repositoryId"), parseRepositoryId),
    objects: listAt(fields["objects"], at(path, "objects"), objectIdAt),
  };
}

function partAt(value: unknown, path: string, take: TakeBytes): RepositoryPart {
  const fields = fieldsAt(value, path);
  return {
    repositoryId: parsedAt(fields["repositoryId"], at(path, "repositoryId"), parseRepositoryId),
    repository: parsedAt(fields["repository"], at(path, "repository"), parseRepositoryName),
    edits: listAt(fields["edits"], at(path, "edits"), editAt),
    checks: listAt(fields["checks"], at(path, "checks"), checkAt),
    objects: objectsAt(fields["objects"], at(path, "objects"), take),
  };
}

function editAt(value: unknown, path: string): RefEdit {
  const fields = fieldsAt(value, path);
  return {
    ref: parsedAt(fields["ref"], at(path, "ref"), parseRefName),
    old: nullableAt(fields["old"], at(path, "old"), objectIdAt),
    new: nullableAt(fields["new"], at(path, "new"), objectIdAt),
  };
}

function checkAt(value: unknown, path: string): RefCheck {
  const fields = fieldsAt(value, path);
  return {
    ref: parsedAt(fields["ref"], at(path, "ref"), parseRefName),
    expected: nullableAt(fields["expected"], at(path, "expected"), objectIdAt),
  };
}

function objectsAt(value: unknown, path: string, take: TakeBytes): WrittenObjects {
  const fields = fieldsAt(value, path);
  const kind = oneOfAt(fields["kind"], at(path, "kind"), ["recorded", "pack", "loose"]);
  if (kind === "loose") return withoutFilesAt(fields["files"], at(path, "files"));
  if (kind === "pack") return { kind, name: textAt(fields["name"], at(path, "name")) };
  const objects = listAt(fields["objects"], at(path, "objects"), (object, objectPath) => {
    const { oid, type, size, bytes } = fieldsAt(object, objectPath);
    const length = integerAt(bytes, at(objectPath, "bytes"));
    return {
      oid: objectIdAt(oid, at(objectPath, "oid")),
      type: oneOfAt(type, at(objectPath, "type"), OBJECT_TYPES),
      size: integerAt(size, at(objectPath, "size")),
      bytes: take(length),
    };
  });
  return { kind, objects };
}

/** Of format version 1. */
function withoutFilesAt(value: unknown, path: string): WrittenObjects {
  if (listAt(value, path, (file) => file).length === 0) return { kind: "recorded", objects: [] };
  throw new Error(
    `Log record holds objects at ${path} in the form of an older layerd: start that one once ` +
      `more and stop it cleanly`,
  );
}

function idempotencyAt(value: unknown, path: string): IdempotencyEntry {
  const fields = fieldsAt(value, path);
  const text = (name: string) => textAt(fields[name], at(path, name));
  return {
    route: text("route"),
    key: text("key"),
    requestHash: text("requestHash"),
    transactionId: parsedAt(fields["transactionId"], at(path, "transactionId"), parseTransactionId),
    createdAt: text("createdAt"),
  };
}

function objectIdAt(value: unknown, path: string) {
  return parsedAt(value, path, parseObjectId);
}
