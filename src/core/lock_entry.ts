/**
 * One key of the lock tables: who holds it and who waits for it, and what follows from that.
 * lock_table.ts owns the entries and alone changes holders; the invariants stand there.
 */
import type { LockHolder } from "./errors.ts";
import type { RefName, RepositoryId, TransactionId } from "./ids.ts";
import type { LockMode } from "./transaction_document.ts";

export interface Hold {
  mode: LockMode;
  readonly since: string;
}

export interface Waiter {
  readonly owner: TransactionId;
  readonly mode: LockMode;
  readonly since: string;
}

export interface Entry {
  readonly repositoryId: RepositoryId;
  readonly ref: RefName;
  readonly holders: Map<TransactionId, Hold>;
  readonly queue: Waiter[];
}

/** How much of one entry a deadlock search has named already. */
export interface Explored {
  readonly places: ReadonlyMap<TransactionId, number>;
  holders: boolean;
  /** Writers that wait before this place. */
  writersBefore: number;
}

/** Looks at two holders at most: there is one exclusive holder or only shared ones (L1). */
export function compatible(entry: Entry, { owner, mode }: Waiter): boolean {
  if (entry.holders.size === 0) return true;
  if (entry.holders.size === 1 && entry.holders.has(owner)) return true;
  return mode === "shared" && !isExclusive(entry);
}

function isExclusive(entry: Entry): boolean {
  for (const { mode } of entry.holders.values()) return mode === "exclusive";
  return false;
}

export function holdersInTheWay(entry: Entry, { owner, mode }: Waiter): TransactionId[] {
  if (mode === "shared" && !isExclusive(entry)) return [];
  return [...entry.holders.keys()].filter((holder) => holder !== owner);
}

export function unexplored(entry: Entry): Explored {
  const places = new Map(entry.queue.map(({ owner }, place) => [owner, place]));
  return { places, holders: false, writersBefore: 0 };
}

/**
 * Whom a waiter waits for, as far as a search for cycles needs to know: a writer for the
 * holders, a reader for a writing holder, else for the writers before it. A writer waits for
 * those before it as well, but they wait for nobody else than it does itself: a cycle through
 * one of them has a shorter one beside it. What `done` says was named is left out, so that a
 * search takes as many steps as a queue is long, not its square.
 */
export function explore(entry: Entry, done: Explored, owner: TransactionId): TransactionId[] {
  const place = done.places.get(owner);
  const waiter = place === undefined ? undefined : entry.queue[place];
  if (place === undefined || waiter === undefined) return [];
  if (waiter.mode === "exclusive" || isExclusive(entry)) {
    if (done.holders) return [];
    // One that holds the key itself (an upgrade) is left out here, and others wait for it.
    done.holders = !entry.holders.has(owner);
    return holdersInTheWay(entry, waiter);
  }
  const writers = entry.queue.slice(Math.min(done.writersBefore, place), place)
    .filter((ahead) => ahead.mode === "exclusive");
  done.writersBefore = Math.max(done.writersBefore, place);
  return writers.map((ahead) => ahead.owner);
}

/** Edges from each waiter to the last ones before it in its way; see LockTables.waitsFor(). */
export function nearestInTheWay(
  entry: Entry,
): { readonly from: TransactionId; readonly to: TransactionId }[] {
  let writer: Waiter | null = null;
  let readersSince: Waiter[] = [];
  const edges: { from: TransactionId; to: TransactionId }[] = [];
  for (const waiter of entry.queue) {
    const nameHolders = writer === null || isExclusive(entry);
    const inTheWay = new Set(nameHolders ? holdersInTheWay(entry, waiter) : []);
    if (waiter.mode === "exclusive" && readersSince.length > 0) {
      for (const reader of readersSince) inTheWay.add(reader.owner);
    } else if (writer) inTheWay.add(writer.owner);
    for (const to of inTheWay) edges.push({ from: waiter.owner, to });
    if (waiter.mode === "exclusive") {
      writer = waiter;
      readersSince = [];
    } else readersSince.push(waiter);
  }
  return edges;
}

/** Upgrades stand before everybody who holds nothing, among themselves in arrival order. */
export function enqueue(entry: Entry, waiter: Waiter): void {
  const upgrades = entry.holders.has(waiter.owner);
  const place = upgrades
    ? entry.queue.findIndex((other) => !entry.holders.has(other.owner))
    : entry.queue.length;
  entry.queue.splice(place < 0 ? entry.queue.length : place, 0, waiter);
}

export function listHolders(entry: Entry, except: TransactionId | null): LockHolder[] {
  return [...entry.holders].filter(([owner]) => owner !== except)
    .map(([owner, { mode, since }]) => ({ transaction_id: owner, mode, since }));
}

export function listWaiter({ owner, mode, since }: Waiter): LockHolder {
  return { transaction_id: owner, mode, since };
}
