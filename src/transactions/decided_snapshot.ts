/**
 * A snapshot of refs with what is decided and not published yet. While a transaction over
 * several repositories stalls in one of them, its refs have moved in the others: an optimistic
 * snapshot shows all of it, or a reader would see one half.
 */
import type { ObjectId, RefName } from "../core/ids.ts";
import type { RefEdit } from "../core/ref_edit.ts";
import type { RefSnapshot } from "../git/repository.ts";

/** `edits`: oldest first. */
export function withDecided(snapshot: RefSnapshot, edits: readonly RefEdit[]): RefSnapshot {
  if (edits.length === 0) return snapshot;
  const decided = new Map<RefName, ObjectId | null>(edits.map((edit) => [edit.ref, edit.new]));
  return {
    get: (ref) => {
      const value = decided.get(ref);
      return value === undefined ? snapshot.get(ref) : value;
    },
    entries: (prefix) => {
      const all = new Map(snapshot.entries(prefix));
      for (const [ref, value] of decided) {
        if (!ref.startsWith(prefix)) continue;
        if (value === null) all.delete(ref);
        else all.set(ref, value);
      }
      // Names of layers are ASCII, whose order is that of their bytes.
      return [...all].sort(([one], [other]) => one < other ? -1 : 1);
    },
  };
}
