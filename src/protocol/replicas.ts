/** Requests and answers of replicas. */
import { z } from "zod";
import type { ErrorCode } from "../core/errors.ts";
import { layerName, milliseconds, repositoryName } from "./names.ts";
import type { Route } from "./route.ts";
import { emptyBody } from "./transactions.ts";

const INTERVAL_MS_MIN = 100;
const INTERVAL_MS_MAX = 7 * 24 * 3_600_000;
const TARGETS_MAX = 100;

const place = z.strictObject({ repository: repositoryName, layer: layerName });
const strategy = z.enum(["last_write_wins", "source_wins", "manual"]);

/** `PUT /v1/replicas/{name}` */
export const replicaBody = z.strictObject({
  source: place,
  targets: z.array(place).min(1).max(TARGETS_MAX),
  reconciliation_interval_ms: milliseconds(INTERVAL_MS_MIN, INTERVAL_MS_MAX).default(60_000),
  conflict_resolution: strategy.default("last_write_wins"),
}).refine(({ source, targets }) => {
  const all = [source, ...targets].map(({ repository, layer }) => `${repository} ${layer}`);
  return new Set(all).size === all.length;
}, { error: "Source and targets must be layers of their own", path: ["targets"] })
  .meta({ id: "PutReplica" });

const time = z.string().meta({ format: "date-time" });
const shownPlace = z.object({ repository: z.string(), layer: z.string() });

const replica = z.object({
  name: z.string(),
  source: shownPlace,
  source_commit: z.string().nullable(),
  targets: z.array(shownPlace.extend({
    commit: z.string().nullable(),
    status: z.enum(["in_sync", "behind", "conflict", "failing"]),
    lag_ms: z.int().meta({ description: "How long it has been seen to differ" }),
    detail: z.string().nullable(),
  })),
  reconciliation_interval_ms: z.int(),
  conflict_resolution: strategy,
  lag_ms: z.int(),
  conflicts: z.int(),
  reconciled_at: time.nullable(),
}).meta({ id: "Replica" });

const R = { json: z.object({ replica }) };
const ON_REPLICA: readonly ErrorCode[] = ["replica_not_found", "io_error", "no_space"];

export const REPLICA_ROUTES = {
  putReplica: {
    method: "PUT",
    path: "/v1/replicas/{name}",
    summary: "Keep layers of several repositories convergent",
    body: replicaBody,
    answers: { 200: R },
    problems: ["repository_not_found", "io_error", "no_space"],
  },
  listReplicas: {
    method: "GET",
    path: "/v1/replicas",
    summary: "All replicas, with lag and conflicts",
    answers: { 200: { json: z.object({ replicas: z.array(replica) }) } },
    problems: [],
  },
  getReplica: {
    method: "GET",
    path: "/v1/replicas/{name}",
    summary: "One replica, with lag and conflicts",
    answers: { 200: R },
    problems: ["replica_not_found"],
  },
  deleteReplica: {
    method: "DELETE",
    path: "/v1/replicas/{name}",
    summary: "Stop reconciling; the layers stay as they are",
    answers: { 204: { nothing: true } },
    problems: ON_REPLICA,
  },
  reconcileReplica: {
    method: "POST",
    path: "/v1/replicas/{name}/reconcile",
    summary: "Reconcile now, and answer how the replica stands then",
    body: emptyBody,
    answers: { 200: R },
    problems: ["replica_not_found", "git_error"],
  },
} as const satisfies Record<string, Route>;
