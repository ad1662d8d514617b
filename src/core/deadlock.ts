/**
 * Deadlocks that one new wait closed: cycles of the waits-for graph through the requester.
 * Any new cycle passes through it, since every new edge starts or ends there. The victim of
 * a cycle is its youngest transaction (the highest ULID): it has done the least.
 */
import type { TransactionId } from "./ids.ts";

/**
 * Names victims until no cycle through `requester` is left without one. Depth-first search
 * with a visited set: linear in the edges of the graph that can be reached, per victim.
 */
export function findDeadlocks(
  requester: TransactionId,
  blockersOf: (id: TransactionId) => readonly TransactionId[],
): { readonly victim: TransactionId; readonly cycle: readonly TransactionId[] }[] {
  const found: { victim: TransactionId; cycle: readonly TransactionId[] }[] = [];
  const victims = new Set<TransactionId>();
  for (;;) {
    const cycle = findCycle(requester, (id) => blockersOf(id).filter((to) => !victims.has(to)));
    if (cycle === null) return found;
    const victim = cycle.reduce((youngest, id) => id > youngest ? id : youngest);
    found.push({ victim, cycle });
    if (victim === requester) return found;
    victims.add(victim);
  }
}

/** A path from the requester back to itself, without the closing repetition, or null. */
function findCycle(
  requester: TransactionId,
  blockersOf: (id: TransactionId) => readonly TransactionId[],
): TransactionId[] | null {
  const visited = new Set<TransactionId>();
  const path: TransactionId[] = [requester];
  const ways: TransactionId[][] = [[...blockersOf(requester)]];
  while (ways.length > 0) {
    const next = ways.at(-1)?.pop();
    if (next === undefined) {
      ways.pop();
      path.pop();
    } else if (next === requester) {
      return path;
    } else if (!visited.has(next)) {
      visited.add(next);
      path.push(next);
      ways.push([...blockersOf(next)]);
    }
  }
  return null;
}
