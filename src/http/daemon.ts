/** Handlers of the daemon itself. */
import { STATUS_CODE } from "@std/http";
import { LayerdError } from "../core/errors.ts";
import { eventsQuery } from "../protocol/events.ts";
import type { WalDocument } from "../protocol/responses.ts";
import type { DaemonRouteId } from "../protocol/routes.ts";
import { emptyBody } from "../protocol/transactions.ts";
import type { LogStatus } from "../wal/write_ahead_log.ts";
import { eventFormatOf, eventStream } from "./event_stream.ts";
import {
  answer,
  answerJson,
  type AppContext,
  type AppParts,
  bodyOf,
  type Handler,
  queryOf,
} from "./exchange.ts";
import { METRICS_MEDIA_TYPE, metricsText, type RequestCounts } from "./metrics.ts";
import { countsOf } from "./health.ts";

export function daemonHandlers(
  parts: AppParts,
  requests: RequestCounts,
): Record<DaemonRouteId, Handler> {
  const { clock } = parts;
  const startedMs = clock.monotonic();
  let openApiText: string | null = null;
  return {
    health: async (c) => answerJson(c, await parts.control.healthDocument()),

    healthLive: (c) => answerJson(c, { status: "ok" }),

    healthReady: (c) => {
      const phase = parts.control.phase();
      if (phase !== "serving") throw new LayerdError(phase, `The daemon is ${phase}`);
      return answerJson(c, { status: "ok" });
    },

    streamEvents: (c) => answerEvents(c, parts),

    metrics: (c) => {
      const text = metricsText(parts.metrics, {
        transactions: countsOf(parts),
        inDoubt: inDoubtGauges(parts),
        log: parts.control.walStatus(),
        subscribers: parts.events.subscribers,
        residentBytes: Deno.memoryUsage().rss,
        uptimeMs: Math.round(clock.monotonic() - startedMs),
      }, requests);
      return answer(c, text, STATUS_CODE.OK, { "Content-Type": METRICS_MEDIA_TYPE });
    },

    openapi: async (c) => {
      // Made at the first request: it takes a tenth of a second that no start should pay.
      const { openApiDocument } = await import("../protocol/openapi.ts");
      openApiText ??= JSON.stringify(openApiDocument(parts.version));
      return answer(c, openApiText, STATUS_CODE.OK, { "Content-Type": "application/json" });
    },

    version: (c) => answerJson(c, { version: parts.version, api_version: 1 }),

    walStatus: (c) => answerJson(c, walDocument(parts.control.walStatus())),

    checkpoint: async (c) => {
      await bodyOf(c, parts, emptyBody);
      await parts.control.checkpoint();
      return answerJson(c, walDocument(parts.control.walStatus()));
    },

    shutdown: async (c) => {
      await bodyOf(c, parts, emptyBody);
      parts.control.shutdown();
      return answerJson(c, { status: "draining" }, STATUS_CODE.Accepted);
    },
  };
}

function inDoubtGauges({ clock, inDoubt }: AppParts) {
  const since = inDoubt.list().map((one) => Date.parse(one.since));
  const oldestAgeMs = since.length === 0 ? 0 : Math.max(0, clock.now() - Math.min(...since));
  return { count: since.length, oldestAgeMs };
}

/**
 * `Last-Event-ID` goes before `after`: a browser that reconnects sends the old URL with the
 * newer header.
 */
function answerEvents(c: AppContext, parts: AppParts): Response {
  const { after } = queryOf(c, eventsQuery);
  const format = eventFormatOf(c.req.header("accept"));
  const headers = { "Content-Type": format, "Cache-Control": "no-store" };
  // A HEAD request has no body whose end would end the subscription.
  if (c.req.raw.method === "HEAD") return answer(c, null, STATUS_CODE.OK, headers);
  const subscription = parts.events.subscribe(c.req.header("last-event-id") ?? after ?? null);
  return answer(c, eventStream(subscription, format, parts.clock), STATUS_CODE.OK, headers);
}

function walDocument(status: LogStatus): WalDocument {
  return {
    bytes: status.bytes,
    segments: status.segments,
    last_lsn: status.lastLsn,
    durable_lsn: status.durableLsn,
    checkpoint_lsn: status.checkpointLsn,
    bytes_since_checkpoint: status.bytesSinceCheckpoint,
  };
}
