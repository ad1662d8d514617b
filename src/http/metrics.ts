/**
 * `GET /v1/metrics` in Prometheus' text format (version 0.0.4). Written here because the
 * format is a page and the usual client library costs the daemon 16 MiB of memory.
 */
import type { LogStatus } from "../wal/write_ahead_log.ts";
import type { Histogram, Metrics } from "../transactions/metrics.ts";

/** Media type of the text. */
export const METRICS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** What stands beside the counted in the moment of asking. */
export interface Gauges {
  readonly transactions: {
    readonly active: number;
    readonly in_doubt: number;
    readonly failed: number;
  };
  readonly inDoubt: { readonly count: number; readonly oldestAgeMs: number };
  readonly log: LogStatus;
  readonly subscribers: number;
  readonly residentBytes: number;
  readonly uptimeMs: number;
}

/** Requests by status. */
export type RequestCounts = ReadonlyMap<number, number>;

export function metricsText(metrics: Metrics, gauges: Gauges, requests: RequestCounts): string {
  const { transactions, log } = gauges;
  return [
    family("layerd_transactions_total", "counter", "Transactions that ended, by outcome", [
      ...Object.entries(metrics.outcomes).map(([outcome, count]) =>
        sample("layerd_transactions_total", count, { outcome })
      ),
    ]),
    family("layerd_transactions", "gauge", "Transactions now, by condition", [
      ...Object.entries(transactions).map(([condition, count]) =>
        sample("layerd_transactions", count, { condition })
      ),
    ]),
    single(
      "layerd_in_doubt",
      "gauge",
      "Decisions that a participant has not acknowledged, or contradicts",
      gauges.inDoubt.count,
    ),
    single(
      "layerd_in_doubt_oldest_age_ms",
      "gauge",
      "Since the oldest of them was decided; 0 where there is none",
      gauges.inDoubt.oldestAgeMs,
    ),
    histogram(
      "layerd_commit_duration_ms",
      "From joining the pipeline to the answer",
      metrics.commitMs,
    ),
    histogram("layerd_log_force_duration_ms", "One force of the log", metrics.forceMs),
    histogram("layerd_group_transactions", "Transactions of one commit group", metrics.groupSize),
    histogram("layerd_lock_wait_duration_ms", "Waits for locks", metrics.lockWaitMs),
    single("layerd_lock_waits_total", "counter", "Lock requests that waited", metrics.lockWaits),
    single("layerd_deadlocks_total", "counter", "Deadlock victims", metrics.deadlocks),
    single("layerd_log_bytes", "gauge", "Size of the log", log.bytes),
    single("layerd_log_segments", "gauge", "Segments of the log", log.segments),
    single("layerd_log_last_lsn", "gauge", "Last record appended", log.lastLsn),
    single("layerd_log_durable_lsn", "gauge", "Last record forced", log.durableLsn),
    single("layerd_log_checkpoint_lsn", "gauge", "Last checkpoint", log.checkpointLsn),
    single(
      "layerd_log_bytes_since_checkpoint",
      "gauge",
      "Bytes that recovery would read",
      log.bytesSinceCheckpoint,
    ),
    single("layerd_event_subscribers", "gauge", "Open event streams", gauges.subscribers),
    family("layerd_http_requests_total", "counter", "Requests answered, by status", [
      ...[...requests].map(([status, count]) =>
        sample("layerd_http_requests_total", count, { status: String(status) })
      ),
    ]),
    single("layerd_uptime_ms", "gauge", "Since the start", gauges.uptimeMs),
    single("process_resident_memory_bytes", "gauge", "Resident memory", gauges.residentBytes),
  ].join("");
}

function family(name: string, type: string, help: string, samples: readonly string[]): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${samples.join("")}`;
}

function single(name: string, type: string, help: string, value: number): string {
  return family(name, type, help, [sample(name, value, {})]);
}

function sample(name: string, value: number, labels: Readonly<Record<string, string>>): string {
  const text = Object.entries(labels).map(([label, of]) => `${label}="${of}"`).join(",");
  return `${name}${text === "" ? "" : `{${text}}`} ${value}\n`;
}

function histogram(name: string, help: string, values: Histogram): string {
  const counts = values.cumulative();
  return family(name, "histogram", help, [
    ...values.bounds.map((bound, index) =>
      sample(`${name}_bucket`, counts[index] ?? 0, { le: String(bound) })
    ),
    sample(`${name}_bucket`, values.count, { le: "+Inf" }),
    sample(`${name}_sum`, values.sum, {}),
    sample(`${name}_count`, values.count, {}),
  ]);
}
