/** Commands of the model-based test: each does one call on both and compares everything. */
import type fc from "fast-check";
import { assert, assertEquals } from "@std/assert";
import type { Deadlock } from "../../src/core/deadlock.ts";
import type { TransactionId } from "../../src/core/ids.ts";
import type { Grant, LockTables } from "../../src/core/lock_table.ts";
import type { LockModel, ModelLock } from "./lock_model.ts";

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
  }
  const keys = new Set([...model.holds, ...model.waits].map((lock) => keyOf(lock)));
  assertEquals(listings.length, keys.size);
  assertEquals(
    new Set(tables.waitsFor().map(({ from }) => from)),
    new Set(model.waits.map(({ owner }) => owner)),
  );
  for (const { from, to } of tables.waitsFor()) assert(model.blockersOf(from).includes(to));
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
