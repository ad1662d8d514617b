/** History of a commit, newest first, by our own walk: isomorphic-git's has no visited set. */
import { LayerdError } from "../core/errors.ts";
import type { ObjectId } from "../core/ids.ts";
import { parseCommit } from "./object_codec.ts";
import type { HistoryEntry, ObjectStore } from "./repository.ts";

/**
 * Commits reachable from `tip`, at most `limit`, in the order of `git log`: of those whose
 * child was shown, the one with the latest committer time comes next. Each is shown once
 * and read only when it is near. Parents of the commits in `edge` are not looked for
 * (shallow.ts). Throws `git_error` where a commit is missing or damaged.
 */
export async function* readHistory(
  objects: Pick<ObjectStore, "read">,
  tip: ObjectId,
  limit: number,
  edge: ReadonlySet<ObjectId> = new Set(),
): AsyncGenerator<HistoryEntry> {
  const queue = new CommitQueue();
  const seen = new Set<ObjectId>([tip]);
  if (limit > 0) queue.push(await readCommit(objects, tip));
  for (let shown = 0; shown < limit; shown += 1) {
    const next = queue.pop();
    if (next === null) return;
    yield next;
    if (shown + 1 === limit) return;
    for (const parent of edge.has(next.oid) ? [] : next.fields.parents) {
      if (seen.has(parent)) continue;
      seen.add(parent);
      queue.push(await readCommit(objects, parent));
    }
  }
}

/**
 * Whether `ancestor` is `descendant` or reachable from it. A no costs a walk of the whole
 * history: committer times can lie, so they only order the walk and never end it.
 */
export async function isAncestor(
  objects: Pick<ObjectStore, "read">,
  ancestor: ObjectId,
  descendant: ObjectId,
): Promise<boolean> {
  for await (const { oid } of readHistory(objects, descendant, Infinity)) {
    if (oid === ancestor) return true;
  }
  return false;
}

/** A commit's fields; throws `git_error` where it is missing, damaged or something else. */
export async function readCommit(
  objects: Pick<ObjectStore, "read">,
  oid: ObjectId,
): Promise<HistoryEntry> {
  const object = await objects.read(oid);
  if (object === null) throw new LayerdError("git_error", `Commit ${oid} is missing`);
  if (object.type !== "commit") {
    throw new LayerdError("git_error", `Object ${oid} is a ${object.type}, not a commit`);
  }
  return { oid, fields: parseCommit(object.body, oid) };
}

/** Latest committer time first, the earlier arrival first among equals: a binary heap. */
class CommitQueue {
  readonly #heap: { readonly entry: HistoryEntry; readonly arrival: number }[] = [];
  #arrivals = 0;

  push(entry: HistoryEntry): void {
    this.#heap.push({ entry, arrival: this.#arrivals });
    this.#arrivals += 1;
    let at = this.#heap.length - 1;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!this.#comesBefore(at, parent)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  pop(): HistoryEntry | null {
    const first = this.#heap[0];
    const last = this.#heap.pop();
    if (first === undefined || last === undefined) return null;
    if (this.#heap.length > 0) {
      this.#heap[0] = last;
      this.#sink();
    }
    return first.entry;
  }

  #sink(): void {
    for (let at = 0;;) {
      let first = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < this.#heap.length && this.#comesBefore(child, first)) first = child;
      }
      if (first === at) return;
      this.#swap(at, first);
      at = first;
    }
  }

  #comesBefore(a: number, b: number): boolean {
    const [one, other] = [this.#heap[a], this.#heap[b]];
    if (one === undefined || other === undefined) return false;
    const difference = one.entry.fields.committer.atSeconds -
      other.entry.fields.committer.atSeconds;
    return difference !== 0 ? difference > 0 : one.arrival < other.arrival;
  }

  #swap(a: number, b: number): void {
    const [one, other] = [this.#heap[a], this.#heap[b]];
    if (one === undefined || other === undefined) return;
    this.#heap[a] = other;
    this.#heap[b] = one;
  }
}
