/**
 * The HTTP application: every route of protocol/routes.ts with its handler.
 *
 * A1. Every answer has an X-Request-Id, and every refusal is a problem document.
 * A2. No handler runs before the path is known to be percent-encoded UTF-8, nor, while the
 *     daemon recovers, unless its route is made for that.
 * A3. A parameter that a route does not know is refused, also where it knows none.
 */
import { Hono } from "hono";
import { LayerdError } from "../core/errors.ts";
import { quote } from "../core/ids.ts";
import { decodeQuery } from "../protocol/query.ts";
import type { Method, Route } from "../protocol/route.ts";
import { type RouteId, ROUTES, ROUTES_WHILE_RECOVERING } from "../protocol/routes.ts";
import { noQuery } from "../protocol/transactions.ts";
import { daemonHandlers } from "./daemon.ts";
import { type AppContext, type AppEnv, type AppParts, type Handler, searchOf } from "./exchange.ts";
import { participantHandlers } from "./participants.ts";
import { problemResponse } from "./problem.ts";
import { replicaHandlers } from "./replicas.ts";
import { repositoryHandlers } from "./repositories.ts";
import { requestIdOf } from "./request_id.ts";
import { sagaHandlers } from "./sagas.ts";
import { transactionHandlers } from "./transactions.ts";
import { viewHandlers } from "./views.ts";

/** The application; its `fetch` is what a server calls. */
export function createApp(parts: AppParts): Hono<AppEnv> {
  const requests = new Map<number, number>();
  const count = (response: Response): Response => {
    requests.set(response.status, (requests.get(response.status) ?? 0) + 1);
    return response;
  };
  const handlers: Record<RouteId, Handler> = {
    ...repositoryHandlers(parts),
    ...viewHandlers(parts),
    ...transactionHandlers(parts),
    ...sagaHandlers(parts),
    ...replicaHandlers(parts),
    ...participantHandlers(parts),
    ...daemonHandlers(parts, requests),
  };
  const app = new Hono<AppEnv>();
  for (const [id, route] of Object.entries(ROUTES) as [RouteId, Route][]) {
    const handler = handlers[id];
    app.on(route.method, honoPath(route.path), async (c) => {
      identify(c, parts);
      admit(c, id, route, parts);
      return count(await handler(c));
    });
  }
  app.notFound((c) => {
    const requestId = identify(c, parts);
    return count(unknownRoute(c, requestId));
  });
  app.onError((error, c) => {
    const requestId = c.get("requestId") ?? identify(c, parts);
    return count(problemResponse(error, c.req.raw, requestId));
  });
  return app;
}

/** `{name}` as hono writes it. */
function honoPath(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ":$1");
}

function identify(c: AppContext, parts: AppParts): string {
  const requestId = requestIdOf(c.req.header("x-request-id"), parts);
  c.set("requestId", requestId);
  return requestId;
}

function admit(c: AppContext, id: RouteId, route: Route, parts: AppParts): void {
  if (!ROUTES_WHILE_RECOVERING.has(id) && parts.control.phase() === "recovering") {
    throw new LayerdError("recovering", "The daemon is replaying its log", {
      retry_after_ms: 1_000,
    });
  }
  requireEncodedPath(c.req.url);
  if (route.query === undefined) decodeQuery(noQuery, searchOf(c.req.url));
}

function requireEncodedPath(url: string): void {
  if (!url.includes("%")) return;
  const [path = ""] = url.split("?");
  try {
    decodeURIComponent(path);
  } catch (error) {
    throw new LayerdError("invalid_request", "The path is not percent-encoded UTF-8", {}, error);
  }
}

const PATTERNS: readonly (readonly [pattern: RegExp, method: Method])[] = Object.values(ROUTES)
  .map((route) => [
    new RegExp(`^${route.path.replaceAll(".", "\\.").replaceAll(/\{\w+\}/g, "[^/]+")}$`),
    route.method,
  ]);

/** 405 where the path is known by other methods, else 404. */
function unknownRoute(c: AppContext, requestId: string): Response {
  const methods = new Set<string>();
  for (const [pattern, method] of PATTERNS) {
    if (pattern.test(c.req.path)) methods.add(method);
  }
  if (methods.has("GET")) methods.add("HEAD");
  const { method } = c.req;
  if (methods.size === 0) {
    const error = new LayerdError("not_found", `No route is called ${quote(c.req.path)}`);
    return problemResponse(error, c.req.raw, requestId);
  }
  const error = new LayerdError("method_not_allowed", `Method ${method} is not allowed here`);
  const response = problemResponse(error, c.req.raw, requestId);
  response.headers.set("Allow", [...methods].join(", "));
  return response;
}
