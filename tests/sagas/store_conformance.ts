/** What every event store keeps (saga_store.ts, T1 to T4). */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { parseSagaId, type SagaId } from "../../src/core/ids.ts";
import type { SagaDefinition } from "../../src/core/saga_definition.ts";
import type { SagaFact } from "../../src/core/saga_event.ts";
import { SagaMovedOn, type SagaStore } from "../../src/sagas/saga_store.ts";
import { DenoRandom } from "../../src/system/deno_random.ts";

/** A place where stores open one after the other, as daemons do. */
export interface StorePlace extends AsyncDisposable {
  open(): Promise<SagaStore>;
  /** Makes a store look dead to the others, as after a SIGKILL and the end of its lease. */
  letDie(store: SagaStore): Promise<void>;
}

const random = new DenoRandom();
const AT = "2026-01-02T03:04:05.678Z";

function requested(definition = "test", tenantId: string | null = null) {
  const data = { definition, definition_version: 1, input: { n: 1 }, tenant_id: tenantId };
  return { type: "saga_requested", data } as const;
}

async function start(store: SagaStore, definition?: string, tenant?: string, at = AT) {
  const id = parseSagaId(random.ulid(Date.parse(at)));
  await store.start({ id, at, fact: requested(definition, tenant), key: null });
  return id;
}

const PAUSED: SagaFact = { type: "saga_paused", data: { reason: 'a "reason" \u00e9\n' } };
const OPEN = { state: "in_progress", condition: null } as const;

function append(store: SagaStore, id: SagaId, sequence: number, fact = PAUSED): Promise<void> {
  return store.append(id, { sequence, at: AT, fact }, OPEN);
}

function definitionOf(action: string): SagaDefinition {
  return { services: { s: { kind: "http", base_url: `http://h/${action}` } }, steps: [] };
}

export function testSagaStore(name: string, makePlace: () => Promise<StorePlace>): void {
  const check = (
    what: string,
    play: (store: SagaStore, place: StorePlace) => Promise<void>,
  ) =>
    Deno.test(`${name} ${what}`, async () => {
      await using place = await makePlace();
      await play(await place.open(), place);
    });

  check("keeps events in order, as they were", async (store) => {
    const id = await start(store);
    await append(store, id, 2);
    assertEquals(await store.events(id), [
      { ...requested(), saga_id: id, sequence: 1, at: AT },
      { ...PAUSED, saga_id: id, sequence: 2, at: AT },
    ]);
    assertEquals(await store.events(parseSagaId(random.ulid(0))), []);
  });

  check("appends to the expected sequence only, and once", async (store) => {
    const id = await start(store);
    for (const wrong of [1, 3]) {
      await assertRejects(() => append(store, id, wrong), SagaMovedOn, "continued");
    }
    const both = await Promise.allSettled([append(store, id, 2), append(store, id, 2)]);
    assertEquals(both.filter(({ status }) => status === "fulfilled").length, 1);
    assertEquals((await store.events(id)).length, 2);
  });

  check("starts one saga for one key", async (store) => {
    const key = { key: "k", requestHash: "h" };
    const one = () =>
      store.start({ id: parseSagaId(random.ulid(1)), at: AT, fact: requested(), key });
    const started = await Promise.all([one(), one(), one()]);
    assertEquals(new Set(started.map(({ id }) => id)).size, 1);
    assertEquals(started.filter(({ repeated }) => !repeated).length, 1);
    assertEquals(await store.count({}), 1);
    const other = { ...key, requestHash: "other" };
    const id = parseSagaId(random.ulid(1));
    await assertRejects(
      () => store.start({ id, at: AT, fact: requested(), key: other }),
      LayerdError,
      "another request",
    );
  });

  check("makes a version of a changed definition, and keeps the old one", async (store) => {
    assertEquals((await store.saveDefinition("d", definitionOf("a"))).version, 1);
    assertEquals((await store.saveDefinition("d", definitionOf("a"))).version, 1);
    assertEquals((await store.saveDefinition("d", definitionOf("b"))).version, 2);
    assertEquals(await store.definition("d", 1), { name: "d", version: 1, ...definitionOf("a") });
    assertEquals((await store.definition("d", null))?.version, 2);
    assertEquals(await store.definition("d", 3), null);
    assertEquals(await store.definition("none", null), null);
    assertEquals((await store.definitions()).map(({ version }) => version), [2]);
  });

  check("lists by state, condition, definition, tenant and time, newest first", async (store) => {
    const old = await start(store, "a", "acme", "2025-01-01T00:00:00.000Z");
    const other = await start(store, "b", undefined, "2025-06-01T00:00:00.000Z");
    const young = await start(store, "a", "other", "2026-01-01T00:00:00.000Z");
    await append(store, other, 2);
    const state = "compensating";
    const summary = { state, condition: "needs_operator" } as const;
    await store.append(old, { sequence: 2, at: AT, fact: PAUSED }, summary);
    assertEquals(await store.list({}, 10, null), [young, other, old]);
    assertEquals(await store.list({}, 1, young), [other]);
    assertEquals(await store.list({ definition: "a" }, 10, null), [young, old]);
    assertEquals(await store.list({ tenantId: "acme" }, 10, null), [old]);
    assertEquals(await store.list({ state: "in_progress" }, 10, null), [other]);
    assertEquals(await store.list({ condition: "needs_operator", state }, 10, null), [old]);
    assertEquals(await store.count({ condition: "needs_operator" }), 1);
    const between = {
      createdAfter: "2025-06-01T00:00:00.000Z",
      createdBefore: "2026-01-01T00:00:00.000Z",
    };
    assertEquals(await store.list(between, 10, null), [other]);
  });

  check(
    "hands the open sagas of a dead owner on, and refuses that one then",
    async (first, place) => {
      const open = await start(first);
      const done = await start(first);
      const ended = { type: "saga_compensated", data: {} } as const;
      await first.append(done, { sequence: 2, at: AT, fact: ended }, {
        state: "compensated",
        condition: null,
      });
      await place.letDie(first);
      const second = await place.open();
      assert(second.fencingToken > first.fencingToken);
      assertEquals(await second.claim(), [{ id: open, sequence: 1 }]);
      const own = await start(second);
      await append(second, own, 2);
      const both = [{ id: open, sequence: 1 }, { id: own, sequence: 2 }];
      assertEquals((await second.claim()).sort((a, b) => a.sequence - b.sequence), both);
      const refused = await assertRejects(() => append(first, open, 2), SagaMovedOn);
      assertEquals(refused.why, "owner");
      await append(second, open, 2);
      assertEquals((await second.events(open)).length, 2);
    },
  );
}
