/** Handlers of participants and of what is in doubt with them. */
import { STATUS_CODE } from "@std/http";
import { LayerdError } from "../core/errors.ts";
import { parseParticipantName, type ParticipantName, quote } from "../core/ids.ts";
import { addParticipantBody, resolveBody } from "../protocol/participants.ts";
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
  };
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
