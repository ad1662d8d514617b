/** Routes, verbs, ids and queries that the daemon does not have. */
import { call, type HostileCase, LAYER, REPOSITORY } from "./hostile_case.ts";

const ABSENT = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
const tree = `/v1/repositories/${REPOSITORY}/tree`;
const file = `/v1/repositories/${REPOSITORY}/file`;
const layers = `/v1/repositories/${REPOSITORY}/layers`;
const log = `/v1/repositories/${REPOSITORY}/log`;

const ROUTES: readonly HostileCase[] = [
  ...[
    "/",
    "/v1",
    "/v2/health",
    "/v1/nope",
    "/v1/transactions/{id}/nope",
    "/v1/transactions/{id}/commit/now",
    "/V1/health",
    "/v1/%2e%2e/etc/passwd",
    "/.git/config",
    "/v1/repositories/r1/nope",
  ].map((path) => call("GET", path, "not_found")),
  call("POST", "/v1/nope", "not_found"),
  ...["PUT", "DELETE", "PATCH"].map((verb) => call(verb, "/v1/transactions", "method_not_allowed")),
  ...["commit", "rollback", "prepare", "heartbeat", "operations", "savepoints"].map((verb) =>
    call("GET", `/v1/transactions/{id}/${verb}`, "method_not_allowed")
  ),
  call("POST", "/v1/transactions/{id}", "method_not_allowed"),
  call("POST", "/v1/transactions/{id}/diff", "method_not_allowed"),
  call("POST", "/v1/transactions/{id}/blobs", "method_not_allowed"),
  ...["/v1/health", "/v1/locks", "/v1/metrics", "/v1/version", tree, file, layers, log].map((
    path,
  ) => call("POST", path, "method_not_allowed")),
  call("DELETE", "/v1/locks", "method_not_allowed"),
  call("GET", "/v1/shutdown", "method_not_allowed"),
  call("GET", "/v1/wal/checkpoint", "method_not_allowed"),
  call("BREW", "/v1/health", "method_not_allowed"),
];

const IDS: readonly HostileCase[] = [
  ...[
    "nope",
    ABSENT,
    ABSENT.toLowerCase(),
    "81ARZ3NDEKTSV4RRFFQ69G5FAV",
    "01ARZ3NDEKTSV4RRFFQ69G5FAU",
    `${ABSENT}0`,
    "0123456789012345678901234567890123456789",
    REPOSITORY,
    "%00",
    "..%2f..",
    "-1",
    "x".repeat(5_000),
  ].map((id) => call("GET", `/v1/transactions/${id}`, "transaction_not_found")),
  ...["commit", "rollback", "prepare", "heartbeat"].map((verb) =>
    call("POST", `/v1/transactions/${ABSENT}/${verb}`, "transaction_not_found")
  ),
  ...["diff", "health"].map((verb) =>
    call("GET", `/v1/transactions/${ABSENT}/${verb}`, "transaction_not_found")
  ),
  {
    ...call("POST", `/v1/transactions/${ABSENT}/operations`, "transaction_not_found"),
    body: { operations: [] },
  },
  {
    ...call("PUT", `/v1/transactions/${ABSENT}/blobs`, "transaction_not_found"),
    raw: "bytes",
    headers: { "content-type": "application/octet-stream" },
  },
  call("POST", "/v1/transactions/{id}/savepoints/absent/rollback", "savepoint_not_found"),
  call("POST", "/v1/transactions/{done}/commit", "invalid_transition"),
  call("POST", "/v1/transactions/{done}/prepare", "invalid_transition"),
  {
    ...call("POST", "/v1/transactions/{done}/operations", "invalid_transition"),
    body: { operations: [{ op: "delete_file", repository: REPOSITORY, layer: LAYER, path: "f" }] },
  },
  ...["", "a b", "a/b", "s".repeat(101), 5, null].map((name): HostileCase => ({
    name: `savepoint ${JSON.stringify(name)}`.slice(0, 60),
    method: "POST",
    path: "/v1/transactions/{id}/savepoints",
    body: { name },
    code: "invalid_request",
  })),
  {
    name: "savepoint without a name",
    method: "POST",
    path: "/v1/transactions/{id}/savepoints",
    body: {},
    code: "invalid_request",
  },
  ...[{ lease_ms: 0 }, { lease_ms: "x" }, { lease: 1 }, []].map((body): HostileCase => ({
    name: `heartbeat ${JSON.stringify(body)}`,
    method: "POST",
    path: "/v1/transactions/{id}/heartbeat",
    body,
    code: "invalid_request",
  })),
  ...["commit", "rollback", "prepare"].map((verb): HostileCase => ({
    name: `${verb} with a field`,
    method: "POST",
    path: `/v1/transactions/{id}/${verb}`,
    body: { force: true },
    code: "invalid_request",
  })),
];

