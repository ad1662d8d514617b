/** Commands of the model-based test: each does one call on both and compares everything. */
import type fc from "fast-check";
import { assert, assertEquals } from "@std/assert";
import type { Deadlock } from "../../src/core/deadlock.ts";
import type { LockHolder } from "../../src/core/errors.ts";
import type { TransactionId } from "../../src/core/ids.ts";
import type { Grant, LockTables } from "../../src/core/lock_table.ts";
import { type LockModel, type ModelLock, reachable } from "./lock_model.ts";

export type LockCommand = fc.Command<LockModel, LockTables>;

export class Acquire implements LockCommand {
  constructor(readonly wanted: ModelLock) {}

  check(model: Readonly<LockModel>): boolean {
    return !model.isWaiting(this.wanted.owner);
  }

  run(model: LockModel, tables: LockTables): void {
    const { owner, repositoryId, ref, mode } = this.wanted;
    const holders = model.holdersOf(this.wanted).map((hold) => hold.owner);
    const answer = tables.acquire(owner, repositoryId, ref, mode, "");
    const expected = model.acquire(this.wanted);
    if (answer.kind === "granted") {
      assertEquals(expected, "granted");
    } else if (answer.kind === "deadlock") {
      assertEquals(expected, "waiting");
      assertCycle(model, owner, { victim: owner, cycle: answer.cycle });
      assertEquals(model.cancelWait(owner), []);
    } else {
      assertEquals(expected, "waiting");
      assertEquals(answer.holders.map((holder) => holder.transaction_id), others(holders, owner));
      for (const deadlock of answer.victims) assertCycle(model, owner, deadlock);
      assertEquals(answer.victims.length > 0, model.isInCycle(owner), "Cycles are found");
      for (const { victim } of answer.victims) {
        assert(model.isInCycle(owner), `${victim} is a victim of no cycle`);
        assertSameGrants(tables.releaseAll(victim), model.releaseAll(victim));
      }
    }
    assert(!model.isInCycle(owner), "A cycle is left");
    assertSame(model, tables);
  }

  toString(): string {
    const { owner, repositoryId, ref, mode } = this.wanted;
    return `${short(owner)} acquires ${mode} ${short(repositoryId)} ${ref}`;
  }
}

export class CancelWait implements LockCommand {
  constructor(readonly owner: TransactionId) {}

  check(): boolean {
    return true;
  }

  run(model: LockModel, tables: LockTables): void {
    assertSameGrants(tables.cancelWait(this.owner), model.cancelWait(this.owner));
    assertSame(model, tables);
  }

  toString(): string {
    return `${short(this.owner)} gives up waiting`;
  }
}

export class ReleaseAll implements LockCommand {
  constructor(readonly owner: TransactionId) {}

  check(): boolean {
    return true;
  }

  run(model: LockModel, tables: LockTables): void {
    assertSameGrants(tables.releaseAll(this.owner), model.releaseAll(this.owner));
    assertSame(model, tables);
  }

  toString(): string {
    return `${short(this.owner)} releases all`;
  }
}

/** A named cycle is one, it starts at the requester, and its victim is the youngest. */
function assertCycle(model: LockModel, requester: TransactionId, deadlock: Deadlock): void {
  const { cycle, victim } = deadlock;
  assertEquals(cycle[0], requester);
  assertEquals(victim, cycle.toSorted().at(-1));
  for (const [place, id] of cycle.entries()) {
    const next = cycle[(place + 1) % cycle.length];
    assert(next && model.blockersOf(id).includes(next), `${id} does not wait for ${next}`);
  }
}

function assertSameGrants(actual: readonly Grant[], expected: readonly ModelLock[]): void {
  assertEquals(actual.map(nameOf).toSorted(), expected.map(nameOf).toSorted());
}

function assertSame(model: LockModel, tables: LockTables): void {
  const listings = tables.list(null);
  for (const { repositoryId, ref, holders, waiters } of listings) {
    const place = { repositoryId, ref };
    const of = (locks: readonly ModelLock[]) => locks.map(({ owner, mode }) => `${owner} ${mode}`);
    const listed = (locks: typeof holders) =>
      locks.map(({ transaction_id, mode }) => `${transaction_id} ${mode}`);
    assertEquals(listed(holders), of(model.holdersOf(place)));
    assertEquals(listed(waiters), of(model.queueOf(place)));
    assert(holders.length > 0, "An entry that nobody holds is kept");
    const exclusive = holders.some((holder) => holder.mode === "exclusive");
    assert(!exclusive || holders.length === 1, "An exclusive holder is not alone");
    assertHeadMustWait(holders, waiters);
  }
  const keys = new Set([...model.holds, ...model.waits].map((lock) => keyOf(lock)));
  assertEquals(listings.length, keys.size);
  assertSameHolds(model, tables);
  assertSameEdges(model, tables);
}

/** Said without the model: nobody waits who could be granted. */
function assertHeadMustWait(
  holders: readonly LockHolder[],
  [head]: readonly LockHolder[],
): void {
  if (!head) return;
  const inTheWay = holders.filter((holder) =>
    holder.transaction_id !== head.transaction_id &&
    (holder.mode === "exclusive" || head.mode === "exclusive")
  );
  assert(inTheWay.length > 0, `${head.transaction_id} waits for nobody`);
}

/** What one transaction has, asked in each way there is. */
function assertSameHolds(model: LockModel, tables: LockTables): void {
  for (const owner of new Set(model.holds.map((hold) => hold.owner))) {
    assertSameGrants(tables.holds(owner), model.holds.filter((hold) => hold.owner === owner));
  }
  for (const hold of model.holds) {
    const { owner, repositoryId, ref, mode } = hold;
    assertEquals(tables.modeOf(owner, repositoryId, ref), mode);
    assertEquals(
      tables.holdersOf(repositoryId, ref, owner).map((holder) => holder.transaction_id),
      others(model.holdersOf(hold).map((other) => other.owner), owner),
    );
  }
}

/** The edges that are shown are true ones, and lead to everybody whom a waiter waits for. */
function assertSameEdges(model: LockModel, tables: LockTables): void {
  const edges = Map.groupBy(tables.waitsFor(), ({ from }) => from);
  const shown = (from: TransactionId) => (edges.get(from) ?? []).map(({ to }) => to);
  for (const from of edges.keys()) {
    for (const to of shown(from)) assert(model.blockersOf(from).includes(to));
  }
  for (const { owner } of model.waits) {
    assertEquals(
      reachable(owner, shown),
      reachable(owner, (id) => model.blockersOf(id)),
      `Whom ${owner} waits for is not all shown`,
    );
  }
}

function others(ids: readonly TransactionId[], owner: TransactionId): string[] {
  return ids.filter((id) => id !== owner);
}

function keyOf({ repositoryId, ref }: ModelLock): string {
  return `${repositoryId} ${ref}`;
}

function nameOf({ owner, mode, ...key }: Grant): string {
  return `${owner} ${mode} ${key.repositoryId} ${key.ref}`;
}

function short(id: string): string {
  return id.slice(-2);
}
