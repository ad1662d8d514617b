/**
 * Deadlocks that one new wait closed: cycles of the waits-for graph through the requester.
 * Any new cycle passes through it, since every new edge starts or ends there. The victim of
 * a cycle is its youngest transaction (the highest ULID): it has done the least.
 */
import type { TransactionId } from "./ids.ts";

/** Transactions that wait for one another in a ring, and the youngest of them. */
export interface Deadlock {
  readonly victim: TransactionId;
  /** From the requester on, each waiting for the next, the last one for the first. */
  readonly cycle: readonly TransactionId[];
}

/**
 * Whom a transaction waits for, in one search. It need not name anybody again whom it named
 * for another transaction of the same search.
 */
export type Exploration = (id: TransactionId) => readonly TransactionId[];

/**
 * Names victims until no cycle through `requester` is left without one. Each search goes
 * breadth first, so that a cycle is as short as can be and nobody dies who only stood by.
 */
export function findDeadlocks(
  requester: TransactionId,
  newExploration: () => Exploration,
): Deadlock[] {
  const found: Deadlock[] = [];
  const victims = new Set<TransactionId>();
  for (;;) {
    const cycle = findCycle(requester, newExploration(), victims);
    if (cycle === null) return found;
    const victim = cycle.reduce((youngest, id) => id > youngest ? id : youngest);
    found.push({ victim, cycle });
    if (victim === requester) return found;
    victims.add(victim);
  }
}

/** A way from the requester back to itself past no victim, without its repetition, or null. */
function findCycle(
  requester: TransactionId,
  blockersOf: Exploration,
  victims: ReadonlySet<TransactionId>,
): TransactionId[] | null {
  const cameFrom = new Map<TransactionId, TransactionId>();
  const reached = [requester];
  for (const at of reached) {
    for (const to of blockersOf(at)) {
      if (to === requester) return wayTo(at, cameFrom);
      if (cameFrom.has(to) || victims.has(to)) continue;
      cameFrom.set(to, at);
      reached.push(to);
    }
  }
  return null;
}

function wayTo(
  last: TransactionId,
  cameFrom: ReadonlyMap<TransactionId, TransactionId>,
): TransactionId[] {
  const way = [last];
  for (let at = cameFrom.get(last); at !== undefined; at = cameFrom.get(at)) way.push(at);
  return way.reverse();
}
