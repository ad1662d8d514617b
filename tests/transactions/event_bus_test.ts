import { assertEquals, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { EVENT_QUEUE_MAX, EVENT_SUBSCRIBERS_MAX, EVENTS_KEPT_MAX } from "../../src/core/limits.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { RingEventBus } from "../../src/transactions/event_bus.ts";
import type { Subscription } from "../../src/transactions/events.ts";

const newBus = () => new RingEventBus({ clock: new DenoClock(), incarnation: 7 });

async function take(subscription: Subscription, count: number): Promise<string[]> {
  const ids: string[] = [];
  if (count === 0) return ids;
  for await (const item of subscription) {
    ids.push("id" in item ? item.id : item.type);
    if (ids.length === count) break;
  }
  return ids;
}

Deno.test("subscribe() sees events from now on, in order", async () => {
  const bus = newBus();
  bus.publish("transaction.begun", {});
  const subscription = bus.subscribe(null);
  bus.publish("transaction.committed", {});
  bus.publish("layer.changed", {});
  assertEquals(await take(subscription, 2), ["7-2", "7-3"]);
  assertEquals(bus.subscribers, 0);
});

Deno.test("subscribe() resumes after a cursor without loss or repetition", async () => {
  const bus = newBus();
  for (let number = 0; number < 5; number++) bus.publish("lock.waiting", {});
  const subscription = bus.subscribe("7-3");
  bus.publish("lock.waiting", {});
  assertEquals(await take(subscription, 3), ["7-4", "7-5", "7-6"]);
});

Deno.test("subscribe() refuses a cursor of another incarnation, one too old, and nonsense", () => {
  const bus = newBus();
  for (let number = 0; number < EVENTS_KEPT_MAX + 2; number++) bus.publish("lock.waiting", {});
  for (const cursor of ["6-1", "7-1", "7-99999999"]) {
    assertEquals(assertThrows(() => bus.subscribe(cursor), LayerdError).code, "cursor_expired");
  }
  bus.subscribe("7-2").close();
  assertEquals(assertThrows(() => bus.subscribe("x"), LayerdError).code, "invalid_request");
});

Deno.test("subscribe() tells a reader that does not read `overflow` and closes it", async () => {
  const bus = newBus();
  const subscription = bus.subscribe(null);
  for (let number = 0; number < EVENT_QUEUE_MAX + 10; number++) bus.publish("lock.waiting", {});
  assertEquals(bus.subscribers, 0);
  const seen: string[] = [];
  for await (const item of subscription) seen.push("id" in item ? item.id : item.type);
  assertEquals(seen.length, EVENT_QUEUE_MAX + 1);
  assertEquals(seen.at(-1), "overflow");
});

Deno.test("subscribe() hands a reader what it missed, however much, and bounds what comes after", async () => {
  const bus = newBus();
  for (let number = 0; number < EVENTS_KEPT_MAX; number++) bus.publish("lock.waiting", {});
  const subscription = bus.subscribe("7-0");
  for (let number = 0; number < EVENT_QUEUE_MAX; number++) bus.publish("lock.waiting", {});
  assertEquals(bus.subscribers, 1);
  bus.publish("lock.waiting", {});
  assertEquals(bus.subscribers, 0);
  const seen: string[] = [];
  for await (const item of subscription) seen.push("id" in item ? item.id : item.type);
  const expected = Array.from(
    { length: EVENTS_KEPT_MAX + EVENT_QUEUE_MAX },
    (_, index) => `7-${index + 1}`,
  );
  assertEquals(seen, [...expected, "overflow"]);
});

Deno.test("subscribe() wakes a reader that waits, also to tell it of the end", async () => {
  const bus = newBus();
  const reader = bus.subscribe(null)[Symbol.asyncIterator]();
  const first = reader.next();
  bus.publish("layer.changed", { layer: "base" });
  const { value } = await first;
  assertEquals(value && "data" in value ? [value.id, value.data] : null, ["7-1", {
    layer: "base",
  }]);
  const last = reader.next();
  bus.close();
  assertEquals((await last).done, true);
});

Deno.test("subscribe() is bounded in number, and close() ends every stream", async () => {
  const bus = newBus();
  const all = Array.from({ length: EVENT_SUBSCRIBERS_MAX }, () => bus.subscribe(null));
  assertEquals(assertThrows(() => bus.subscribe(null), LayerdError).code, "too_many_subscribers");
  bus.close();
  for (const subscription of all) for await (const _ of subscription) throw new Error("unread");
  assertEquals(bus.subscribers, 0);
  assertEquals(assertThrows(() => bus.subscribe(null), LayerdError).code, "draining");
});
