/** What every handler works with: the parts, and what it reads of a request. */
import type { Context, Env } from "hono";
import type { z } from "zod";
import { type ErrorCode, LayerdError } from "../core/errors.ts";
import {
  parseRepositoryName,
  parseSagaId,
  parseSavepointName,
  parseTransactionId,
  quote,
  type RepositoryName,
  type SagaId,
  type SavepointName,
  type TransactionId,
} from "../core/ids.ts";
import { decode } from "../protocol/decode.ts";
import { decodeQuery } from "../protocol/query.ts";
import type { ParticipantRegistry } from "../participants/registry.ts";
import type { Clock } from "../system/clock.ts";
import type { Replicator } from "../replicas/replicator.ts";
import type { SagaEngine } from "../sagas/saga_engine.ts";
import type { Random } from "../system/random.ts";
import type { RepositoryCatalog } from "../transactions/catalog.ts";
import type { EventBus } from "../transactions/events.ts";
import type { InDoubt } from "../transactions/in_doubt.ts";
import type { LayerReader, TransactionManager } from "../transactions/manager.ts";
import type { StackWriter } from "../views/stack_writer.ts";
import type { ViewReader } from "../views/view_reader.ts";
import type { Metrics } from "../transactions/metrics.ts";
import { readJsonBody } from "./body.ts";
import type { DaemonControl } from "./daemon_control.ts";

/**
 * What the routes stand on. Read at each request, never kept: while the daemon recovers,
 * what is not there yet may be getters (no route that needs it is reached).
 */
export interface AppParts {
  readonly manager: TransactionManager;
  readonly reader: LayerReader;
  readonly views: Pick<ViewReader, "view" | "stack" | "stacks">;
  readonly stacks: Pick<StackWriter, "put" | "remove">;
  readonly catalog: RepositoryCatalog;
  readonly events: EventBus;
  readonly sagas: SagaEngine;
  readonly replicas: Replicator;
  readonly participants: Pick<ParticipantRegistry, "add" | "documents" | "refusal" | "remove">;
  readonly inDoubt: Pick<InDoubt, "explain" | "list" | "resolve">;
  readonly control: DaemonControl;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly random: Random;
  /** Of the daemon, as `GET /v1/version` answers it. */
  readonly version: string;
}

export interface AppEnv extends Env {
  Variables: { requestId: string };
}

export type AppContext = Context<AppEnv>;
export type Handler = (c: AppContext) => Response | Promise<Response>;

/**
 * Answers JSON. (hono's own `c.json` merges header objects: 10 microseconds a request.)
 */
export function answerJson(c: AppContext, value: unknown, status = 200): Response {
  return answer(c, JSON.stringify(value), status, { "content-type": "application/json" });
}

/** Answers a body as it is, or none. */
export function answer(
  c: AppContext,
  body: BodyInit | null,
  status: number,
  headers: Readonly<Record<string, string>>,
): Response {
  return new Response(body, {
    status,
    headers: { ...headers, ...lengthOf(c, body), "x-request-id": c.get("requestId") },
  });
}

/** What a HEAD request is told of the body that it does not get. */
function lengthOf(c: AppContext, body: BodyInit | null): Readonly<Record<string, string>> {
  if (c.req.raw.method !== "HEAD" || typeof body !== "string") return {};
  return { "content-length": String(new TextEncoder().encode(body).length) };
}

/** The query by its schema. */
export function queryOf<S extends z.ZodType>(c: AppContext, schema: S): z.output<S> {
  return decodeQuery(schema, searchOf(c.req.url));
}

/** What stands after `?`, undecoded. */
export function searchOf(url: string): string {
  const at = url.indexOf("?");
  return at < 0 ? "" : url.slice(at + 1);
}

/** The JSON body by its schema. */
export async function bodyOf<S extends z.ZodType>(
  c: AppContext,
  parts: AppParts,
  schema: S,
): Promise<z.output<S>> {
  return decode(schema, await readJsonBody(c.req.raw, parts.clock));
}

/** `{id}` of the path. */
export function transactionIdOf(c: AppContext): TransactionId {
  return parseTransactionId(parameterOf(c, "id"));
}

/** `{id}` of the path, as a saga. */
export function sagaIdOf(c: AppContext): SagaId {
  return parseSagaId(parameterOf(c, "id"));
}

/** `{name}` of the path, as a repository; what cannot be a name is not found. */
export function repositoryNameOf(c: AppContext): RepositoryName {
  return nameIn(c, parseRepositoryName, "repository_not_found", "repository");
}

/** `{name}` of the path, as a savepoint. */
export function savepointNameOf(c: AppContext): SavepointName {
  return nameIn(c, parseSavepointName, "savepoint_not_found", "savepoint");
}

/** `{name}` of the path by another parser; what cannot be a name is not found. */
export function nameIn<T>(
  c: AppContext,
  parse: (text: string) => T,
  missing: ErrorCode,
  what: string,
): T {
  const text = parameterOf(c, "name");
  try {
    return parse(text);
  } catch (error) {
    throw new LayerdError(missing, `No ${what} is called ${quote(text)}`, {}, error);
  }
}

function parameterOf(c: AppContext, name: string): string {
  const value = c.req.param(name);
  if (value === undefined) throw new Error(`BUG: route without the parameter ${name}`);
  return value;
}
