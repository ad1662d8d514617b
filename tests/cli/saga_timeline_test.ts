import { assertEquals } from "@std/assert";
import { drawTimeline } from "../../src/cli/saga_timeline.ts";
import type { SagaDocument, SagaEventDocument } from "../../src/client/saga_documents.ts";

const at = (ms: number) => new Date(1_700_000_000_000 + ms).toISOString();

function event(
  sequence: number,
  ms: number,
  type: SagaEventDocument["type"],
  stepId: string | null,
  data: Record<string, unknown> = {},
): SagaEventDocument {
  return { saga_id: "s", sequence, type, at: at(ms), step_id: stepId, attempt: 1, data };
}

Deno.test("drawTimeline() draws each call where and as long as it was, and what ended it", () => {
  const saga: SagaDocument = {
    id: "s",
    definition: "train",
    definition_version: 2,
    state: "compensating",
    condition: "needs_operator",
    tenant_id: null,
    input: null,
    output: null,
    current_step: "a",
    steps: [],
    created_at: at(0),
    updated_at: at(400),
    execution_time_ms: 400,
    problem: { code: "step_failed", detail: "422 no", step_id: "b" },
  };
  assertEquals(
    drawTimeline(saga, [
      event(1, 0, "saga_requested", null),
      event(2, 0, "step_started", "a"),
      event(3, 100, "step_completed", "a"),
      event(4, 100, "step_started", "b"),
      event(5, 200, "step_failed", "b", { error: "422 no" }),
      event(6, 200, "compensation_started", "a"),
      event(7, 400, "compensation_failed", "a", { error: "500" }),
      event(8, 400, "saga_needs_operator", "a"),
    ]),
    [
      "saga s  train version 2",
      "compensating, needs_operator after 400 ms",
      "because b: 422 no",
      "a      |==========                              |     +0   100 ms",
      "b      |          xxxxxxxxxx                    |   +100   100 ms  422 no",
      "undo a |                    xxxxxxxxxxxxxxxxxxxx|   +200   200 ms  500",
      "    +400 saga needs operator a",
    ],
  );
});
