/** Routes of repositories, their layers and locks. */
import type { ErrorCode } from "../core/errors.ts";
import * as repositories from "./repositories.ts";
import * as answers from "./responses.ts";
import type { Route } from "./route.ts";

const LAYER_READ: readonly ErrorCode[] = [
  "repository_not_found",
  "layer_not_found",
  "transaction_not_found",
  "lease_expired",
  "invalid_transition",
  "write_conflict",
  "deadlock",
  "lock_timeout",
  "git_error",
];

export const REPOSITORY_ROUTES = {
  addRepository: {
    method: "POST",
    path: "/v1/repositories",
    summary: "Register a repository",
    body: repositories.addRepositoryBody,
    answers: { 201: { json: answers.repositoryAnswer } },
    problems: [
      "repository_exists",
      "repository_owned",
      "unsupported_repository",
      "permission_denied",
      "draining",
      "io_error",
      "no_space",
    ],
  },
  listRepositories: {
    method: "GET",
    path: "/v1/repositories",
    summary: "List repositories, or find the one that holds a path",
    query: repositories.repositoriesQuery,
    answers: { 200: { json: answers.repositoriesAnswer } },
    problems: [],
  },
  getRepository: {
    method: "GET",
    path: "/v1/repositories/{name}",
    summary: "One repository",
    answers: { 200: { json: answers.repositoryAnswer } },
    problems: ["repository_not_found"],
  },
  removeRepository: {
    method: "DELETE",
    path: "/v1/repositories/{name}",
    summary: "Unregister a repository; nothing in it is deleted but layerd's own directory",
    query: repositories.removeRepositoryQuery,
    answers: { 204: { nothing: true } },
    problems: ["repository_not_found", "repository_busy", "repository_quarantined", "io_error"],
  },
  listLayers: {
    method: "GET",
    path: "/v1/repositories/{name}/layers",
    summary: "Layers in name order",
    query: repositories.layersQuery,
    answers: { 200: { json: answers.layersAnswer } },
    problems: ["repository_not_found", "git_error"],
  },
  readTree: {
    method: "GET",
    path: "/v1/repositories/{name}/tree",
    summary: "All files of a layer",
    query: repositories.treeQuery,
    answers: { 200: { json: answers.treeAnswer } },
    problems: LAYER_READ,
  },
  readFile: {
    method: "GET",
    path: "/v1/repositories/{name}/file",
    summary: "One file; its bytes with `Accept: application/octet-stream`. ETag is the blob id",
    query: repositories.fileQuery,
    answers: {
      200: { json: answers.fileAnswer, bytes: "application/octet-stream" },
      304: { nothing: true },
    },
    problems: [...LAYER_READ, "file_not_found"],
  },
  readLog: {
    method: "GET",
    path: "/v1/repositories/{name}/log",
    summary: "Commits of a layer, newest first",
    query: repositories.logQuery,
    answers: { 200: { json: answers.logAnswer } },
    problems: ["repository_not_found", "layer_not_found", "git_error"],
  },
  listLocks: {
    method: "GET",
    path: "/v1/locks",
    summary: "Who holds and who waits for which layer",
    query: repositories.locksQuery,
    answers: { 200: { json: answers.locksAnswer } },
    problems: ["repository_not_found"],
  },
} as const satisfies Record<string, Route>;
