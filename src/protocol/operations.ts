/** Operations as a client sends them, decoded into core/operations.ts. */
import { z } from "zod";
import { LayerdError } from "../core/errors.ts";
import {
  isObjectId,
  layerRef,
  parseLayerName,
  parseRefName,
  quote,
  type RefName,
  WRITABLE_REF_PREFIXES,
} from "../core/ids.ts";
import { OPERATIONS_PER_REQUEST_MAX } from "../core/limits.ts";
import type { FileContent, LayerOrigin, Operation } from "../core/operations.ts";
import { inexactNumber } from "../core/structured_value.ts";
import {
  filePath,
  layerName,
  objectId,
  parsedString,
  participantName,
  refName,
  repositoryName,
} from "./names.ts";

const onLayer = {
  repository: repositoryName,
  layer: layerName,
  expect: z.exactOptional(z.strictObject({ commit: objectId.nullable() })),
};

function parseOrigin(text: string): LayerOrigin {
  if (isObjectId(text)) return { kind: "commit", commit: text };
  if (text.startsWith("refs/")) return { kind: "ref", ref: parseRefName(text) };
  return { kind: "layer", layer: parseLayerName(text) };
}

const createLayer = z.strictObject({
  op: z.literal("create_layer"),
  ...onLayer,
  from: parsedString(parseOrigin, { description: "A layer, a full ref or a commit id" })
    .nullable().default(null),
});

function parseBase64(text: string): Uint8Array {
  // The platform's decoder skips white space also when it is strict.
  if (/\s/.test(text)) throw new LayerdError("invalid_request", "Base64 must have no white space");
  try {
    return Uint8Array.fromBase64(text, { lastChunkHandling: "strict" });
  } catch (error) {
    const detail = "Text is not base64 of RFC 4648, section 4, with its padding";
    throw new LayerdError("invalid_request", detail, {}, error);
  }
}

const encoder = new TextEncoder();

const putFile = z.strictObject({
  op: z.literal("put_file"),
  ...onLayer,
  path: filePath,
  mode: z.enum(["100644", "100755", "120000"]).default("100644"),
  content: z.exactOptional(z.string()),
  content_base64: z.exactOptional(
    parsedString(parseBase64, { description: "Bytes in base64", contentEncoding: "base64" }),
  ),
  oid: z.exactOptional(objectId),
}).transform(({ content, content_base64, oid, ...rest }, context) => {
  const given: FileContent[] = [];
  if (content !== undefined) given.push({ kind: "inline", bytes: encoder.encode(content) });
  if (content_base64 !== undefined) given.push({ kind: "inline", bytes: content_base64 });
  if (oid !== undefined) given.push({ kind: "object", oid });
  const [source, ...others] = given;
  if (source === undefined || others.length > 0) {
    const message = "A put_file has exactly one of content, content_base64 and oid";
    context.issues.push({ code: "custom", message, input: rest, path: ["content"] });
    return z.NEVER;
  }
  return { ...rest, content: source };
}).meta({ description: "Exactly one of `content`, `content_base64` and `oid`" });

const patchFile = z.strictObject({
  op: z.literal("patch_file"),
  ...onLayer,
  path: filePath,
  merge_patch: z.json().refine((patch) => inexactNumber(patch) === null, {
    error: "A whole number beyond 2^53 cannot be carried exactly by JSON",
  }).meta({ description: "Merge patch (RFC 7386) of a JSON, JSONC, YAML, TOML or INI file" }),
}).transform(({ merge_patch, ...rest }) => ({ ...rest, mergePatch: merge_patch }));

const deleteFile = z.strictObject({ op: z.literal("delete_file"), ...onLayer, path: filePath });

const moveFile = z.strictObject({
  op: z.literal("move_file"),
  ...onLayer,
  from: filePath,
  to: filePath,
});

const mergeLayer = z.strictObject({
  op: z.literal("merge_layer"),
  ...onLayer,
  from: parsedString(parseOrigin, { description: "A layer, a full ref or a commit id" }),
});

const deleteLayer = z.strictObject({ op: z.literal("delete_layer"), ...onLayer });

function parseWritableRef(text: string): RefName {
  const ref = parseRefName(text);
  if (WRITABLE_REF_PREFIXES.some((prefix) => ref.startsWith(prefix))) return ref;
  throw new LayerdError(
    "invalid_request",
    `Ref ${quote(text)} must be under one of ${WRITABLE_REF_PREFIXES.join(", ")}`,
  );
}

const updateRef = z.strictObject({
  op: z.literal("update_ref"),
  repository: repositoryName,
  ref: parsedString(parseWritableRef, {
    description: `Full ref name under one of ${WRITABLE_REF_PREFIXES.join(", ")}`,
  }),
  new: objectId.nullable().meta({ description: "New value; null deletes the ref" }),
  expect: z.exactOptional(objectId.nullable()),
});

const verify = z.strictObject({
  op: z.literal("verify"),
  repository: repositoryName,
  layer: z.exactOptional(layerName),
  ref: z.exactOptional(refName),
  commit: objectId.nullable().meta({ description: "Expected value; null for absent" }),
}).transform(({ layer, ref, ...rest }, context) => {
  const named = layer === undefined ? ref : layerRef(layer);
  if (named === undefined || (layer !== undefined && ref !== undefined)) {
    const message = "A verify has exactly one of layer and ref";
    context.issues.push({ code: "custom", message, input: rest, path: ["layer"] });
    return z.NEVER;
  }
  return { ...rest, ref: named };
}).meta({ description: "Exactly one of `layer` and `ref`" });

const sql = z.strictObject({
  op: z.literal("sql"),
  participant: participantName,
  statements: z.array(z.strictObject({
    text: z.string().min(1),
    params: z.array(z.json()).default([]),
  })).min(1),
}).meta({ description: "Statements in one PostgreSQL transaction, in order" });

const http = z.strictObject({
  op: z.literal("http"),
  participant: participantName,
  payload: z.json(),
}).meta({ description: "What a service is asked to prepare, and later to commit or abort" });

function describeRefusal(input: unknown): string | undefined {
  if (typeof input !== "object" || input === null || Array.isArray(input)) return undefined;
  const op = "op" in input ? input.op : undefined;
  if (op === undefined) return "An operation has an op";
  return `No operation is called ${quote(String(op))}`;
}

/** One operation. */
export const operation: z.ZodType<Operation> = z.discriminatedUnion(
  "op",
  [
    createLayer,
    putFile,
    patchFile,
    deleteFile,
    moveFile,
    mergeLayer,
    deleteLayer,
    updateRef,
    verify,
    sql,
    http,
  ],
  { error: (issue) => describeRefusal(issue.input) },
).meta({ id: "Operation" });

/** A list of operations: staged whole or not at all. */
export const operationList: z.ZodType<Operation[]> = z.array(operation)
  .max(OPERATIONS_PER_REQUEST_MAX);
