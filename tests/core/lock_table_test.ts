import fc from "fast-check";
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  parseRefName,
  parseRepositoryId,
  parseTransactionId,
  type TransactionId,
} from "../../src/core/ids.ts";
import { type LockAnswer, LockTables } from "../../src/core/lock_table.ts";
import type { LockMode } from "../../src/core/transaction_document.ts";
import { Acquire, CancelWait, ReleaseAll } from "./lock_commands.ts";
import { LockModel } from "./lock_model.ts";

const app = parseRepositoryId("01ARZ3NDEKTSV4RRFFQ69G5FAA");
const lib = parseRepositoryId("01ARZ3NDEKTSV4RRFFQ69G5FAB");
const base = parseRefName("refs/layers/base");
const user = parseRefName("refs/layers/user");
const [t1, t2, t3, t4] = [transaction(1), transaction(2), transaction(3), transaction(4)];

function transaction(number: number): TransactionId {
  return parseTransactionId("01ARZ3NDEKTSV4RRFFQ6" + String(number).padStart(6, "0"));
}

/** Takes locks on the layer `base` of `app`, unless told otherwise. */
function locks() {
  const tables = new LockTables();
  const acquire = (owner: TransactionId, mode: LockMode, ref = base, repositoryId = app) =>
    tables.acquire(owner, repositoryId, ref, mode, `since ${owner.slice(-1)}`);
  return { tables, acquire };
}

function cycleOf(answer: LockAnswer): readonly TransactionId[] {
  assert(answer.kind === "deadlock", `Expected a deadlock, the answer was ${answer.kind}`);
  return answer.cycle;
}

Deno.test("lockTables.acquire() shares among readers and keeps a writer alone", () => {
  const { acquire } = locks();
  assertEquals(acquire(t1, "shared").kind, "granted");
  assertEquals(acquire(t2, "shared").kind, "granted");
  assertEquals(acquire(t3, "exclusive"), {
    kind: "waiting",
    holders: [
      { transaction_id: t1, mode: "shared", since: "since 1" },
      { transaction_id: t2, mode: "shared", since: "since 2" },
    ],
    victims: [],
  });
  assertEquals(acquire(t4, "exclusive", base, lib).kind, "granted");
});

Deno.test("lockTables.acquire() grants a lock that is held, or a weaker one, at once", () => {
  const { tables, acquire } = locks();
  acquire(t1, "exclusive");
  acquire(t2, "shared");
  assertEquals(acquire(t1, "exclusive").kind, "granted");
  assertEquals(acquire(t1, "shared").kind, "granted");
  assertEquals(tables.modeOf(t1, app, base), "exclusive");
});

Deno.test("lockTables.acquire() queues a reader behind a waiting writer", () => {
  const { tables, acquire } = locks();
  acquire(t1, "shared");
  acquire(t2, "exclusive");
  assertEquals(acquire(t3, "shared").kind, "waiting");
  assertEquals(tables.releaseAll(t1).map((grant) => grant.owner), [t2]);
  assertEquals(tables.releaseAll(t2).map((grant) => grant.owner), [t3]);
});

Deno.test("lockTables.releaseAll() grants waiting readers together, up to the next writer", () => {
  const { tables, acquire } = locks();
  acquire(t1, "exclusive");
  acquire(t2, "shared");
  acquire(t3, "shared");
  acquire(t4, "exclusive");
  acquire(transaction(5), "shared");
  assertEquals(tables.releaseAll(t1), [
    { owner: t2, repositoryId: app, ref: base, mode: "shared" },
    { owner: t3, repositoryId: app, ref: base, mode: "shared" },
  ]);
  assertEquals(tables.releaseAll(t2), []);
  assertEquals(tables.releaseAll(t3).map((grant) => grant.owner), [t4]);
});

Deno.test("lockTables.cancelWait() of a writer lets the readers behind it in", () => {
  const { tables, acquire } = locks();
  acquire(t1, "shared");
  acquire(t2, "exclusive");
  acquire(t3, "shared");
  assertEquals(tables.cancelWait(t2).map((grant) => grant.owner), [t3]);
  assertEquals(tables.cancelWait(t2), []);
});

Deno.test("lockTables.acquire() upgrades an only reader at once, past waiting writers", () => {
  const { tables, acquire } = locks();
  acquire(t1, "shared");
  acquire(t2, "exclusive");
  assertEquals(acquire(t1, "exclusive").kind, "granted");
  assertEquals(tables.modeOf(t1, app, base), "exclusive");
  assertEquals(tables.holds(t1).length, 1);
});

Deno.test("lockTables.acquire() serves an upgrade before those who hold nothing", () => {
  const { tables, acquire } = locks();
  acquire(t1, "shared");
  acquire(t2, "shared");
  acquire(t3, "exclusive");
  assertEquals(acquire(t1, "exclusive").kind, "waiting");
  assertEquals(tables.releaseAll(t2), [
    { owner: t1, repositoryId: app, ref: base, mode: "exclusive" },
  ]);
  assertEquals(tables.releaseAll(t1).map((grant) => grant.owner), [t3]);
});

Deno.test("lockTables.acquire() finds two upgrades of one layer to be a deadlock", () => {
  const { tables, acquire } = locks();
  acquire(t1, "shared");
  acquire(t2, "shared");
  acquire(t1, "exclusive");
  assertEquals(cycleOf(acquire(t2, "exclusive")), [t2, t1]);
  assertEquals(tables.releaseAll(t2).map((grant) => grant.owner), [t1]);
});

