/**
 * Every route of the daemon, as data: the http room mounts exactly these (a handler for
 * each operation id, checked by the compiler) and the OpenAPI document describes them.
 */
import { DAEMON_ROUTES } from "./daemon_routes.ts";
import { REPLICA_ROUTES } from "./replicas.ts";
import { REPOSITORY_ROUTES } from "./repository_routes.ts";
import { PARTICIPANT_ROUTES } from "./participant_routes.ts";
import type { Route } from "./route.ts";
import { VIEW_ROUTES } from "./view_routes.ts";
import { SAGA_ROUTES } from "./saga_routes.ts";
import { TRANSACTION_ROUTES } from "./transaction_routes.ts";

export type RepositoryRouteId = keyof typeof REPOSITORY_ROUTES;
export type TransactionRouteId = keyof typeof TRANSACTION_ROUTES;
export type DaemonRouteId = keyof typeof DAEMON_ROUTES;
export type ViewRouteId = keyof typeof VIEW_ROUTES;
export type ReplicaRouteId = keyof typeof REPLICA_ROUTES;
export type SagaRouteId = keyof typeof SAGA_ROUTES;
export type ParticipantRouteId = keyof typeof PARTICIPANT_ROUTES;
export type RouteId =
  | ParticipantRouteId
  | ViewRouteId
  | RepositoryRouteId
  | TransactionRouteId
  | SagaRouteId
  | ReplicaRouteId
  | DaemonRouteId;

/** All routes by operation id. */
export const ROUTES: Readonly<Record<RouteId, Route>> = {
  ...REPOSITORY_ROUTES,
  ...VIEW_ROUTES,
  ...TRANSACTION_ROUTES,
  ...SAGA_ROUTES,
  ...REPLICA_ROUTES,
  ...PARTICIPANT_ROUTES,
  ...DAEMON_ROUTES,
};

/** Routes that answer while the daemon recovers. */
export const ROUTES_WHILE_RECOVERING: ReadonlySet<RouteId> = new Set<RouteId>([
  "health",
  "healthLive",
  "healthReady",
  "version",
]);
