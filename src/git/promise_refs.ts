/**
 * Refs that keep what promises rely on: `refs/layerd/<transaction id>/<object id>`.
 *
 * A prepared transaction may point a ref at a commit that nothing else reaches, and native
 * `git gc --prune=now` spares only what a ref reaches. One ref for each such object keeps it
 * with its whole history; a kept pack would have to copy that history first.
 *
 * Q1. They stand in packed-refs, made and removed by one publication each: all of a promise
 *     or none, and one rewrite however many there are.
 * Q2. A promise's refs are durable before its record is forced. What a crash leaves between
 *     the two has no record, and recovery ends it.
 * Q3. end() only notes. drop() removes what has ended, and what it cannot remove stays noted.
 * Q4. No promise rests on the refs alone: a user may delete them, so the record names the
 *     objects, and they are looked for again at commit.
 */
import { LayerdError } from "../core/errors.ts";
import type { ObjectId, RefName } from "../core/ids.ts";
import type { RefEdit } from "../core/ref_edit.ts";
import type { LooseRefs } from "./loose_refs.ts";
import type { PackedRefs } from "./packed_refs.ts";
import { validRefName } from "./ref_names.ts";
import type { RefLocks } from "./ref_locks.ts";

const PREFIX = "refs/layerd/";

/** Publishes edits whose ref locks are held, under packed-refs.lock. */
export type PublishEdits = (edits: readonly RefEdit[]) => Promise<void>;

export interface PromiseRefsParts {
  readonly loose: LooseRefs;
  readonly locks: RefLocks;
  /** packed-refs as it stands; requires packed-refs.lock. */
  readonly packed: () => PackedRefs;
  /** The same for a first look without the lock. */
  readonly glance: () => PackedRefs;
  readonly publish: PublishEdits;
}

export class PromiseRefs {
  readonly #parts: PromiseRefsParts;
  /** Promises that have refs in the repository. */
  readonly #standing = new Set<string>();
  /** Of those, the ones that are over. */
  readonly #ended = new Set<string>();

  constructor(parts: PromiseRefsParts) {
    this.#parts = parts;
  }

  /** Promises that are over and whose refs stand still. */
  get ended(): readonly string[] {
    return [...this.#ended];
  }

  /** Durable when resolved; requires packed-refs.lock. Calling it again makes what is missing. */
  async keep(id: string, oids: readonly ObjectId[]): Promise<void> {
    const there = new Set(this.#refsOf(id).map(([ref]) => ref));
    const missing = [...new Set(oids)].flatMap((oid): RefEdit[] => {
      const ref = promiseRef(id, oid);
      return there.has(ref) ? [] : [{ ref, old: null, new: oid }];
    });
    if (there.size + missing.length > 0) this.#standing.add(id);
    this.#ended.delete(id);
    await this.#move(id, missing);
  }

  end(id: string): void {
    if (this.#standing.has(id)) this.#ended.add(id);
  }

  /** Recovery: notes the promises whose refs stand here. */
  find(): readonly string[] {
    for (const [ref] of this.#all(this.#parts.glance(), PREFIX)) {
      const id = ref.slice(PREFIX.length).split("/", 1)[0];
      if (id !== undefined) this.#standing.add(id);
    }
    return [...this.#standing];
  }

  /** Removes the refs of promises that are over; requires packed-refs.lock. */
  async drop(): Promise<void> {
    for (const id of this.#ended) {
      await this.#move(id, this.#refsOf(id).map(([ref, oid]) => ({ ref, old: oid, new: null })));
      this.#ended.delete(id);
      this.#standing.delete(id);
    }
  }

  async #move(id: string, edits: readonly RefEdit[]): Promise<void> {
    if (edits.length === 0) return;
    const refs = edits.map(({ ref }) => ref);
    const { locks, publish } = this.#parts;
    const outcome = locks.lockRefs(refs, id);
    if (outcome.kind !== "locked") {
      const path = outcome.kind === "blocked" ? outcome.path : outcome.other;
      throw new LayerdError("repository_locked", `${path} is in the way of ${PREFIX}${id}`, {
        reason: path,
      });
    }
    try {
      await publish(edits);
    } finally {
      locks.unlockRefs(refs);
    }
  }

  #refsOf(id: string): (readonly [RefName, ObjectId])[] {
    return this.#all(this.#parts.packed(), `${PREFIX}${id}/`);
  }

  /** Packed, and loose where somebody wrote one by hand. */
  #all(packed: PackedRefs, prefix: string): (readonly [RefName, ObjectId])[] {
    const found = new Map<RefName, ObjectId>(packed.entries(prefix));
    for (const [ref, loose] of this.#parts.loose.walk(prefix.slice(0, -1))) {
      if (loose.kind === "value") found.set(ref, loose.oid);
    }
    return [...found];
  }
}

function promiseRef(id: string, oid: ObjectId): RefName {
  const ref = validRefName(`${PREFIX}${id}/${oid}`);
  if (ref === null) throw new Error(`BUG: ${id} cannot name a promise`);
  return ref;
}
