/** Where the daemon's own log goes: standard error, one line a record. */
import { configure, getTextFormatter, type LogRecord } from "@logtape/logtape";

/** Writes synchronously: the last lines before an exit must not be lost. */
export async function configureLogs(): Promise<void> {
  const format = getTextFormatter({ timestamp: "rfc3339" });
  const encoder = new TextEncoder();
  const stderr = (record: LogRecord) => {
    Deno.stderr.writeSync(encoder.encode(format(record)));
  };
  await configure({
    reset: true,
    sinks: { stderr },
    loggers: [
      { category: "layerd", sinks: ["stderr"], lowestLevel: "info" },
      { category: ["logtape", "meta"], sinks: ["stderr"], lowestLevel: "warning" },
    ],
  });
}
