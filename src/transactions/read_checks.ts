/**
 * What native git did to layers that a locking transaction only read: the locks keep this
 * daemon's own transactions away, and nothing else.
 *
 * R1. One that moves refs has its reads compared under git's locks, in the instant of its commit.
 * R2. One that moves none has them compared without: what stands now as it was read stood
 *     together when the last of it was read.
 */
import { layerOfRef, type RepositoryId } from "../core/ids.ts";
import type { RepositoryPart } from "../core/log_record.ts";
import type { RefCheck } from "../core/ref_edit.ts";
import type { Repository } from "../git/repository.ts";
import { refuseMoved } from "./moved_refs.ts";
import type { OpenTransaction } from "./open_transaction.ts";

/** The parts that the pipeline has to perform. Throws `write_conflict` (R2). */
export function withReadsChecked(
  parts: readonly RepositoryPart[],
  transaction: OpenTransaction,
): readonly RepositoryPart[] {
  const all = withReads(parts, transaction);
  if (parts.some((part) => part.edits.length > 0)) return all;
  const repositories = [...transaction.touched].map(({ repository }) => repository);
  refuseMoved(transaction.id, repositories, all);
  return parts;
}

/** Adds checks of the layers that were read. */
function withReads(
  parts: readonly RepositoryPart[],
  transaction: OpenTransaction,
): RepositoryPart[] {
  const named = new Set(
    parts.flatMap(({ repositoryId, edits, checks }) =>
      [...edits, ...checks].map(({ ref }) => `${repositoryId} ${ref}`)
    ),
  );
  const reads = new Map<Repository, RefCheck[]>();
  for (const { repository, ref, commit } of transaction.touched) {
    if (commit === null || layerOfRef(ref) === null) continue;
    if (named.has(`${repository.id} ${ref}`)) continue;
    const checks = reads.get(repository) ?? [];
    checks.push({ ref, expected: commit });
    reads.set(repository, checks);
  }
  const whole = new Map<RepositoryId, RepositoryPart>();
  for (const part of parts) whole.set(part.repositoryId, part);
  for (const [{ id, name }, checks] of reads) {
    const part = whole.get(id);
    const base: RepositoryPart = part ?? {
      repositoryId: id,
      repository: name,
      edits: [],
      checks: [],
      objects: { kind: "recorded", objects: [] },
    };
    whole.set(id, { ...base, checks: [...base.checks, ...checks] });
  }
  return [...whole.values()];
}
