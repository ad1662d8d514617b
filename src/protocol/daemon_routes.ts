/** Routes of the daemon itself. */
import { eventsQuery } from "./events.ts";
import * as answers from "./responses.ts";
import type { Route } from "./route.ts";
import * as transactions from "./transactions.ts";

export const DAEMON_ROUTES = {
  health: {
    method: "GET",
    path: "/v1/health",
    summary: "State of the daemon, its log and its repositories",
    answers: { 200: { json: answers.healthAnswer } },
    problems: [],
  },
  healthLive: {
    method: "GET",
    path: "/v1/health/live",
    summary: "Whether the process answers",
    answers: { 200: { json: answers.statusAnswer } },
    problems: [],
  },
  healthReady: {
    method: "GET",
    path: "/v1/health/ready",
    summary: "Whether transactions can begin",
    answers: { 200: { json: answers.statusAnswer } },
    problems: ["draining"],
  },
  streamEvents: {
    method: "GET",
    path: "/v1/events",
    summary: "Events, as server-sent events or NDJSON",
    query: eventsQuery,
    answers: { 200: { media: ["text/event-stream", "application/x-ndjson"] } },
    problems: ["cursor_expired", "too_many_subscribers"],
  },
  metrics: {
    method: "GET",
    path: "/v1/metrics",
    summary: "Metrics in Prometheus text format",
    answers: { 200: { media: ["text/plain"] } },
    problems: [],
  },
  openapi: {
    method: "GET",
    path: "/v1/openapi.json",
    summary: "This document",
    answers: { 200: { media: ["application/json"] } },
    problems: [],
  },
  version: {
    method: "GET",
    path: "/v1/version",
    summary: "Version of the daemon and of its interface",
    answers: { 200: { json: answers.versionAnswer } },
    problems: [],
  },
  walStatus: {
    method: "GET",
    path: "/v1/wal",
    summary: "State of the write-ahead log",
    answers: { 200: { json: answers.walAnswer } },
    problems: [],
  },
  checkpoint: {
    method: "POST",
    path: "/v1/wal/checkpoint",
    summary: "Make durable what is only in the log, and drop what it no longer needs",
    body: transactions.emptyBody,
    answers: { 200: { json: answers.walAnswer } },
    problems: ["io_error", "no_space", "draining"],
  },
  shutdown: {
    method: "POST",
    path: "/v1/shutdown",
    summary: "Drain and end",
    body: transactions.emptyBody,
    answers: { 202: { json: answers.shutdownAnswer } },
    problems: [],
  },
} as const satisfies Record<string, Route>;