const QUERIES: readonly HostileCase[] = [
  ...["limit=0", "limit=-1", "limit=abc", "limit=1.5", "limit=1e9", "limit=", "state=nope"].map((
    query,
  ) => call("GET", `/v1/transactions?${query}`, "invalid_request")),
  ...["limit=0", "limit=x"].map((query) => call("GET", `${layers}?${query}`, "invalid_request")),
  call("GET", "/v1/transactions?cursor=%00garbage", "invalid_request"),
  call("GET", "/v1/transactions/{id}?wait_for=nope", "invalid_request"),
  call("GET", "/v1/transactions/{id}?wait_for=terminal&timeout_ms=-1", "invalid_request"),
  call("GET", "/v1/transactions/{id}?wait_for=terminal&timeout_ms=soon", "invalid_request"),
  call("GET", tree, "invalid_request"),
  call("GET", file, "invalid_request"),
  call("GET", log, "invalid_request"),
  call("GET", `${file}?layer=${LAYER}`, "invalid_request"),
  call("GET", `${file}?layer=${LAYER}&path=../x`, "invalid_request"),
  call("GET", `${file}?layer=${LAYER}&path=.git/config`, "invalid_request"),
  call("GET", `${file}?layer=${LAYER}&path=%ff`, "invalid_request"),
  call("GET", `${tree}?layer=a..b`, "invalid_request"),
  call("GET", `${tree}?layer=../heads/main`, "invalid_request"),
  call("GET", `${tree}?layer=${LAYER}&at=main`, "invalid_request"),
  call("GET", `${log}?layer=${LAYER}&limit=0`, "invalid_request"),
  call("GET", `${tree}?layer=absent`, "layer_not_found"),
  call("GET", `${log}?layer=absent`, "layer_not_found"),
  call("GET", `${file}?layer=absent&path=x`, "layer_not_found"),
  call("GET", `${file}?layer=${LAYER}&path=absent`, "file_not_found"),
  call("GET", `${file}?layer=${LAYER}&path=d`, "file_not_found"),
  call("GET", `${tree}?layer=${LAYER}&transaction=${ABSENT}`, "transaction_not_found"),
  call("GET", `${tree}?layer=${LAYER}&transaction=x`, "transaction_not_found"),
  call("GET", "/v1/repositories/nowhere", "repository_not_found"),
  call("GET", `/v1/repositories/nowhere/tree?layer=${LAYER}`, "repository_not_found"),
  call("DELETE", "/v1/repositories/nowhere", "repository_not_found"),
  call("GET", "/v1/locks?repository=nowhere", "repository_not_found"),
];

const REGISTRATIONS: readonly HostileCase[] = [
  ...[
    {},
    { name: "x" },
    { path: "/" },
    { name: "x", path: "relative" },
    { name: "x", path: "" },
    { name: "x", path: 1 },
    { name: "x", path: "/a\u0000b" },
    { name: "", path: "/" },
    { name: "a/b", path: "/" },
    { name: "../x", path: "/" },
    { name: 1, path: "/" },
    { name: "x", path: "/", adopt: "yes" },
    { name: "x", path: "/", force: true },
  ].map((body): HostileCase => ({
    name: `register ${JSON.stringify(body)}`,
    method: "POST",
    path: "/v1/repositories",
    body,
    code: "invalid_request",
  })),
  ...["/nowhere/at/all", "/", "/usr", "/etc/hostname"].map((path): HostileCase => ({
    name: `register ${path}`,
    method: "POST",
    path: "/v1/repositories",
    body: { name: "x", path },
    code: "unsupported_repository",
  })),
];

/** Everything above. */
export const ROUTE_CASES: readonly HostileCase[] = [
  ...ROUTES,
  ...IDS,
  ...QUERIES,
  ...REGISTRATIONS,
];
