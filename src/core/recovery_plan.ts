/**
 * What a log says, and what is to be done about it. Pure: recovery (transactions/recovery.ts)
 * reads the refs and performs the plan.
 *
 * digestLog() folds records in log order. A transaction is, by what the log holds:
 *
 *   D1 prepared            no commit, no rolled_back: its locks and pins are set up again
 *   D2 commit, unapplied   some part has neither `applied` nor `failed`: published by planRedo()
 *   D3 commit, applied     every part applied: only its objects and its ledger row may be missing
 *   D4 commit, failed      a part contradicts: quarantine stands until `resolved`
 *   D5 rolled_back         only its ledger row may be missing
 *   D6 nothing             presumed aborted: it is not in the digest
 *
 * planRedo() decides each unapplied transaction as a whole before anything is touched, by
 * where each of its refs stands in the chain of values that the log gave that ref:
 *
 *   R1 holds the new value or a later record's   published already: make it durable
 *   R2 holds the old value                       move it, once, to the last value of the chain
 *   R3 holds anything else                       the transaction is `failed`: nothing of it moves
 *
 * Running both again on the log that the first run left behind ends in the same state.
 */
import type { RefConflict } from "./errors.ts";
import type { LoggedRecord, LogRecord, RepositoryPart } from "./log_record.ts";
import {
  layerOfRef,
  type Lsn,
  type ObjectId,
  type RefName,
  type RepositoryId,
  type RepositoryName,
  type TransactionId,
} from "./ids.ts";
import type { RefEdit } from "./ref_edit.ts";

export type CommitRecord = Extract<LogRecord, { kind: "commit" }>;
export type PreparedRecord = Extract<LogRecord, { kind: "prepared" }>;
export type FailedRecord = Extract<LogRecord, { kind: "failed" }>;
export type RolledBackRecord = Extract<LogRecord, { kind: "rolled_back" }>;

/** A commit that the log holds, with what became of its parts. */
export interface LoggedCommit {
  readonly lsn: Lsn;
  readonly record: CommitRecord;
  readonly applied: ReadonlySet<RepositoryId>;
  readonly failed: ReadonlyMap<RepositoryId, FailedRecord>;
  /** Of the failed ones those that an operator has closed. */
  readonly resolved: ReadonlySet<RepositoryId>;
}

export interface LogDigest {
  readonly repositories: ReadonlyMap<
    RepositoryId,
    { readonly name: RepositoryName; readonly path: string }
  >;
  /** In log order. */
  readonly commits: ReadonlyMap<TransactionId, LoggedCommit>;
  readonly prepared: ReadonlyMap<
    TransactionId,
    { readonly lsn: Lsn; readonly record: PreparedRecord }
  >;
  readonly rolledBack: readonly { readonly lsn: Lsn; readonly record: RolledBackRecord }[];
  /** Tokens up to this one may have been handed out. */
  readonly fencingUpTo: number;
}

/** Parts whose publication the log does not say to be over. */
export function unfinishedParts(commit: LoggedCommit): RepositoryPart[] {
  return commit.record.parts.filter((part) =>
    !commit.applied.has(part.repositoryId) && !commit.failed.has(part.repositoryId)
  );
}

/** Repositories in which the commit failed, and nobody has resolved that. */
export function contradictedIn(commit: LoggedCommit): RepositoryId[] {
  return [...commit.failed.keys()].filter((id) => !commit.resolved.has(id));
}

/** What the part's repository is called among participants. */
export function gitParticipant({ repository }: Pick<RepositoryPart, "repository">): string {
  return `git:${repository}`;
}

interface MutableCommit extends LoggedCommit {
  readonly applied: Set<RepositoryId>;
  readonly failed: Map<RepositoryId, FailedRecord>;
  readonly resolved: Set<RepositoryId>;
}

/** Folds the records of a log, oldest first. A record that a checkpoint appended again counts once. */
export function digestLog(records: Iterable<LoggedRecord>): LogDigest {
  const repositories = new Map<RepositoryId, { name: RepositoryName; path: string }>();
  const commits = new Map<TransactionId, MutableCommit>();
  const prepared = new Map<TransactionId, { lsn: Lsn; record: PreparedRecord }>();
  const rolledBack: { lsn: Lsn; record: RolledBackRecord }[] = [];
  const ended = new Set<TransactionId>();
  let fencingUpTo = 0;
  for (const { lsn, record } of records) {
    switch (record.kind) {
      case "fencing_range":
        fencingUpTo = Math.max(fencingUpTo, record.upTo);
        break;
      case "repository_added":
        repositories.set(record.repositoryId, { name: record.repository, path: record.path });
        break;
      case "repository_removed":
        repositories.delete(record.repositoryId);
        break;
      case "prepared": {
        const id = record.transaction.id as TransactionId;
        if (!prepared.has(id) && !commits.has(id) && !ended.has(id)) {
          prepared.set(id, { lsn, record });
        }
        break;
      }
      case "commit": {
        const id = record.transaction.id as TransactionId;
        prepared.delete(id);
        if (!commits.has(id)) {
          const empty = { applied: new Set<RepositoryId>(), failed: new Map() };
          commits.set(id, { lsn, record, ...empty, resolved: new Set<RepositoryId>() });
        }
        break;
      }
      case "rolled_back":
        prepared.delete(record.transaction.id as TransactionId);
        ended.add(record.transaction.id as TransactionId);
        rolledBack.push({ lsn, record });
        break;
      case "applied":
        commits.get(record.transactionId)?.applied.add(record.repositoryId);
        break;
      case "failed":
        commits.get(record.transactionId)?.failed.set(record.repositoryId, record);
        break;
      case "resolved": {
        const commit = commits.get(record.transactionId);
        // Participants outside are branch_plan.ts's.
        const part = commit?.record.parts.find((one) => gitParticipant(one) === record.participant);
        if (commit && part) commit.resolved.add(part.repositoryId);
        break;
      }
      // What is open with participants is branch_plan.ts's.
      case "asked":
      case "branch_failed":
      case "ended":
      case "incarnation":
      case "checkpoint":
        break;
    }
  }
  return { repositories, commits, prepared, rolledBack, fencingUpTo };
}

