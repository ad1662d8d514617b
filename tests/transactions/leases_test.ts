import { assertEquals } from "@std/assert";
import { parseTransactionId, type TransactionId } from "../../src/core/ids.ts";
import type { Clock, Timer } from "../../src/system/clock.ts";
import { Leases } from "../../src/transactions/leases.ts";
import { create, put, withEngine } from "./engine_scene.ts";
import { codeAndState } from "./refusals.ts";

/** A clock that stands until it is told to go on. */
class HandClock implements Clock {
  #nowMs = 0;
  readonly timers = new Map<symbol, { readonly atMs: number; readonly callback: () => void }>();

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    const key = Symbol();
    this.timers.set(key, { atMs: this.#nowMs + delayMs, callback });
    return { cancel: () => this.timers.delete(key) };
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, resolve));
  }

  goTo(nowMs: number): void {
    this.#nowMs = nowMs;
    for (const [key, { atMs, callback }] of [...this.timers]) {
      if (atMs > nowMs || !this.timers.delete(key)) continue;
      callback();
    }
  }
}

function idOf(index: number): TransactionId {
  return parseTransactionId(`01ARZ3NDEKTSV4RRFFQ69G${String(index).padStart(4, "0")}`);
}

Deno.test("leases.set() keeps one timer and reports every deadline once, in order", () => {
  const clock = new HandClock();
  const reported: TransactionId[] = [];
  const leases = new Leases(clock, (id) => reported.push(id));
  const deadlines = Array.from({ length: 1_000 }, (_, index) => (index * 7_919) % 1_000 + 1);
  deadlines.forEach((deadline, index) => leases.set(idOf(index), deadline));
  assertEquals(clock.timers.size, 1);
  for (let at = 1; at <= 1_000; at++) {
    clock.goTo(at);
    const due = deadlines.filter((deadline) => deadline <= at).length;
    assertEquals(reported.length, due);
  }
  assertEquals(
    reported.map((id) => deadlines[Number(id.slice(-4))]),
    [...deadlines].sort(
      (one, other) => one - other,
    ),
  );
  assertEquals([leases.size, clock.timers.size], [0, 0]);
});

Deno.test("leases.set() again and leases.drop() take the old deadline back", () => {
  const clock = new HandClock();
  const reported: TransactionId[] = [];
  const leases = new Leases(clock, (id) => reported.push(id));
  for (let index = 0; index < 10; index++) leases.set(idOf(index), 10);
  leases.set(idOf(3), 50);
  leases.set(idOf(4), 5);
  leases.drop(idOf(7));
  leases.drop(idOf(7));
  clock.goTo(5);
  assertEquals(reported, [idOf(4)]);
  clock.goTo(10);
  assertEquals(reported.length, 8);
  clock.goTo(49);
  assertEquals(reported.length, 8);
  clock.goTo(50);
  assertEquals(reported.at(-1), idOf(3));
  assertEquals(clock.timers.size, 0);
});

Deno.test("a lapsed lease rolls back, gives locks back and says so to later calls", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"));
    const id = await scene.openTransaction({ leaseMs: 100 });
    await scene.manager.stage(id, [put("a", "f", "1")]);
    const document = await scene.manager.waitFor(id, "terminal", 5_000);
    assertEquals([document.state, document.problem?.code], ["rolled_back", "lease_expired"]);
    assertEquals(document.lease_expires_at, null);
    assertEquals(scene.manager.locks(null).locks, []);
    for (
      const call of [
        scene.manager.stage(id, []),
        scene.manager.commit(id),
        scene.manager.prepare(id),
        scene.manager.heartbeat(id, null),
      ]
    ) assertEquals(await codeAndState(call), ["lease_expired", "rolled_back"]);
    assertEquals((await scene.manager.rollback(id)).state, "rolled_back");
  }));

Deno.test("heartbeat renews the lease and may change its length", () =>
  withEngine(async (scene) => {
    const id = await scene.openTransaction({ leaseMs: 200 });
    const renewed = await scene.manager.heartbeat(id, 60_000);
    const left = Date.parse(renewed.lease_expires_at ?? "") - Date.now();
    assertEquals(left > 55_000 && left <= 60_000, true);
    const short = await scene.manager.heartbeat(id, 100);
    assertEquals(short.state, "active");
    assertEquals((await scene.manager.waitFor(id, "terminal", 5_000)).state, "rolled_back");
  }));

Deno.test("a lease does not run while a call waits for a lock", () =>
  withEngine(async (scene) => {
    await scene.run(create("a"));
    const holder = await scene.openTransaction();
    await scene.manager.stage(holder, [put("a", "f", "1")]);
    const id = await scene.openTransaction({ leaseMs: 100, lockTimeoutMs: 250 });
    assertEquals(
      await codeAndState(scene.manager.stage(id, [put("a", "f", "2")])),
      ["lock_timeout", null],
    );
    assertEquals(scene.manager.get(id).state, "active");
  }));
