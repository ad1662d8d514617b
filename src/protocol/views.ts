/** Requests and answers of stacks and views. */
import { z } from "zod";
import { LayerdError } from "../core/errors.ts";
import { parseLayerName, quote } from "../core/ids.ts";
import { GLOB_LENGTH_MAX, MERGE_RULES_MAX, STACK_LAYERS_MAX } from "../core/limits.ts";
import { filePath, layerName, parsedString, transactionId } from "./names.ts";
import { queryFlag } from "./query.ts";

/** Throws `invalid_request`; a stack's name is a file's too. */
export function parseStackName(text: string): string {
  if (/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$/.test(text)) return text;
  throw new LayerdError(
    "invalid_request",
    `Stack name ${quote(text)} must be 1 to 100 characters of A-Z a-z 0-9 . _ - and not begin ` +
      "with a dot",
  );
}

const stackName = parsedString(parseStackName, {
  description: "Name of a stack",
  pattern: "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$",
});

function requireDifferent(layers: readonly string[]): boolean {
  return new Set(layers).size === layers.length;
}

const mergeRule = z.strictObject({
  glob: z.string().min(1).max(GLOB_LENGTH_MAX).meta({
    description: "`*`, `?` and `**`; without `/` it matches the last part of a path",
  }),
  strategy: z.enum(["replace", "deep"]),
});

/** `PUT /v1/repositories/{name}/stacks/{stack}` */
export const stackBody = z.strictObject({
  layers: z.array(layerName).min(1).max(STACK_LAYERS_MAX).refine(requireDifferent, {
    error: "A layer stands in a stack once",
  }).meta({ description: "Lowest first" }),
  merge: z.array(mergeRule).max(MERGE_RULES_MAX).default([]).meta({
    description: "The first rule whose glob matches decides; without one files are replaced",
  }),
}).meta({ id: "PutStack" });

/** `GET /v1/repositories/{name}/view` */
export const viewQuery = z.strictObject({
  stack: z.exactOptional(stackName),
  layers: z.exactOptional(parsedString((text) => text.split(",").map(parseLayerName), {
    description: "Layers, lowest first, with commas between them; their files replace each other",
  })),
  path: z.exactOptional(filePath.meta({ description: "Only this file, with its content" })),
  explain: queryFlag.default(false),
  transaction: z.exactOptional(transactionId.meta({
    description: "Read inside this transaction",
  })),
}).refine(({ stack, layers }) => (stack === undefined) !== (layers === undefined), {
  error: "A view has exactly one of stack and layers",
  path: ["stack"],
}).refine(({ layers = [] }) => layers.length <= STACK_LAYERS_MAX && requireDifferent(layers), {
  error: `Layers are at most ${STACK_LAYERS_MAX}, each once`,
  path: ["layers"],
});

export const stack = z.object({
  name: z.string(),
  layers: z.array(z.string()),
  merge: z.array(z.object({ glob: z.string(), strategy: z.enum(["replace", "deep"]) })),
}).meta({ id: "Stack" });

export const stackAnswer = z.object({ stack });
export const stacksAnswer = z.object({ stacks: z.array(stack) });

const place = {
  layer: z.string(),
  commit: z.string().nullable().meta({ description: "Tip of the layer" }),
  line: z.int().nullable(),
};

const origin = z.object({
  key: z.string().nullable().meta({ description: "Null for the file itself" }),
  ...place,
  removed: z.boolean().meta({ description: "The layer removes the key from those below it" }),
  hides: z.array(z.object(place)).meta({ description: "Highest first" }),
});

export const viewAnswer = z.object({
  files: z.array(z.object({
    path: z.string(),
    mode: z.string(),
    size: z.int(),
    oid: z.string().meta({ description: "Blob id of the composed content" }),
    layer: z.string().meta({ description: "The highest layer that has the file" }),
    commit: z.string().nullable(),
    content: z.exactOptional(z.string()),
    content_base64: z.exactOptional(z.string().meta({ contentEncoding: "base64" })),
    origins: z.exactOptional(z.array(origin)),
  })),
});
