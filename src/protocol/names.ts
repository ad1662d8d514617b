/** Schemas of the names and scalars that requests are made of; parsing is core/ids.ts's. */
import { z } from "zod";
import { LayerdError } from "../core/errors.ts";
import {
  type FilePath,
  type LayerName,
  type ObjectId,
  parseFilePath,
  parseLayerName,
  parseObjectId,
  parseParticipantName,
  parseRefName,
  parseRepositoryName,
  parseSavepointName,
  parseTransactionId,
  type ParticipantName,
  type RefName,
  type RepositoryName,
  type SavepointName,
  type TransactionId,
} from "../core/ids.ts";
import { LABEL_BYTES_MAX } from "../core/limits.ts";

/** What OpenAPI says about a string beyond its being one. */
interface Documentation {
  readonly description: string;
  readonly pattern?: string;
  readonly maxLength?: number;
  readonly [keyword: string]: unknown;
}

/** A string that a parser turns into `T`; the parser's text becomes the problem's detail. */
export function parsedString<T>(
  parse: (text: string) => T,
  documentation: Documentation,
): z.ZodType<T, string> {
  return z.string().transform((text, context): T => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof LayerdError) || error.code !== "invalid_request") throw error;
      context.issues.push({ code: "custom", message: error.message, input: text });
      return z.NEVER;
    }
  }).meta(documentation);
}

export const repositoryName: z.ZodType<RepositoryName, string> = parsedString(parseRepositoryName, {
  description: "Name of a registered repository",
  pattern: "^[A-Za-z0-9][A-Za-z0-9._-]*$",
  maxLength: 100,
});

export const participantName: z.ZodType<ParticipantName, string> = parsedString(
  parseParticipantName,
  {
    description: "Name of a registered participant",
    pattern: "^[A-Za-z0-9][A-Za-z0-9._-]*$",
    maxLength: 64,
  },
);

export const layerName: z.ZodType<LayerName, string> = parsedString(parseLayerName, {
  description: "One to eight `/`-separated parts of `[A-Za-z0-9._-]`, valid in a ref name",
  maxLength: 200,
});

export const refName: z.ZodType<RefName, string> = parsedString(parseRefName, {
  description: "Full ref name, `refs/...`",
});

export const objectId: z.ZodType<ObjectId, string> = parsedString(parseObjectId, {
  description: "Object id",
  pattern: "^[0-9a-f]{40}$",
});

export const filePath: z.ZodType<FilePath, string> = parsedString(parseFilePath, {
  description: "Relative path of a file in a layer, `/`-separated",
});

export const savepointName: z.ZodType<SavepointName, string> = parsedString(parseSavepointName, {
  description: "Name of a savepoint",
  pattern: "^[A-Za-z0-9._-]{1,100}$",
});

export const transactionId: z.ZodType<TransactionId, string> = parsedString(parseTransactionId, {
  description: "Id of a transaction (ULID)",
  pattern: "^[0-7][0-9A-HJKMNP-TV-Z]{25}$",
});

/** An integer of milliseconds within bounds. */
export function milliseconds(min: number, max: number): z.ZodInt {
  return z.int().min(min).max(max);
}

const encoder = new TextEncoder();

/** A string of at most so many bytes of UTF-8. */
export function textOfBytes(bytesMax: number): z.ZodString {
  return z.string().refine((text) => {
    // A UTF-16 unit becomes at most three bytes, so most texts need no encoding to be judged.
    return text.length * 3 <= bytesMax || encoder.encode(text).length <= bytesMax;
  }, { error: `Text must be at most ${bytesMax} bytes`, params: { limit: bytesMax } });
}

export const operationType: z.ZodString = textOfBytes(LABEL_BYTES_MAX).min(1).meta({
  description: "What the work is for; participants are told",
});
