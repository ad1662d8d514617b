/**
 * A look before the pipeline for what can only be refused there. Of many optimistic writers
 * of one layer all but one come too late, and each group that refuses one takes git's locks
 * for it, and then leaves native git its share of the time.
 *
 * Nothing rests on it: what it lets pass is compared again under git's locks.
 */
import { LayerdError } from "../core/errors.ts";
import type { RepositoryPart } from "../core/log_record.ts";
import { conflictOf } from "../core/recovery_plan.ts";
import type { Repository } from "../git/repository.ts";

/** Throws `write_conflict` where a ref that the parts write or check is elsewhere by now. */
export function refuseMoved(
  transactionId: string,
  repositories: Iterable<Repository>,
  parts: readonly RepositoryPart[],
): void {
  const byId = new Map([...repositories].map((repository) => [repository.id, repository]));
  const conflicts = parts.flatMap((part) => {
    const refs = byId.get(part.repositoryId)?.refs;
    const expected = [
      ...part.checks.map(({ ref, expected }) => ({ ref, old: expected })),
      ...part.edits,
    ];
    return expected.flatMap(({ ref, old }) => {
      const actual = refs === undefined ? old : refs.read(ref);
      return actual === old ? [] : [conflictOf(part, { ref, old }, actual)];
    });
  });
  if (conflicts.length > 0) throw movedSince(transactionId, conflicts);
}

/** The refusal of a transaction whose snapshot is out of date. */
export function movedSince(
  transactionId: string,
  conflicts: readonly ReturnType<typeof conflictOf>[],
): LayerdError {
  const names = conflicts.map(({ ref }) => ref).join(", ");
  const text = `${names} moved since the snapshot of transaction ${transactionId}`;
  return new LayerdError("write_conflict", text, { conflicts: [...conflicts] });
}
