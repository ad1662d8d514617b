/** Handlers of stacks and views. */
import { STATUS_CODE } from "@std/http";
import { LayerdError } from "../core/errors.ts";
import { quote } from "../core/ids.ts";
import type { ViewRouteId } from "../protocol/routes.ts";
import { parseStackName, stackBody, viewQuery } from "../protocol/views.ts";
import type { ViewSource } from "../views/view_document.ts";
import {
  answer,
  answerJson,
  type AppContext,
  type AppParts,
  bodyOf,
  type Handler,
  queryOf,
  repositoryNameOf,
} from "./exchange.ts";
import { contentOf } from "./layers.ts";

export function viewHandlers(parts: AppParts): Record<ViewRouteId, Handler> {
  return {
    listStacks: async (c) =>
      answerJson(c, { stacks: await parts.views.stacks(repositoryNameOf(c)) }),

    putStack: async (c) => {
      const repository = repositoryNameOf(c);
      const stack = {
        name: stackNameOf(c, "invalid_request"),
        ...await bodyOf(c, parts, stackBody),
      };
      await parts.stacks.put(repository, stack);
      return answerJson(c, { stack });
    },

    getStack: async (c) => {
      const name = stackNameOf(c, "stack_not_found");
      return answerJson(c, { stack: await parts.views.stack(repositoryNameOf(c), name) });
    },

    removeStack: async (c) => {
      await parts.stacks.remove(repositoryNameOf(c), stackNameOf(c, "stack_not_found"));
      return answer(c, null, STATUS_CODE.NoContent, {});
    },

    readView: async (c) => {
      const { stack, layers, path, explain, transaction } = queryOf(c, viewQuery);
      const source: ViewSource = stack === undefined
        ? { kind: "layers", layers: layers ?? [] }
        : { kind: "stack", name: stack };
      const files = await parts.views.view({
        repository: repositoryNameOf(c),
        source,
        path: path ?? null,
        explain,
        transaction: transaction ?? null,
      });
      return answerJson(c, {
        files: files.map(({ document, bytes }) => ({
          ...document,
          ...(bytes === null ? {} : contentOf(bytes)),
        })),
      });
    },
  };
}

function stackNameOf(c: AppContext, code: "invalid_request" | "stack_not_found"): string {
  const text = c.req.param("stack") ?? "";
  try {
    return parseStackName(text);
  } catch (error) {
    if (code === "invalid_request") throw error;
    throw new LayerdError(code, `No stack is called ${quote(text)}`, {}, error);
  }
}
