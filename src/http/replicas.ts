/** Handlers of replicas. */
import { STATUS_CODE } from "@std/http";
import { replicaBody } from "../protocol/replicas.ts";
import type { ReplicaRouteId } from "../protocol/routes.ts";
import { parseSagaName } from "../protocol/sagas.ts";
import { emptyBody } from "../protocol/transactions.ts";
import {
  answer,
  answerJson,
  type AppContext,
  type AppParts,
  bodyOf,
  type Handler,
  nameIn,
} from "./exchange.ts";

export function replicaHandlers(parts: AppParts): Record<ReplicaRouteId, Handler> {
  return {
    putReplica: async (c) => {
      const name = parseSagaName(c.req.param("name") ?? "");
      const definition = await bodyOf(c, parts, replicaBody);
      return answerJson(c, { replica: await parts.replicas.put(name, definition) });
    },

    listReplicas: (c) => answerJson(c, { replicas: parts.replicas.list() }),

    getReplica: (c) => answerJson(c, { replica: parts.replicas.get(nameOf(c)) }),

    deleteReplica: async (c) => {
      await parts.replicas.remove(nameOf(c));
      return answer(c, null, STATUS_CODE.NoContent, {});
    },

    reconcileReplica: async (c) => {
      await bodyOf(c, parts, emptyBody);
      return answerJson(c, { replica: await parts.replicas.reconcile(nameOf(c)) });
    },
  };
}

function nameOf(c: AppContext): string {
  return nameIn(c, parseSagaName, "replica_not_found", "replica");
}
