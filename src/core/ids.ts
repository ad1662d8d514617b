/**
 * Types that carry their proof. A value of a branded type was made by its parser and
 * nowhere else, so code that receives one never checks it again. Parsers throw
 * `invalid_request` with a text that says what is wrong; the caller adds the field.
 */
import { LayerdError } from "./errors.ts";
import {
  LAYER_NAME_LENGTH_MAX,
  LAYER_NAME_PART_LENGTH_MAX,
  LAYER_NAME_PARTS_MAX,
  PARTICIPANT_NAME_LENGTH_MAX,
  PATH_BYTES_MAX,
  REF_NAME_BYTES_MAX,
  REPOSITORY_NAME_LENGTH_MAX,
} from "./limits.ts";

declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** ULID of a transaction. */
export type TransactionId = Branded<string, "TransactionId">;
/** A client's name for a repository: one path segment of a URL. */
export type RepositoryName = Branded<string, "RepositoryName">;
/** Random identity of a repository, kept in its owner file; survives renames and moves. */
export type RepositoryId = Branded<string, "RepositoryId">;
/** ULID of a saga. */
export type SagaId = Branded<string, "SagaId">;
/** Random identity of a write-ahead log. */
export type LogId = Branded<string, "LogId">;
/** Name of a layer, without `refs/layers/`. */
export type LayerName = Branded<string, "LayerName">;
/** Full ref name (`refs/...`), valid by `git check-ref-format`. */
export type RefName = Branded<string, "RefName">;
/** 40 lower-case hexadecimal digits (SHA-1). */
export type ObjectId = Branded<string, "ObjectId">;
/** Path of a file in a layer: relative, `/`-separated, safe on every file system. */
export type FilePath = Branded<string, "FilePath">;
/** Name of a savepoint. */
export type SavepointName = Branded<string, "SavepointName">;
/** A client's name for a participant: one path segment of a URL. */
export type ParticipantName = Branded<string, "ParticipantName">;
/** Log sequence number: counts records, rises by one, starts at 1. */
export type Lsn = Branded<number, "Lsn">;
/** Rises with every begin over the life of a log. */
export type FencingToken = Branded<number, "FencingToken">;

