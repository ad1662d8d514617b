/**
 * What is decided and not acknowledged, for an operator: listed, explained, and closed with a
 * reason. Git repositories stand here as `git:<name>` where a transaction has failed on them
 * or stalls.
 */
import type { BranchStatus } from "../participants/participant.ts";
import type { Decision } from "../core/branch.ts";
import { LayerdError } from "../core/errors.ts";
import { quote, type RepositoryId, type TransactionId } from "../core/ids.ts";
import type { LogRecord } from "../core/log_record.ts";
import {
  contradictedIn,
  gitParticipant,
  type LoggedCommit,
  unfinishedParts,
} from "../core/recovery_plan.ts";
import type { TwoPhase } from "./two_phase.ts";

const INQUIRY_MS_MAX = 3_000;

export interface InDoubtDocument {
  readonly transaction_id: string;
  readonly participant: string;
  readonly decision: Decision;
  readonly since: string;
  readonly attempts: number;
  readonly last_error: string | null;
}

export interface Resolution {
  readonly participant: string;
  readonly outcome: Decision;
  readonly reason: string;
}

export interface InDoubtParts {
  readonly twoPhase: TwoPhase;
  /** Commits that failed or stall in a repository. */
  readonly gitCommits: () => readonly LoggedCommit[];
  /** A failed part is closed: writing to its repository may go on. */
  readonly onGitResolved: (id: TransactionId, repositoryId: RepositoryId) => void;
  readonly gitReason: (commit: LoggedCommit) => string;
  /** Appends and forces. */
  readonly force: (record: LogRecord) => Promise<void>;
}

export class InDoubt {
  readonly #parts: InDoubtParts;

  constructor(parts: InDoubtParts) {
    this.#parts = parts;
  }

  list(): readonly InDoubtDocument[] {
    const branches = this.#parts.twoPhase.coordinator.teller.all().map((entry) => ({
      transaction_id: entry.branch.context.transactionId,
      participant: entry.branch.participant,
      decision: entry.decision,
      since: entry.since,
      attempts: entry.attempts,
      last_error: entry.lastError ?? entry.contradiction,
    }));
    return [
      ...branches,
      ...this.#parts.gitCommits().flatMap((commit) => this.#gitDocuments(commit)),
    ];
  }

  async explain(id: TransactionId): Promise<
    readonly (InDoubtDocument & { readonly says: BranchStatus })[]
  > {
    const found = this.list().filter((one) => one.transaction_id === id);
    if (found.length === 0) throw notInDoubt(id);
    return await Promise.all(found.map(async (one) => ({
      ...one,
      says: await this.#inquire(id, one.participant),
    })));
  }

  /** Closes a branch outside. The record is forced before anything follows from it. */
  async resolve(id: TransactionId, resolution: Resolution): Promise<void> {
    const { participant, outcome, reason } = resolution;
    const { teller } = this.#parts.twoPhase.coordinator;
    const open = teller.all().filter(({ branch }) =>
      branch.context.transactionId === id && branch.participant === participant
    );
    const failed = this.#failedIn(id, participant);
    if (open.length === 0 && failed === null) throw this.#notResolvable(id, participant);
    await this.#parts.force({ kind: "resolved", transactionId: id, participant, outcome, reason });
    for (const { branch } of open) teller.resolve(branch.key, outcome);
    if (failed !== null) this.#parts.onGitResolved(id, failed);
  }

  /** The repository in which the transaction failed under that name, or null. */
  #failedIn(id: TransactionId, participant: string): RepositoryId | null {
    const commit = this.#parts.gitCommits().find(({ record }) => record.transaction.id === id);
    if (commit === undefined) return null;
    const open = contradictedIn(commit);
    const part = commit.record.parts.find((one) =>
      gitParticipant(one) === participant && open.includes(one.repositoryId)
    );
    return part?.repositoryId ?? null;
  }

  #notResolvable(id: TransactionId, participant: string): LayerdError {
    const known = this.list().filter((one) => one.transaction_id === id);
    if (known.length === 0) return notInDoubt(id);
    const stalls = known.some((one) => one.participant === participant);
    const remedy = stalls
      ? "it is decided, and published as soon as its repository allows: mend that, or give the " +
        `repository up by DELETE /v1/repositories/${participant.slice(4)}?abandon=true`
      : `in doubt with ${known.map((one) => one.participant).join(", ")}`;
    return new LayerdError(
      "participant_not_found",
      `Transaction ${id} cannot be resolved for ${quote(participant)}: ${remedy}`,
      { transaction_id: id },
    );
  }

  async #inquire(id: TransactionId, participant: string): Promise<BranchStatus> {
    const { coordinator, registry } = this.#parts.twoPhase;
    const entry = coordinator.teller.all().find(({ branch }) =>
      branch.context.transactionId === id && branch.participant === participant
    );
    if (entry === undefined || registry.refusal(entry.branch.participant) !== null) return null;
    const subject = registry.get(entry.branch.participant);
    return await subject.inquire({ ...entry.branch, timeoutMs: INQUIRY_MS_MAX });
  }

  #gitDocuments(commit: LoggedCommit): InDoubtDocument[] {
    const failed = contradictedIn(commit);
    const parts = commit.record.parts.filter((part) =>
      failed.includes(part.repositoryId) || unfinishedParts(commit).includes(part)
    );
    return parts.map((part) => ({
      transaction_id: commit.record.transaction.id,
      participant: gitParticipant(part),
      decision: "committed",
      since: commit.record.transaction.updated_at,
      attempts: 1,
      last_error: commit.failed.get(part.repositoryId)?.reason ?? this.#parts.gitReason(commit),
    }));
  }
}

function notInDoubt(id: TransactionId): LayerdError {
  return new LayerdError("transaction_not_found", `Transaction ${id} is not in doubt`, {
    transaction_id: id,
  });
}
