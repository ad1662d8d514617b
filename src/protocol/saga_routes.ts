/** Routes of sagas. */
import type { ErrorCode } from "../core/errors.ts";
import type { Answer, Route } from "./route.ts";
import * as sagas from "./sagas.ts";

const S: Answer = { json: sagas.sagaAnswer };
const ON_SAGA: readonly ErrorCode[] = ["saga_not_found", "io_error", "no_space"];

function verb<P extends string>(path: P, summary: string) {
  return {
    method: "POST",
    path: `/v1/sagas/{id}/${path}`,
    summary,
    body: sagas.verbBody,
    answers: { 200: S },
    problems: [...ON_SAGA, "invalid_transition"],
  } as const satisfies Route;
}

export const SAGA_ROUTES = {
  putSagaDefinition: {
    method: "PUT",
    path: "/v1/saga-definitions/{name}",
    summary: "Define a saga; a changed definition is a new version, running sagas keep theirs",
    body: sagas.definitionBody,
    answers: { 200: { json: sagas.definitionAnswer } },
    problems: ["permission_denied", "io_error", "no_space"],
  },
  getSagaDefinition: {
    method: "GET",
    path: "/v1/saga-definitions/{name}",
    summary: "The newest version of a saga definition",
    answers: { 200: { json: sagas.definitionAnswer } },
    problems: ["saga_not_found", "io_error"],
  },
  listSagaDefinitions: {
    method: "GET",
    path: "/v1/saga-definitions",
    summary: "The newest version of every saga definition",
    answers: { 200: { json: sagas.definitionsAnswer } },
    problems: ["io_error"],
  },
  startSaga: {
    method: "POST",
    path: "/v1/sagas",
    summary: "Start a saga; with an idempotency key exactly one, however often it is asked for",
    body: sagas.startBody,
    idempotent: true,
    answers: { 201: S },
    problems: [...ON_SAGA, "idempotency_key_reused", "draining"],
  },
  listSagas: {
    method: "GET",
    path: "/v1/sagas",
    summary: "Sagas, newest first",
    query: sagas.sagasQuery,
    answers: { 200: { json: sagas.sagasAnswer } },
    problems: ["io_error"],
  },
  getSaga: {
    method: "GET",
    path: "/v1/sagas/{id}",
    summary: "One saga; with `wait_for` once it has ended",
    query: sagas.sagaQuery,
    answers: { 200: S },
    problems: [...ON_SAGA, "timeout"],
  },
  getSagaEvents: {
    method: "GET",
    path: "/v1/sagas/{id}/events",
    summary: "Everything that happened in a saga, in order",
    answers: { 200: { json: sagas.sagaEventsAnswer } },
    problems: ON_SAGA,
  },
  planSagaCompensation: {
    method: "GET",
    path: "/v1/sagas/{id}/compensation",
    summary: "What a compensation from here would call, in that order; nothing is done",
    answers: { 200: { json: sagas.compensationAnswer } },
    problems: ON_SAGA,
  },
  cancelSaga: verb("cancel", "Stop before the pivot and compensate"),
  pauseSaga: verb("pause", "Begin no further call until `resume`"),
  resumeSaga: verb("resume", "Go on after `pause`, or again where an operator was needed"),
  retrySaga: verb("retry", "Call again now, with a new budget of calls"),
  skipSaga: verb("skip", "Leave the step that does not succeed as it is and go on"),
  compensateSaga: verb("compensate", "Undo what can be undone, also after the pivot"),
} as const satisfies Record<string, Route>;
