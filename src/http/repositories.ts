/** Handlers of repositories. */
import { STATUS_CODE } from "@std/http";
import type { RepositoryRouteId } from "../protocol/routes.ts";
import {
  addRepositoryBody,
  removeRepositoryQuery,
  repositoriesQuery,
} from "../protocol/repositories.ts";
import {
  answer,
  answerJson,
  type AppParts,
  bodyOf,
  type Handler,
  queryOf,
  repositoryNameOf,
} from "./exchange.ts";
import { layerHandlers } from "./layers.ts";

export function repositoryHandlers(parts: AppParts): Record<RepositoryRouteId, Handler> {
  return {
    ...layerHandlers(parts),

    addRepository: async (c) => {
      const request = await bodyOf(c, parts, addRepositoryBody);
      return answerJson(c, { repository: await parts.catalog.add(request) }, STATUS_CODE.Created);
    },

    listRepositories: async (c) => {
      const { path } = queryOf(c, repositoriesQuery);
      const found = path === undefined ? parts.catalog.all() : [parts.catalog.findByPath(path)];
      const repositories = await Promise.all(
        found.filter((repository) => repository !== null)
          .map((repository) => parts.catalog.document(repository)),
      );
      return answerJson(c, { repositories });
    },

    getRepository: async (c) => {
      const repository = parts.catalog.get(repositoryNameOf(c));
      return answerJson(c, { repository: await parts.catalog.document(repository) });
    },

    removeRepository: async (c) => {
      await parts.catalog.remove(repositoryNameOf(c), queryOf(c, removeRepositoryQuery));
      return answer(c, null, STATUS_CODE.NoContent, {});
    },
  };
}
