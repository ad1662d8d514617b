/** Handlers of sagas. */
import { STATUS_CODE } from "@std/http";
import { WAIT_TIMEOUT_MS_DEFAULT } from "../core/limits.ts";
import type { SagaVerb } from "../core/saga_next.ts";
import { encodeCursor } from "../protocol/cursor.ts";
import { decode } from "../protocol/decode.ts";
import type { SagaRouteId } from "../protocol/routes.ts";
import {
  definitionBody,
  parseSagaName,
  sagaQuery,
  sagasQuery,
  startBody,
  verbBody,
} from "../protocol/sagas.ts";
import type { SagaFilter } from "../sagas/saga_store.ts";
import { readJsonBody } from "./body.ts";
import { whileConnected } from "./client_presence.ts";
import {
  answerJson,
  type AppContext,
  type AppParts,
  bodyOf,
  type Handler,
  nameIn,
  queryOf,
  sagaIdOf,
} from "./exchange.ts";
import { idempotencyKeyOf } from "./idempotency.ts";

const START_ROUTE = "POST /v1/sagas";

export function sagaHandlers(parts: AppParts): Record<SagaRouteId, Handler> {
  const verb = (name: SagaVerb): Handler => async (c) => {
    const id = sagaIdOf(c);
    const { reason } = await bodyOf(c, parts, verbBody);
    return answerJson(c, { saga: await parts.sagas.obey(id, name, reason) });
  };
  return {
    ...definitionHandlers(parts),
    ...readHandlers(parts),
    startSaga: async (c) => {
      const json = await readJsonBody(c.req.raw, parts.clock);
      const { definition, input, tenant_id } = decode(startBody, json);
      const key = await idempotencyKeyOf(c.req.raw.headers, START_ROUTE, json);
      const saga = await parts.sagas.start({ definition, input, tenantId: tenant_id, key });
      return answerJson(c, { saga }, STATUS_CODE.Created);
    },
    cancelSaga: verb("cancel"),
    pauseSaga: verb("pause"),
    resumeSaga: verb("resume"),
    retrySaga: verb("retry"),
    skipSaga: verb("skip"),
    compensateSaga: verb("compensate"),
  };
}

type DefinitionRouteId = "putSagaDefinition" | "getSagaDefinition" | "listSagaDefinitions";

function definitionHandlers(parts: AppParts): Record<DefinitionRouteId, Handler> {
  return {
    putSagaDefinition: async (c) => {
      const name = parseSagaName(c.req.param("name") ?? "");
      const body = await bodyOf(c, parts, definitionBody);
      return answerJson(c, { definition: await parts.sagas.saveDefinition(name, body) });
    },

    getSagaDefinition: async (c) =>
      answerJson(c, { definition: await parts.sagas.definition(definitionNameOf(c)) }),

    listSagaDefinitions: async (c) =>
      answerJson(c, { definitions: await parts.sagas.definitions() }),
  };
}

function definitionNameOf(c: AppContext): string {
  return nameIn(c, parseSagaName, "saga_not_found", "saga definition");
}

type ReadRouteId = "listSagas" | "getSaga" | "getSagaEvents" | "planSagaCompensation";

function readHandlers(parts: AppParts): Record<ReadRouteId, Handler> {
  return {
    listSagas: async (c) => {
      const { limit, cursor, ...asked } = queryOf(c, sagasQuery);
      // One more than asked for tells whether there is a next page.
      const found = await parts.sagas.list(filterOf(asked), limit + 1, cursor ?? null);
      const sagas = found.slice(0, limit);
      const last = sagas.at(-1);
      const more = found.length > limit && last !== undefined;
      return answerJson(c, { sagas, next_cursor: more ? encodeCursor("sagas", last.id) : null });
    },

    getSaga: async (c) => {
      const id = sagaIdOf(c);
      const { wait_for, timeout_ms = WAIT_TIMEOUT_MS_DEFAULT } = queryOf(c, sagaQuery);
      if (wait_for === undefined) return answerJson(c, { saga: await parts.sagas.get(id) });
      const saga = await whileConnected(
        c.req.raw,
        (signal) => parts.sagas.waitForEnd(id, timeout_ms, signal),
      );
      return answerJson(c, { saga });
    },

    getSagaEvents: async (c) => answerJson(c, { events: await parts.sagas.events(sagaIdOf(c)) }),

    planSagaCompensation: async (c) =>
      answerJson(c, { compensation: await parts.sagas.compensationPlan(sagaIdOf(c)) }),
  };
}

interface AskedFilter {
  readonly state?: NonNullable<SagaFilter["state"]>;
  readonly condition?: NonNullable<SagaFilter["condition"]>;
  readonly definition?: string;
  readonly tenant_id?: string;
  readonly created_after?: string;
  readonly created_before?: string;
}

function filterOf({ tenant_id, created_after, created_before, ...rest }: AskedFilter): SagaFilter {
  return {
    ...rest,
    ...(tenant_id === undefined ? {} : { tenantId: tenant_id }),
    ...(created_after === undefined ? {} : { createdAfter: created_after }),
    ...(created_before === undefined ? {} : { createdBefore: created_before }),
  };
}
