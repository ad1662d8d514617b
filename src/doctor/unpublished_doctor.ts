/**
 * Where a log cannot be opened any more: the commits in its readable part that the log does not
 * say to be published, against what the refs hold. For each that is not, the commands that
 * publish it by hand, compared with the old value as recovery would.
 */
import { type Diagnosis, found } from "../core/diagnosis.ts";
import { unfinishedParts } from "../core/recovery_plan.ts";
import type { LogLook } from "./log_doctor.ts";
import { type Machine, readableRefs } from "./patient.ts";

export function lookAtUnpublished(machine: Machine, log: LogLook): Diagnosis[] {
  const findings: Diagnosis[] = [];
  for (const commit of log.digest.commits.values()) {
    for (const part of unfinishedParts(commit)) {
      const registered = log.digest.repositories.get(part.repositoryId);
      if (registered === undefined) continue;
      const repository = readableRefs(machine, registered.path);
      const open = part.edits.filter(({ ref, new: value }) =>
        repository === null || repository.refs.read(ref) !== value
      );
      if (open.length === 0) continue;
      const { id } = commit.record.transaction;
      const text =
        `Transaction ${id} was decided, and the log does not say that it was published ` +
        `in ${part.repository}: ${open.map(({ ref }) => ref).join(", ")}`;
      const commands = open.map(({ ref, old, new: value }) =>
        value === null
          ? `git -C ${registered.path} update-ref -d ${ref} ${old ?? ""}`
          : `git -C ${registered.path} update-ref ${ref} ${value} ${old ?? "0".repeat(40)}`
      );
      findings.push(found("corrupted", "decided_unpublished", registered.path, text, ...commands));
    }
  }
  return findings;
}
