/**
 * What a log says about participants outside: which branches are open, and what they have to
 * be told. Pure; recovery tells them. Folded in log order, a key at a time:
 *
 *   asked           presumed abort: to be told to roll back
 *   prepared        promised: told nothing before its coordinator decides
 *   commit          to be told to commit; nothing after it takes that back
 *   rolled_back     to be told to roll back
 *   branch_failed   ended otherwise: told no more, kept for an operator
 *   resolved        an operator closed it
 *   ended           acknowledged
 */
import type { Branch, Decision, OpenBranch } from "./branch.ts";
import type { LoggedRecord } from "./log_record.ts";

/** Folds the records of a log, oldest first; open branches by their key. */
export function digestBranches(records: Iterable<LoggedRecord>): Map<string, OpenBranch> {
  const open = new Map<string, OpenBranch>();
  const decide = (branches: readonly Branch[], decision: Decision | null, since: string) => {
    for (const branch of branches) {
      const known = open.get(branch.key);
      if (known?.decision === "committed") continue;
      open.set(branch.key, {
        branch,
        decision,
        since,
        contradiction: known?.contradiction ?? null,
      });
    }
  };
  for (const { record } of records) {
    switch (record.kind) {
      case "asked":
        decide(record.branches, record.decision, record.at);
        break;
      case "prepared":
        decide(record.branches ?? [], null, record.transaction.updated_at);
        break;
      case "commit":
        decide(record.branches ?? [], "committed", record.transaction.updated_at);
        break;
      case "rolled_back": {
        const { id, updated_at } = record.transaction;
        const promised = [...open.values()].filter(({ branch, decision }) =>
          decision === null && branch.context.transactionId === id
        );
        decide(promised.map(({ branch }) => branch), "rolled_back", updated_at);
        break;
      }
      case "branch_failed": {
        const known = open.get(record.key);
        if (known) open.set(record.key, { ...known, contradiction: record.reason });
        break;
      }
      case "resolved":
        for (const [key, { branch }] of open) {
          const same = branch.context.transactionId === record.transactionId &&
            branch.participant === record.participant;
          if (same) open.delete(key);
        }
        break;
      case "ended":
        for (const key of record.keys) open.delete(key);
        break;
      default:
        // All other records are about repositories.
        break;
    }
  }
  return open;
}
