/** A saga drawn over time: one row a call, as long as it took. */
import type { SagaDocument, SagaEventDocument } from "../client/saga_documents.ts";

const BAR_WIDTH = 40;

interface Bar {
  readonly label: string;
  readonly fromMs: number;
  /** Null while the call is open. */
  toMs: number | null;
  mark: string;
  note: string;
}

/** Lines for a terminal. Times count from the saga's start. */
export function drawTimeline(saga: SagaDocument, events: readonly SagaEventDocument[]): string[] {
  const startMs = Date.parse(saga.created_at);
  const endMs = Math.max(
    startMs + saga.execution_time_ms,
    Date.parse(saga.updated_at),
    startMs + 1,
  );
  const bars = barsOf(events);
  const width = Math.max(4, ...bars.map(({ label }) => label.length));
  const column = (ms: number) =>
    Math.min(BAR_WIDTH, Math.round((ms - startMs) * BAR_WIDTH / (endMs - startMs)));
  return [
    ...headOf(saga),
    ...bars.map(({ label, fromMs, toMs, mark, note }) => {
      const from = Math.min(column(fromMs), BAR_WIDTH - 1);
      const length = Math.max(1, column(toMs ?? endMs) - from);
      const line = " ".repeat(from) + mark.repeat(length);
      const took = toMs === null ? "..." : `${toMs - fromMs} ms`;
      return `${label.padEnd(width)} |${line.padEnd(BAR_WIDTH)}| ${
        `+${fromMs - startMs}`.padStart(6)
      } ${took.padStart(8)}${note === "" ? "" : `  ${note}`}`;
    }),
    ...wordsOf(events, startMs),
  ];
}

function headOf(saga: SagaDocument): string[] {
  const condition = saga.condition === null ? "" : `, ${saga.condition}`;
  return [
    `saga ${saga.id}  ${saga.definition} version ${saga.definition_version}`,
    `${saga.state}${condition} after ${saga.execution_time_ms} ms`,
    ...(saga.problem === null ? [] : [
      `because ${
        saga.problem.step_id === null ? "" : `${saga.problem.step_id}: `
      }${saga.problem.detail}`,
    ]),
  ];
}

/** The mark of a call's end: done, undone, failed. */
const ENDS: Readonly<Record<string, string>> = {
  step_completed: "=",
  step_failed: "x",
  step_timed_out: "?",
  compensation_completed: "<",
  compensation_failed: "x",
};

function barsOf(events: readonly SagaEventDocument[]): Bar[] {
  const bars: Bar[] = [];
  let open: Bar | null = null;
  for (const { type, at, step_id, attempt, data } of events) {
    const atMs = Date.parse(at);
    if (type === "step_started" || type === "compensation_started") {
      const undo = type === "compensation_started" ? "undo " : "";
      const again = (attempt ?? 1) > 1 ? ` (${attempt})` : "";
      open = { label: `${undo}${step_id}${again}`, fromMs: atMs, toMs: null, mark: ".", note: "" };
      bars.push(open);
    } else if (open !== null && ENDS[type] !== undefined) {
      open.toMs = atMs;
      open.mark = ENDS[type];
      open.note = typeof data["error"] === "string" ? data["error"] : "";
      open = null;
    }
  }
  return bars;
}

/** What was said or decided beside the calls. */
function wordsOf(events: readonly SagaEventDocument[], startMs: number): string[] {
  return events.filter(({ type, step_id }) =>
    type !== "saga_requested" && (step_id === null || /skipped|operator/.test(type))
  ).map(({ type, at, step_id, data }) => {
    const reason = typeof data["reason"] === "string" ? `: ${data["reason"]}` : "";
    const step = step_id === null ? "" : ` ${step_id}`;
    return `${`+${Date.parse(at) - startMs}`.padStart(8)} ${
      type.replaceAll("_", " ")
    }${step}${reason}`;
  });
}
