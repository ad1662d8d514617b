/** Handlers of participants, of what is in doubt with them, and of plans. */
import { STATUS_CODE } from "@std/http";
import { LayerdError } from "../core/errors.ts";
import {
  parseParticipantName,
  parseRepositoryName,
  type ParticipantName,
  quote,
} from "../core/ids.ts";
import { type Plan, selectPattern } from "../core/pattern.ts";
import { addParticipantBody, resolveBody } from "../protocol/participants.ts";
import { planBody } from "../protocol/plans.ts";
import type { ParticipantRouteId } from "../protocol/routes.ts";
import {
  answer,
  answerJson,
  type AppContext,
  type AppParts,
  bodyOf,
  type Handler,
  transactionIdOf,
} from "./exchange.ts";

export function participantHandlers(parts: AppParts): Record<ParticipantRouteId, Handler> {
  return {
    addParticipant: async (c) => {
      const request = await bodyOf(c, parts, addParticipantBody);
      const participant = await parts.participants.add(request);
      return answerJson(c, { participant }, STATUS_CODE.Created);
    },

    listParticipants: (c) => answerJson(c, { participants: parts.participants.documents() }),

    getParticipant: (c) => {
      const name = participantNameOf(c);
      const participant = parts.participants.documents().find((one) => one.name === name);
      if (participant === undefined) throw notFound(name);
      return answerJson(c, { participant });
    },

    removeParticipant: async (c) => {
      await parts.participants.remove(participantNameOf(c));
      return answer(c, null, STATUS_CODE.NoContent, {});
    },

    listInDoubt: (c) => answerJson(c, { in_doubt: parts.inDoubt.list() }),

    explainInDoubt: async (c) => {
      const id = transactionIdOf(c);
      const participants = await parts.inDoubt.explain(id);
      return answerJson(c, { transaction_id: id, participants });
    },

    resolveInDoubt: async (c) => {
      const id = transactionIdOf(c);
      await parts.inDoubt.resolve(id, await bodyOf(c, parts, resolveBody));
      return answerJson(c, { in_doubt: parts.inDoubt.list() });
    },

    plan: async (c) => {
      const body = await bodyOf(c, parts, planBody);
      const plan = selectPattern({
        operationType: body.operation_type,
        participants: body.participants,
        consistency: body.consistency,
        durationEstimateMs: body.duration_estimate_ms,
      });
      const warnings = [
        ...plan.warnings,
        ...plan.pattern === "two_phase_commit" ? cannotPrepare(parts, plan.participants) : [],
        ...await undefinedSaga(parts, plan),
      ];
      return answerJson(c, { ...plan, warnings });
    },
  };
}

/** Of whom a vote cannot be had: the transaction would end in `transaction_aborted`. */
function cannotPrepare(parts: AppParts, names: readonly string[]): string[] {
  const registered = new Set(parts.participants.documents().map(({ name }) => name));
  return names.flatMap((name) => {
    if (name.startsWith("git:")) {
      const why = unwritable(parts, name.slice("git:".length));
      return why === null ? [] : [`${name} cannot prepare: ${why}`];
    }
    if (!registered.has(name)) {
      return [`${name} cannot prepare: it is not registered (POST /v1/participants)`];
    }
    const refusal = parts.participants.refusal(parseParticipantName(name));
    return refusal === null ? [] : [`${name} cannot prepare: ${refusal.message}`];
  });
}

/** Why the repository can be written by nobody now (not registered, away, quarantined), or null. */
function unwritable({ catalog }: AppParts, name: string): string | null {
  try {
    catalog.requireWritable(catalog.get(parseRepositoryName(name)));
    return null;
  } catch (error) {
    if (error instanceof LayerdError) return error.message;
    throw error;
  }
}

async function undefinedSaga(parts: AppParts, plan: Plan): Promise<string[]> {
  if (plan.pattern !== "saga") return [];
  const names = (await parts.sagas.definitions()).map(({ name }) => name);
  if (names.includes(plan.saga_type)) return [];
  return [
    `No saga is defined as ${quote(plan.saga_type)}: the caller has to define its steps and ` +
    "their compensations first (PUT /v1/saga-definitions/NAME)",
  ];
}

function participantNameOf(c: AppContext): ParticipantName {
  const text = c.req.param("name") ?? "";
  try {
    return parseParticipantName(text);
  } catch (error) {
    throw notFound(text, error);
  }
}

function notFound(name: string, cause?: unknown): LayerdError {
  const detail = `No participant is called ${quote(name)}`;
  return new LayerdError("participant_not_found", detail, {}, cause);
}
