/** What a repository says of a transaction that is in doubt on it, by its refs now. */
import type { RepositoryPart } from "../core/log_record.ts";
import type { Repository } from "../git/repository.ts";
import type { BranchStatus } from "../participants/participant.ts";

/**
 * `isOpen`: its publication is still to come, so that refs which have not moved are no answer
 * but a promise. Null where the repository cannot be read now.
 */
export function inquireGit(
  repository: Repository | null,
  part: RepositoryPart,
  { isOpen }: { readonly isOpen: boolean },
): BranchStatus {
  if (repository === null) return null;
  let now;
  try {
    now = part.edits.map((edit) => ({ edit, value: repository.refs.read(edit.ref) }));
  } catch {
    // A damaged or unreachable ref: what it says cannot be told, and health names it.
    return null;
  }
  if (now.every(({ edit, value }) => value === edit.new)) return "committed";
  if (now.every(({ edit, value }) => value === edit.old)) {
    return isOpen ? "prepared" : "rolled_back";
  }
  return "unknown";
}
