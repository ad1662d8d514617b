import { assert, assertEquals, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { isTerminal, TRANSACTION_STATES } from "../../src/core/transaction_document.ts";
import { step, type TransactionEvent } from "../../src/core/transaction_state.ts";

// Every kind once: the type makes the list complete.
const EVENTS: Record<TransactionEvent["kind"], TransactionEvent> = {
  locks_granted: { kind: "locks_granted" },
  stage: { kind: "stage" },
  prepare: { kind: "prepare" },
  commit: { kind: "commit" },
  vote_prepared: { kind: "vote_prepared" },
  vote_refused: { kind: "vote_refused" },
  refused_retryable: { kind: "refused_retryable" },
  decided: { kind: "decided" },
  published: { kind: "published" },
  contradicted: { kind: "contradicted" },
  rollback: { kind: "rollback" },
  lease_expired: { kind: "lease_expired" },
  rolled_back: { kind: "rolled_back" },
  resolved: { kind: "resolved" },
};

/** The rows of the table in the state machine's own header: `to: effects` by `from event`. */
function specification(): Map<string, string> {
  const source = Deno.readTextFileSync(
    new URL("../../src/core/transaction_state.ts", import.meta.url),
  );
  const rows = [...source.matchAll(/^ \* \| (\w+) +\| (\w+) +\| (\w+) +\| (.*?) *\|$/gm)].slice(1);
  return new Map(rows.map(([, from, event, to, effects]) => [
    `${from} ${event}`,
    `${to}: ${effects}`,
  ]));
}

function written({ state, effects }: ReturnType<typeof step>): string {
  const names = effects.map((effect) =>
    effect.kind === "announce" ? `announce ${effect.what}` : effect.kind
  );
  return `${state}: ${names.join(", ")}`;
}

Deno.test("step() follows the table of its header over the full product of states and events", () => {
  const table = specification();
  let legal = 0;
  for (const state of TRANSACTION_STATES) {
    for (const event of Object.values(EVENTS)) {
      const expected = table.get(`${state} ${event.kind}`);
      if (expected !== undefined) {
        assertEquals(written(step(state, event)), expected, `${state} ${event.kind}`);
        legal++;
        continue;
      }
      const error = assertThrows(() => step(state, event), LayerdError);
      assertEquals(error.code, "invalid_transition");
      assertEquals(error.details, { from: state, event: event.kind });
    }
  }
  assertEquals(legal, table.size, "Rows of the table that no state and event reach");
  assert(table.size >= 19, "The table was not read");
});

Deno.test("step() leads nowhere out of an end, whatever happens", () => {
  for (const state of TRANSACTION_STATES.filter(isTerminal)) {
    for (const event of Object.values(EVENTS)) {
      const row = specification().get(`${state} ${event.kind}`);
      assert(row === undefined || row.startsWith(`${state}:`), `${state} ${event.kind}`);
    }
  }
});

Deno.test("step() lets nothing but publication and contradiction end what is decided", () => {
  const ways = Object.values(EVENTS).filter(({ kind }) =>
    specification().has(`committing ${kind}`)
  );
  assertEquals(ways.map(({ kind }) => kind).sort(), ["contradicted", "published"]);
  assertThrows(() => step("prepared", EVENTS.lease_expired), LayerdError);
});

Deno.test("step() releases locks on entering every end, and only there", () => {
  for (const state of TRANSACTION_STATES) {
    for (const event of Object.values(EVENTS)) {
      if (!specification().has(`${state} ${event.kind}`)) continue;
      const { state: next, effects } = step(state, event);
      const ends = isTerminal(next) && !isTerminal(state);
      assertEquals(effects.some((effect) => effect.kind === "release_locks"), ends);
    }
  }
});

Deno.test("step() announces a begin once, however often a commit is refused for now", () => {
  const begun = step("initiated", EVENTS.locks_granted).effects;
  assertEquals(begun, [{ kind: "announce", what: "begun" }]);
  assertEquals(step("preparing", EVENTS.refused_retryable).effects, []);
});