Deno.test("lockTables.acquire() names the youngest of three across two repositories", () => {
  const { tables, acquire } = locks();
  acquire(t1, "exclusive", base, app);
  acquire(t2, "exclusive", base, lib);
  acquire(t3, "exclusive", user, lib);
  assertEquals(acquire(t3, "shared", base, app).kind, "waiting");
  assertEquals(acquire(t2, "shared", user, lib).kind, "waiting");
  const answer = acquire(t1, "exclusive", base, lib);
  assert(answer.kind === "waiting");
  assertEquals(answer.victims, [{ victim: t3, cycle: [t1, t2, t3] }]);
  assertEquals(tables.releaseAll(t3).map((grant) => grant.owner), [t2]);
  assertEquals(tables.releaseAll(t2).map((grant) => grant.owner), [t1]);
});

Deno.test("lockTables.acquire() does not queue a requester that is the victim", () => {
  const { tables, acquire } = locks();
  acquire(t1, "exclusive", base);
  acquire(t2, "exclusive", user);
  acquire(t1, "exclusive", user);
  const answer = acquire(t2, "exclusive", base);
  assertEquals(cycleOf(answer), [t2, t1]);
  assert(answer.kind === "deadlock");
  assertEquals(answer.holders.map((holder) => holder.transaction_id), [t1]);
  assertEquals(tables.waitsFor(), [{ from: t1, to: t2 }]);
});

Deno.test("lockTables.acquire() sees a deadlock through a waiter that only stands ahead", () => {
  const { acquire } = locks();
  acquire(t1, "shared", base);
  acquire(t3, "exclusive", user);
  acquire(t2, "exclusive", base);
  acquire(t1, "exclusive", user);
  // The reader would stand behind the waiting writer t2, and has no quarrel with t1 itself.
  const answer = acquire(t3, "shared", base);
  assertEquals(cycleOf(answer), [t3, t2, t1]);
  assert(answer.kind === "deadlock");
  assertEquals(answer.holders.map((holder) => holder.transaction_id), [t1, t2]);
});

Deno.test("lockTables.acquire() names a victim for every cycle that one wait closes", () => {
  const { tables, acquire } = locks();
  acquire(t1, "exclusive", user);
  acquire(t2, "shared", base);
  acquire(t3, "shared", base);
  acquire(t2, "shared", user);
  acquire(t3, "shared", user);
  const answer = acquire(t1, "exclusive", base);
  assert(answer.kind === "waiting");
  assertEquals(answer.victims.map((deadlock) => deadlock.victim), [t2, t3]);
  assertEquals(tables.releaseAll(t2), []);
  assertEquals(tables.releaseAll(t3).map((grant) => grant.owner), [t1]);
});

Deno.test("lockTables.acquire() of a transaction that waits already is a bug", () => {
  const { acquire } = locks();
  acquire(t1, "exclusive");
  acquire(t2, "shared");
  assertThrows(() => acquire(t2, "shared", user), Error, "BUG");
});

Deno.test("lockTables.waitsFor() leads a writer to every reader that waits before it", () => {
  const { tables, acquire } = locks();
  acquire(t1, "exclusive");
  acquire(t2, "shared");
  acquire(t3, "shared");
  acquire(t4, "exclusive");
  assertEquals(tables.waitsFor(), [
    { from: t2, to: t1 },
    { from: t3, to: t1 },
    { from: t4, to: t1 },
    { from: t4, to: t2 },
    { from: t4, to: t3 },
  ]);
});

Deno.test("lockTables.waitsFor() has few edges where many writers wait for many readers", () => {
  const { tables, acquire } = locks();
  for (let number = 0; number < 100; number++) acquire(transaction(number), "shared");
  for (let number = 100; number < 200; number++) acquire(transaction(number), "exclusive");
  assertEquals(tables.waitsFor().length, 100 + 99);
});

Deno.test("lockTables.list() tells holders and waiters of one repository or of all", () => {
  const { tables, acquire } = locks();
  acquire(t1, "shared");
  acquire(t2, "exclusive");
  acquire(t3, "exclusive", user, lib);
  assertEquals(tables.list(app), [{
    repositoryId: app,
    ref: base,
    holders: [{ transaction_id: t1, mode: "shared", since: "since 1" }],
    waiters: [{ transaction_id: t2, mode: "exclusive", since: "since 2" }],
  }]);
  assertEquals(tables.list(null).length, 2);
  for (const owner of [t1, t2, t3]) tables.releaseAll(owner);
  assertEquals(tables.list(null), []);
});

Deno.test("lockTables does as the plain model does, whatever the order of calls", () => {
  const owners = fc.integer({ min: 1, max: 6 }).map(transaction);
  const wanted = fc.record({
    owner: owners,
    repositoryId: fc.constantFrom(app, lib),
    ref: fc.constantFrom(base, user),
    mode: fc.constantFrom<LockMode>("shared", "exclusive"),
  });
  const commands = fc.commands([
    wanted.map((lock) => new Acquire(lock)),
    wanted.map((lock) => new Acquire(lock)),
    wanted.map((lock) => new Acquire(lock)),
    owners.map((owner) => new CancelWait(owner)),
    owners.map((owner) => new ReleaseAll(owner)),
  ], { maxCommands: 80, size: "max" });
  fc.assert(
    fc.property(commands, (sequence) => {
      fc.modelRun(() => ({ model: new LockModel(), real: new LockTables() }), sequence);
    }),
    { numRuns: 300 },
  );
});