const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;
const OBJECT_ID = /^[0-9a-f]{40}$/;
const LAYER_PART = /^[A-Za-z0-9._-]+$/;
const REPOSITORY_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
// What `git check-ref-format` refuses anywhere in a name.
// deno-lint-ignore no-control-regex
const REF_FORBIDDEN = /[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{/;

export const LAYER_REF_PREFIX = "refs/layers/";
/** Prefixes under which `update_ref` may write (API section 3). */
export const WRITABLE_REF_PREFIXES = ["refs/heads/", "refs/tags/", "refs/layers/", "refs/notes/"];

function refuse(text: string): never {
  throw new LayerdError("invalid_request", text);
}

/** Parses a transaction id; a malformed one is `transaction_not_found`, as the contract says. */
export function parseTransactionId(text: string): TransactionId {
  if (!ULID.test(text)) {
    throw new LayerdError("transaction_not_found", `No transaction has the id ${quote(text)}`);
  }
  return text as TransactionId;
}

/** Parses a saga's id; a malformed one is `saga_not_found`. */
export function parseSagaId(text: string): SagaId {
  if (!ULID.test(text)) {
    throw new LayerdError("saga_not_found", `No saga has the id ${quote(text)}`);
  }
  return text as SagaId;
}

export function parseRepositoryId(text: string): RepositoryId {
  if (!ULID.test(text)) refuse(`Repository id ${quote(text)} is not a ULID`);
  return text as RepositoryId;
}

export function parseLogId(text: string): LogId {
  if (!ULID.test(text)) refuse(`Log id ${quote(text)} is not a ULID`);
  return text as LogId;
}

export function parseRepositoryName(text: string): RepositoryName {
  if (text.length > REPOSITORY_NAME_LENGTH_MAX || !REPOSITORY_NAME.test(text)) {
    refuse(
      `Repository name ${quote(text)} must be 1 to ${REPOSITORY_NAME_LENGTH_MAX} characters of ` +
        `A-Z a-z 0-9 . _ - and start with a letter or digit`,
    );
  }
  return text as RepositoryName;
}

export function parseParticipantName(text: string): ParticipantName {
  if (text.length > PARTICIPANT_NAME_LENGTH_MAX || !REPOSITORY_NAME.test(text)) {
    refuse(
      `Participant name ${quote(text)} must be 1 to ${PARTICIPANT_NAME_LENGTH_MAX} characters ` +
        `of A-Z a-z 0-9 . _ - and start with a letter or digit`,
    );
  }
  return text as ParticipantName;
}

export function parseObjectId(text: string): ObjectId {
  if (!OBJECT_ID.test(text)) refuse(`Object id ${quote(text)} must be 40 lower-case hex digits`);
  return text as ObjectId;
}

/** Whether the text is a full object id; for places where a ref or a layer is allowed too. */
export function isObjectId(text: string): text is ObjectId {
  return OBJECT_ID.test(text);
}

export function parseLayerName(text: string): LayerName {
  const parts = text.split("/");
  if (text.length === 0 || text.length > LAYER_NAME_LENGTH_MAX) {
    refuse(`Layer name must be 1 to ${LAYER_NAME_LENGTH_MAX} characters, not ${text.length}`);
  }
  if (parts.length > LAYER_NAME_PARTS_MAX) {
    refuse(`Layer name ${quote(text)} has more than ${LAYER_NAME_PARTS_MAX} parts`);
  }
  for (const part of parts) {
    if (!LAYER_PART.test(part) || part.length > LAYER_NAME_PART_LENGTH_MAX) {
      refuse(
        `Layer name ${quote(text)} must have parts of 1 to ${LAYER_NAME_PART_LENGTH_MAX} ` +
          `characters of A-Z a-z 0-9 . _ -`,
      );
    }
  }
  parseRefName(LAYER_REF_PREFIX + text);
  return text as LayerName;
}

/** Parses a full ref name by the rules of `git check-ref-format`. */
export function parseRefName(text: string): RefName {
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > REF_NAME_BYTES_MAX) refuse(`Ref name is longer than ${REF_NAME_BYTES_MAX} bytes`);
  const parts = text.split("/");
  const partIsBad = (part: string) =>
    part === "" || part.startsWith(".") || part.endsWith(".lock") || part.endsWith(".");
  if (
    !text.startsWith("refs/") || parts.length < 3 || parts.some(partIsBad) ||
    REF_FORBIDDEN.test(text) || !text.isWellFormed()
  ) {
    refuse(`Ref name ${quote(text)} is not a full ref name that git accepts`);
  }
  return text as RefName;
}

export function layerRef(layer: LayerName): RefName {
  return (LAYER_REF_PREFIX + layer) as RefName;
}

/**
 * The layer that a ref is, or null for a ref outside `refs/layers/` and for one whose
 * name native git accepted but the contract's layer names exclude.
 */
export function layerOfRef(ref: RefName): LayerName | null {
  if (!ref.startsWith(LAYER_REF_PREFIX)) return null;
  const name = ref.slice(LAYER_REF_PREFIX.length);
  try {
    return parseLayerName(name);
  } catch {
    return null;
  }
}

/**
 * Parses the path of a file in a layer. Refused are `.git` parts also in the spellings
 * that HFS+ (ignorable code points) and NTFS (`git~1`, trailing dots and spaces, streams)
 * take for `.git`: such a tree would harm whoever checks it out. The list is git's own
 * (`verify_path`, `is_hfs_dotgit`, `is_ntfs_dotgit`).
 */
export function parseFilePath(text: string): FilePath {
  if (text === "") refuse("Path must not be empty");
  if (!text.isWellFormed()) refuse("Path must be valid Unicode without lone surrogates");
  if (text.includes("\0")) refuse("Path must not contain NUL");
  if (new TextEncoder().encode(text).length > PATH_BYTES_MAX) {
    refuse(`Path must be at most ${PATH_BYTES_MAX} bytes`);
  }
  if (text.startsWith("/")) refuse(`Path ${quote(text)} must be relative`);
  for (const part of text.split("/")) {
    if (part === "" || part === "." || part === "..") {
      refuse(`Path ${quote(text)} must not have an empty, "." or ".." part`);
    }
    if (isDotGit(part)) refuse(`Path ${quote(text)} must not have a ".git" part or an alias of it`);
  }
  return text as FilePath;
}

// Code points that HFS+ ignores in names; git's list in utf8.c (next_hfs_char).
const HFS_IGNORED = /[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g;

function isDotGit(part: string): boolean {
  const folded = part.replace(HFS_IGNORED, "").toLowerCase();
  if (folded === ".git") return true;
  // NTFS drops trailing dots and spaces, takes ":" for a stream and "\" for a separator.
  return folded.split("\\").some((piece) => /^(\.git|git~1)[. ]*(:.*)?$/s.test(piece));
}

export function parseSavepointName(text: string): SavepointName {
  if (!/^[A-Za-z0-9._-]{1,100}$/.test(text)) {
    refuse(`Savepoint name ${quote(text)} must be 1 to 100 characters of A-Z a-z 0-9 . _ -`);
  }
  return text as SavepointName;
}

export function toLsn(value: number): Lsn {
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`BUG: LSN ${value}`);
  return value as Lsn;
}

export function toFencingToken(value: number): FencingToken {
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`BUG: fencing token ${value}`);
  return value as FencingToken;
}

/** Quotes a client's text for a message, shortened so that a message stays readable. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 120 ? text.slice(0, 117) + "..." : text);
}
