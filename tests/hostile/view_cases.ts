/** Stacks, views, undo, patches and merges that the daemon must refuse. */
import { call, type HostileCase, LAYER, REPOSITORY, stage } from "./hostile_case.ts";

const ABSENT = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
const stacks = `/v1/repositories/${REPOSITORY}/stacks`;
const view = `/v1/repositories/${REPOSITORY}/view`;
const on = { repository: REPOSITORY, layer: LAYER };

function putStack(name: string, body: unknown): HostileCase {
  const path = `${stacks}/${name}`;
  const shown = JSON.stringify(body).slice(0, 60);
  return { name: `stack ${name} ${shown}`, method: "PUT", path, body, code: "invalid_request" };
}

/** An object nested deeper than a body may be. */
function deep(levels: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < levels; level += 1) value = { a: value };
  return value;
}

export const VIEW_CASES: readonly HostileCase[] = [
  ...[
    {},
    { layers: [] },
    { layers: "a" },
    { layers: ["a", "a"] },
    { layers: ["a..b"] },
    { layers: ["a"], merge: [{ glob: "", strategy: "deep" }] },
    { layers: ["a"], merge: [{ glob: "*", strategy: "shallow" }] },
    { layers: ["a"], merge: [{ glob: "*".repeat(1_001), strategy: "deep" }] },
    { layers: ["a"], merge: { glob: "*" } },
    { layers: ["a"], stack: 1 },
    { layers: Array.from({ length: 65 }, (_, n) => `l${n}`) },
  ].map((body) => putStack("s", body)),
  ...[".s", "%2e%2e", "a%20b", "a%2fb", "s".repeat(101)].map((name) =>
    putStack(name, { layers: ["a"] })
  ),
  call("GET", `${stacks}/absent`, "stack_not_found"),
  call("GET", `${stacks}/..%2f..`, "stack_not_found"),
  call("DELETE", `${stacks}/absent`, "stack_not_found"),
  call("POST", stacks, "method_not_allowed"),
  call("GET", "/v1/repositories/nowhere/stacks", "repository_not_found"),
  call("GET", view, "invalid_request"),
  call("GET", `${view}?stack=a&layers=a`, "invalid_request"),
  call("GET", `${view}?stack=.a`, "invalid_request"),
  call("GET", `${view}?stack=absent`, "stack_not_found"),
  call("GET", `${view}?layers=`, "invalid_request"),
  call("GET", `${view}?layers=${LAYER},${LAYER}`, "invalid_request"),
  call("GET", `${view}?layers=${LAYER},,x`, "invalid_request"),
  call("GET", `${view}?layers=${LAYER},absent`, "layer_not_found"),
  call("GET", `${view}?layers=${LAYER}&path=../x`, "invalid_request"),
  call("GET", `${view}?layers=${LAYER}&path=absent`, "file_not_found"),
  call("GET", `${view}?layers=${LAYER}&explain=yes`, "invalid_request"),
  call("GET", `${view}?layers=${LAYER}&transaction=${ABSENT}`, "transaction_not_found"),
  call("GET", `${view}?layers=${Array.from({ length: 65 }, (_, n) => `l${n}`)}`, "invalid_request"),
  call("POST", `/v1/transactions/${ABSENT}/undo`, "transaction_not_found"),
  call("POST", "/v1/transactions/nope/undo", "transaction_not_found"),
  call("POST", "/v1/transactions/{done}/undo", "invalid_transition"),
  call("POST", "/v1/transactions/{id}/undo", "invalid_transition"),
  call("GET", "/v1/transactions/{id}/undo", "method_not_allowed"),
  ...[{ force: true }, { message: 5 }, { author: { name: "" } }, { lock_timeout_ms: -1 }].map((
    body,
  ): HostileCase => ({
    name: `undo ${JSON.stringify(body)}`,
    method: "POST",
    path: "/v1/transactions/{done}/undo",
    body,
    code: "invalid_request",
  })),
  stage("patch without a patch", { op: "patch_file", ...on, path: "f" }),
  stage("patch of a bad path", { op: "patch_file", ...on, path: "../f", merge_patch: {} }),
  stage(
    "patch of an absent file",
    { op: "patch_file", ...on, path: "no.json", merge_patch: {} },
    "file_not_found",
  ),
  stage(
    "patch of a file of no format",
    { op: "patch_file", ...on, path: "f", merge_patch: {} },
    "invalid_content",
  ),
  stage("patch with an inexact number", {
    op: "patch_file",
    ...on,
    path: "f",
    merge_patch: { a: { b: 1e300 } },
  }),
  stage("patch that nests too deep", { op: "patch_file", ...on, path: "f", merge_patch: deep(70) }),
  stage("merge without a source", { op: "merge_layer", ...on }),
  stage("merge of null", { op: "merge_layer", ...on, from: null }),
  stage("merge of a bad name", { op: "merge_layer", ...on, from: "a..b" }),
  stage(
    "merge of an absent layer",
    { op: "merge_layer", ...on, from: "absent" },
    "layer_not_found",
  ),
  stage("merge of an absent ref", { op: "merge_layer", ...on, from: "refs/heads/absent" }),
  stage("merge of an absent commit", { op: "merge_layer", ...on, from: "0".repeat(39) + "1" }),
];
