/** Handlers that read layers and locks. */
import { STATUS_CODE } from "@std/http";
import { encodeCursor } from "../protocol/cursor.ts";
import {
  fileQuery,
  layersQuery,
  locksQuery,
  logQuery,
  treeQuery,
} from "../protocol/repositories.ts";
import type { FileAnswer } from "../protocol/responses.ts";
import type { RepositoryRouteId } from "../protocol/routes.ts";
import type { FileDocument, ReadPoint } from "../transactions/manager.ts";
import {
  answer,
  answerJson,
  type AppContext,
  type AppParts,
  type Handler,
  queryOf,
  repositoryNameOf,
} from "./exchange.ts";

const BYTES_MEDIA_TYPE = "application/octet-stream";

type LayerRouteId = Extract<
  RepositoryRouteId,
  "listLayers" | "readTree" | "readFile" | "readLog" | "listLocks"
>;

export function layerHandlers(parts: AppParts): Record<LayerRouteId, Handler> {
  return {
    listLayers: async (c) => {
      const { prefix, limit, cursor } = queryOf(c, layersQuery);
      const page = await parts.reader.layers(repositoryNameOf(c), prefix, limit, cursor ?? null);
      const last = page.layers.at(-1);
      return answerJson(c, {
        layers: page.layers,
        next_cursor: page.more && last !== undefined ? encodeCursor("layers", last.name) : null,
      });
    },

    readTree: async (c) => {
      const tree = await parts.reader.tree(readPoint(c, queryOf(c, treeQuery)));
      return answerJson(c, tree);
    },

    readFile: async (c) => {
      const query = queryOf(c, fileQuery);
      const file = await parts.reader.file(readPoint(c, query), query.path);
      const tag = `"${file.oid}"`;
      const headers = { ETag: tag, Vary: "Accept" };
      if (matches(c.req.header("if-none-match"), tag)) {
        return answer(c, null, STATUS_CODE.NotModified, headers);
      }
      if (c.req.header("accept")?.includes(BYTES_MEDIA_TYPE)) {
        return answer(c, new Uint8Array(file.bytes), STATUS_CODE.OK, {
          ...headers,
          "Content-Type": BYTES_MEDIA_TYPE,
        });
      }
      return answer(c, JSON.stringify(fileAnswer(file)), STATUS_CODE.OK, {
        ...headers,
        "Content-Type": "application/json",
      });
    },

    readLog: async (c) => {
      const { layer, limit } = queryOf(c, logQuery);
      return answerJson(c, { commits: await parts.reader.log(repositoryNameOf(c), layer, limit) });
    },

    listLocks: (c) => {
      const { repository } = queryOf(c, locksQuery);
      return answerJson(c, parts.manager.locks(repository ?? null));
    },
  };
}

function readPoint(
  c: AppContext,
  query: Partial<Pick<ReadPoint, "transaction" | "at">> & Pick<ReadPoint, "layer">,
): ReadPoint {
  return {
    repository: repositoryNameOf(c),
    layer: query.layer,
    transaction: query.transaction ?? null,
    at: query.at ?? null,
  };
}

/** `If-None-Match` by the weak comparison of RFC 9110. */
function matches(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  return header.split(",").map((part) => part.trim().replace(/^W\//, ""))
    .some((part) => part === "*" || part === tag);
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Text where the bytes are valid UTF-8 (a byte-order mark is kept), else base64. */
export function fileAnswer(file: FileDocument & { readonly bytes: Uint8Array }): FileAnswer {
  const { bytes, ...entry } = file;
  return { ...entry, ...contentOf(bytes) };
}

/** Bytes as an answer has them. */
export function contentOf(
  bytes: Uint8Array,
): { readonly content: string } | { readonly content_base64: string } {
  try {
    return { content: strictUtf8.decode(bytes) };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return { content_base64: bytes.toBase64() };
  }
}
