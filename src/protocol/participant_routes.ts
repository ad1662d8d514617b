/** Routes of participants, of what is in doubt with them, and of which pattern suits them. */
import * as participants from "./participants.ts";
import { planAnswer, planBody } from "./plans.ts";
import type { Route } from "./route.ts";

export const PARTICIPANT_ROUTES = {
  addParticipant: {
    method: "POST",
    path: "/v1/participants",
    summary: "Register a participant; under a name that is in use its address is replaced",
    body: participants.addParticipantBody,
    answers: { 201: { json: participants.participantAnswer } },
    problems: ["permission_denied", "repository_busy", "io_error", "no_space"],
  },
  listParticipants: {
    method: "GET",
    path: "/v1/participants",
    summary: "Registered participants",
    answers: { 200: { json: participants.participantsAnswer } },
    problems: [],
  },
  getParticipant: {
    method: "GET",
    path: "/v1/participants/{name}",
    summary: "One registered participant",
    answers: { 200: { json: participants.participantAnswer } },
    problems: ["participant_not_found"],
  },
  removeParticipant: {
    method: "DELETE",
    path: "/v1/participants/{name}",
    summary: "Forget a participant that no transaction waits for",
    answers: { 204: { nothing: true } },
    problems: ["participant_not_found", "repository_busy", "io_error", "no_space"],
  },
  listInDoubt: {
    method: "GET",
    path: "/v1/in-doubt",
    summary: "Participants that have not acknowledged what was decided, or contradict it",
    answers: { 200: { json: participants.inDoubtAnswer } },
    problems: [],
  },
  explainInDoubt: {
    method: "GET",
    path: "/v1/in-doubt/{id}",
    summary: "One transaction in doubt, with what each participant says now",
    answers: { 200: { json: participants.inDoubtExplained } },
    problems: ["transaction_not_found"],
  },
  resolveInDoubt: {
    method: "POST",
    path: "/v1/in-doubt/{id}/resolve",
    summary: "An operator says how it ended at a participant; the reason is recorded",
    body: participants.resolveBody,
    answers: { 200: { json: participants.inDoubtAnswer } },
    problems: ["transaction_not_found", "participant_not_found", "io_error", "no_space"],
  },
  plan: {
    method: "POST",
    path: "/v1/plans",
    summary: "Which pattern suits a piece of work: two-phase commit, a saga, or replicas",
    body: planBody,
    answers: { 200: { json: planAnswer } },
    problems: [],
  },
} as const satisfies Record<string, Route>;
