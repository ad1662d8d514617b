/** Requests on repositories and the reads of their layers. */
import { z } from "zod";
import { LayerdError } from "../core/errors.ts";
import { quote } from "../core/ids.ts";
import { PATH_BYTES_MAX } from "../core/limits.ts";
import { cursorOf } from "./cursor.ts";
import {
  filePath,
  layerName,
  objectId,
  parsedString,
  repositoryName,
  transactionId,
} from "./names.ts";
import { pageLimit, queryFlag } from "./query.ts";

function parseAbsolutePath(text: string): string {
  if (!text.startsWith("/")) {
    throw new LayerdError("invalid_request", `Path ${quote(text)} must be absolute`);
  }
  if (text.includes("\0")) {
    throw new LayerdError("invalid_request", "Path must not contain NUL");
  }
  if (new TextEncoder().encode(text).length > PATH_BYTES_MAX) {
    throw new LayerdError("invalid_request", `Path must be at most ${PATH_BYTES_MAX} bytes`);
  }
  return text;
}

const absolutePath = parsedString(parseAbsolutePath, { description: "Absolute path" });

/** `POST /v1/repositories` */
export const addRepositoryBody = z.strictObject({
  name: repositoryName,
  path: absolutePath,
  adopt: z.boolean().default(false).meta({
    description: "An operator decided that this daemon takes over a repository of another log",
  }),
}).meta({ id: "AddRepository" });

/** `GET /v1/repositories` */
export const repositoriesQuery = z.strictObject({
  path: z.exactOptional(absolutePath.meta({ description: "Anywhere inside the work tree" })),
});

/** `DELETE /v1/repositories/{name}` */
export const removeRepositoryQuery = z.strictObject({ abandon: queryFlag.default(false) });

/** `GET /v1/repositories/{name}/layers` */
export const layersQuery = z.strictObject({
  prefix: z.string().default(""),
  limit: pageLimit,
  cursor: z.exactOptional(cursorOf("layers", (last) => last)),
});

const readPoint = {
  layer: layerName,
  transaction: z.exactOptional(transactionId.meta({
    description: "Read inside this transaction",
  })),
  at: z.exactOptional(objectId.meta({ description: "Read at this commit" })),
};

function notBoth(query: { readonly transaction?: unknown; readonly at?: unknown }): boolean {
  return query.transaction === undefined || query.at === undefined;
}

const NOT_BOTH = { error: "A read has at most one of transaction and at", path: ["at"] };

/** `GET /v1/repositories/{name}/tree` */
export const treeQuery = z.strictObject(readPoint).refine(notBoth, NOT_BOTH);

/** `GET /v1/repositories/{name}/file` */
export const fileQuery = z.strictObject({ ...readPoint, path: filePath }).refine(
  notBoth,
  NOT_BOTH,
);

/** `GET /v1/repositories/{name}/log` */
export const logQuery = z.strictObject({ layer: layerName, limit: pageLimit });

/** `GET /v1/locks` */
export const locksQuery = z.strictObject({ repository: z.exactOptional(repositoryName) });
