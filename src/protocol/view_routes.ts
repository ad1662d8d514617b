/** Routes of stacks and views. */
import type { ErrorCode } from "../core/errors.ts";
import type { Route } from "./route.ts";
import * as views from "./views.ts";

const STACK_CHANGE: readonly ErrorCode[] = [
  "repository_not_found",
  "write_conflict",
  "name_conflict",
  "lock_timeout",
  "repository_locked",
  "repository_quarantined",
  "draining",
  "git_error",
  "io_error",
  "no_space",
];

export const VIEW_ROUTES = {
  listStacks: {
    method: "GET",
    path: "/v1/repositories/{name}/stacks",
    summary: "Stacks of a repository",
    answers: { 200: { json: views.stacksAnswer } },
    problems: ["repository_not_found", "invalid_content", "git_error"],
  },
  putStack: {
    method: "PUT",
    path: "/v1/repositories/{name}/stacks/{stack}",
    summary: "Make a stack, or make it anew; it is kept in `refs/layerd/stacks`",
    body: views.stackBody,
    answers: { 200: { json: views.stackAnswer } },
    problems: STACK_CHANGE,
  },
  getStack: {
    method: "GET",
    path: "/v1/repositories/{name}/stacks/{stack}",
    summary: "One stack",
    answers: { 200: { json: views.stackAnswer } },
    problems: ["repository_not_found", "stack_not_found", "invalid_content", "git_error"],
  },
  removeStack: {
    method: "DELETE",
    path: "/v1/repositories/{name}/stacks/{stack}",
    summary: "Remove a stack; its layers stay",
    answers: { 204: { nothing: true } },
    problems: [...STACK_CHANGE, "stack_not_found"],
  },
  readView: {
    method: "GET",
    path: "/v1/repositories/{name}/view",
    summary: "The files of a stack as one tree, from one snapshot; with `explain` their origins",
    query: views.viewQuery,
    answers: { 200: { json: views.viewAnswer } },
    problems: [
      "repository_not_found",
      "stack_not_found",
      "layer_not_found",
      "file_not_found",
      "transaction_not_found",
      "lease_expired",
      "invalid_transition",
      "invalid_content",
      "deadlock",
      "lock_timeout",
      "git_error",
    ],
  },
} as const satisfies Record<string, Route>;