/** A transaction that cannot be published, with every ref that contradicts it. */
export interface RedoFailure {
  readonly transactionId: TransactionId;
  readonly conflicts: readonly RefConflict[];
}

export interface RedoPlan {
  /** For each repository: refs to move, from what they hold now to their last value. */
  readonly edits: ReadonlyMap<RepositoryId, readonly RefEdit[]>;
  /** Transactions of which every reachable part counts as published once `edits` are durable. */
  readonly publish: readonly LoggedCommit[];
  readonly failed: readonly RedoFailure[];
}

/** Value that a ref holds now, or undefined where the repository cannot be read now. */
export type CurrentValue = (
  repositoryId: RepositoryId,
  ref: RefName,
) => ObjectId | null | undefined;

/** Plans what is left to publish, for the commits of one log in log order. */
export function planRedo(commits: Iterable<LoggedCommit>, current: CurrentValue): RedoPlan {
  const all = [...commits];
  const chains = chainsOf(all);
  const publish: LoggedCommit[] = [];
  const failed: RedoFailure[] = [];
  const edits = new Map<RepositoryId, Map<RefName, RefEdit>>();
  for (const commit of all) {
    const parts = unfinishedParts(commit);
    if (parts.length === 0) continue;
    const conflicts: RefConflict[] = [];
    const moves: [RepositoryId, RefEdit][] = [];
    for (const part of parts) {
      for (const edit of part.edits) {
        const now = valueNow(edits, part.repositoryId, edit.ref, current);
        if (now === undefined) continue;
        const chain = chains.get(part.repositoryId)?.get(edit.ref) ?? [];
        const place = chain.findIndex((link) => link.commit === commit);
        const published = chain.slice(place).some((link) => link.edit.new === now);
        if (published) continue;
        if (now === edit.old) moves.push([part.repositoryId, edit]);
        else conflicts.push(conflictOf(part, edit, now));
      }
    }
    if (conflicts.length > 0) {
      failed.push({ transactionId: commit.record.transaction.id as TransactionId, conflicts });
      continue;
    }
    publish.push(commit);
    for (const [repositoryId, edit] of moves) addMove(edits, repositoryId, edit);
  }
  return {
    edits: new Map([...edits].map(([id, byRef]) => [id, [...byRef.values()]])),
    publish,
    failed,
  };
}

interface Link {
  readonly commit: LoggedCommit;
  readonly edit: RefEdit;
}

function chainsOf(commits: readonly LoggedCommit[]): Map<RepositoryId, Map<RefName, Link[]>> {
  const chains = new Map<RepositoryId, Map<RefName, Link[]>>();
  for (const commit of commits) {
    for (const part of commit.record.parts) {
      const byRef = chains.get(part.repositoryId) ?? new Map<RefName, Link[]>();
      chains.set(part.repositoryId, byRef);
      for (const edit of part.edits) {
        const chain = byRef.get(edit.ref) ?? [];
        byRef.set(edit.ref, chain);
        chain.push({ commit, edit });
      }
    }
  }
  return chains;
}

function valueNow(
  edits: ReadonlyMap<RepositoryId, ReadonlyMap<RefName, RefEdit>>,
  repositoryId: RepositoryId,
  ref: RefName,
  current: CurrentValue,
): ObjectId | null | undefined {
  const planned = edits.get(repositoryId)?.get(ref);
  return planned === undefined ? current(repositoryId, ref) : planned.new;
}

function addMove(
  edits: Map<RepositoryId, Map<RefName, RefEdit>>,
  repositoryId: RepositoryId,
  edit: RefEdit,
): void {
  const byRef = edits.get(repositoryId) ?? new Map<RefName, RefEdit>();
  edits.set(repositoryId, byRef);
  const earlier = byRef.get(edit.ref);
  byRef.set(edit.ref, { ref: edit.ref, old: earlier ? earlier.old : edit.old, new: edit.new });
}

/** The wire form of a ref that is not where it was expected. */
export function conflictOf(
  part: { readonly repository: RepositoryName },
  expected: { readonly ref: RefName; readonly old: ObjectId | null },
  actual: ObjectId | null,
): RefConflict {
  return {
    repository: part.repository,
    ref: expected.ref,
    layer: layerOfRef(expected.ref),
    expected: expected.old,
    actual,
  };
}
