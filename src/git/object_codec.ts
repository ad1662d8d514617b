/**
 * Git's object formats, encoded and decoded with the platform's SHA-1 and zlib.
 *
 * Encoding is exact: tests compare it byte for byte with isomorphic-git and `git fsck`.
 * Decoding is lenient, since repositories hold what old and strange tools wrote: text that
 * is not UTF-8 is shown with replacement characters, unknown headers are passed over. What
 * was decoded is never encoded again; trees are rewritten by their bytes (parsed_tree.ts).
 */
import { createHash, hash } from "node:crypto";
import { constants, inflateSync } from "node:zlib";
import { LayerdError } from "../core/errors.ts";
import type { ObjectId } from "../core/ids.ts";
import type { ObjectType } from "../core/log_record.ts";
import type { CommitFields, GitObject, Signature } from "./repository.ts";

/** Of the tree without entries, which git knows without its being stored. */
export const EMPTY_TREE_ID = "4b825dc642cb6eb9a060e54bf8d69288fbee4904" as ObjectId;

const encoder = new TextEncoder();
const NUL = 0;
/** Longest header of a loose object that git writes: type, blank, size, NUL. */
const HEADER_BYTES_MAX = 32;
/** Up to here a copy beside the header, hashed in one call, costs less than a hash object. */
const COPIED_BYTES_MAX = 16_384;

/** `<type> <size>` with the closing NUL, which stands before a body where it is hashed or stored. */
export function objectHeader(type: ObjectType, size: number): Uint8Array {
  return encoder.encode(`${type} ${size}\0`);
}

/** The id of an object. */
export function objectId(type: ObjectType, body: Uint8Array): ObjectId {
  const header = objectHeader(type, body.length);
  if (body.length > COPIED_BYTES_MAX) {
    return createHash("sha1").update(header).update(body).digest("hex") as ObjectId;
  }
  const whole = new Uint8Array(header.length + body.length);
  whole.set(header);
  whole.set(body, header.length);
  return hash("sha1", whole) as ObjectId;
}

/** The same memory without Node's Buffer methods, which differ from Uint8Array's. */
function plainBytes(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** Reads a loose object's file; null where it is damaged (torn, or not what its name says). */
export function decodeLoose(oid: ObjectId, file: Uint8Array): GitObject | null {
  let whole: Uint8Array;
  try {
    whole = plainBytes(inflateSync(file));
  } catch {
    return null;
  }
  const header = parseHeader(whole);
  if (header === null || whole.length - header.length !== header.size) return null;
  const body = whole.subarray(header.length);
  return objectId(header.type, body) === oid ? { type: header.type, body } : null;
}

/** Type and size from the first bytes of a loose object's file; null where it is damaged. */
export function decodeLooseHeader(start: Uint8Array): { type: ObjectType; size: number } | null {
  try {
    const whole = inflateSync(start, { finishFlush: constants.Z_SYNC_FLUSH });
    const header = parseHeader(whole);
    return header === null ? null : { type: header.type, size: header.size };
  } catch {
    return null;
  }
}

function parseHeader(
  whole: Uint8Array,
): { readonly type: ObjectType; readonly size: number; readonly length: number } | null {
  const end = whole.indexOf(NUL);
  if (end < 0 || end > HEADER_BYTES_MAX) return null;
  const match = new TextDecoder().decode(whole.subarray(0, end)).match(/^([a-z]+) ([0-9]+)$/);
  const type = match?.[1] ?? "";
  if (!isObjectType(type)) return null;
  return { type, size: Number(match?.[2]), length: end + 1 };
}

export function isObjectType(text: string): text is ObjectType {
  return text === "blob" || text === "tree" || text === "commit" || text === "tag";
}

/** The body of a commit. The message ends with a newline, as git and isomorphic-git make it. */
export function encodeCommit(commit: CommitFields): Uint8Array {
  const lines = [
    `tree ${commit.tree}`,
    ...commit.parents.map((parent) => `parent ${parent}`),
    `author ${signatureText(commit.author)}`,
    `committer ${signatureText(commit.committer)}`,
    "",
    commit.message.endsWith("\n") ? commit.message : commit.message + "\n",
  ];
  return encoder.encode(lines.join("\n"));
}

function signatureText({ name, email, atSeconds }: Signature): string {
  return `${name} <${email}> ${atSeconds} +0000`;
}

const HEADER_LINE = /^([a-z-]+) ([^]*)$/;
const SIGNATURE = /^(.*?) ?<([^>]*)>(?: (-?[0-9]+)(?: [+-][0-9]+)?)?/;

/** Reads a commit's body; throws `git_error` where it names no tree. */
export function parseCommit(body: Uint8Array, oid: ObjectId): CommitFields {
  const text = decoderFor(body).decode(body);
  const end = text.indexOf("\n\n");
  const head = (end < 0 ? text : text.slice(0, end)).replace(/\n /g, " ");
  const headers = head.split("\n").map((line) => line.match(HEADER_LINE));
  const valuesOf = (name: string) =>
    headers.flatMap((match) => match?.[1] === name ? [match[2] ?? ""] : []);
  const tree = valuesOf("tree")[0] ?? "";
  const parents = valuesOf("parent");
  if (!isHexId(tree) || !parents.every(isHexId)) {
    throw new LayerdError("git_error", `Commit ${oid} is damaged: its headers name no objects`);
  }
  return {
    tree,
    parents: parents.filter(isHexId),
    author: parseSignature(valuesOf("author")[0] ?? ""),
    committer: parseSignature(valuesOf("committer")[0] ?? ""),
    message: end < 0 ? "" : text.slice(end + 2),
  };
}

function isHexId(text: string): text is ObjectId {
  return /^[0-9a-f]{40}$/.test(text);
}

/** Commits say in which encoding they are, where it is not UTF-8. */
function decoderFor(body: Uint8Array): TextDecoder {
  const start = new TextDecoder("latin1").decode(body.subarray(0, 4_096));
  const head = start.slice(0, start.indexOf("\n\n") < 0 ? undefined : start.indexOf("\n\n"));
  const label = head.match(/^encoding (.+)$/m)?.[1] ?? "utf-8";
  try {
    return new TextDecoder(label, { ignoreBOM: true });
  } catch {
    return new TextDecoder("utf-8", { ignoreBOM: true });
  }
}

function parseSignature(text: string): Signature {
  const match = text.match(SIGNATURE);
  if (match === null) return { name: text, email: "", atSeconds: 0 };
  return { name: match[1] ?? "", email: match[2] ?? "", atSeconds: Number(match[3] ?? 0) };
}
