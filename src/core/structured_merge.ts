/**
 * Three-way merge of structured values, key by key, so that two people who change two keys
 * do not conflict.
 *
 * M1. A key that only one side changed becomes what that side made of it; one that both made
 *     the same is that; anything else is a conflict, named by its key. Null is absence.
 * M2. Lists and scalars are one value each: items of a list have no identity to merge by.
 */
import { objectValue, sameValue, type Value } from "./structured_value.ts";

export interface MergedValue {
  readonly value: Value | null;
  /** Keys that both sides changed in different ways; empty where the merge is clean. */
  readonly conflicts: readonly (readonly string[])[];
}

/** Merges what two sides made of `base`. */
export function mergeValues(
  base: Value | null,
  ours: Value | null,
  theirs: Value | null,
): MergedValue {
  const conflicts: (readonly string[])[] = [];
  const value = merged(base, ours, theirs, [], conflicts);
  return { value, conflicts };
}

function merged(
  base: Value | null,
  ours: Value | null,
  theirs: Value | null,
  path: readonly string[],
  conflicts: (readonly string[])[],
): Value | null {
  if (same(ours, theirs) || same(base, theirs)) return ours;
  if (same(base, ours)) return theirs;
  if (ours?.kind !== "object" || theirs?.kind !== "object") {
    conflicts.push(path);
    return ours;
  }
  const before = base?.kind === "object" ? base.members : new Map<string, Value>();
  const members = new Map<string, Value>();
  for (const key of new Set([...ours.members.keys(), ...theirs.members.keys()])) {
    const member = merged(
      before.get(key) ?? null,
      ours.members.get(key) ?? null,
      theirs.members.get(key) ?? null,
      [...path, key],
      conflicts,
    );
    if (member !== null) members.set(key, member);
  }
  return objectValue(members, ours);
}

function same(one: Value | null, other: Value | null): boolean {
  return one === null || other === null ? one === other : sameValue(one, other);
}
