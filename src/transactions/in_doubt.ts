/**
 * What is decided and not acknowledged, for an operator: listed, explained, and closed with a
 * reason. Git repositories stand here as `git:<name>` where a transaction has failed on them
 * or stalls.
 */
import type { BranchStatus } from "../participants/participant.ts";
import type { Decision } from "../core/branch.ts";
import { LayerdError, type RefConflict } from "../core/errors.ts";
import { quote, type RepositoryId, type TransactionId } from "../core/ids.ts";
import type { LogRecord, RepositoryPart } from "../core/log_record.ts";
import {
  contradictedIn,
  gitParticipant,
  type LoggedCommit,
  unfinishedParts,
} from "../core/recovery_plan.ts";
import type { Repository } from "../git/repository.ts";
import type { GroupCommitPipeline } from "./commit_pipeline.ts";
import type { EventBus } from "./events.ts";
import { inquireGit } from "./git_inquiry.ts";
import { type CommitParts, forceStubbornly } from "./group_member.ts";
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

/** One participant's side of a transaction in doubt. */
export interface InDoubtSide extends InDoubtDocument {
  /** What it says now. */
  readonly says: BranchStatus;
  /** Of a repository: the refs that contradicted the decision when it was published. */
  readonly conflicts: readonly RefConflict[];
}

export interface Resolution {
  readonly participant: string;
  readonly outcome: Decision;
  readonly reason: string;
}

interface InDoubtParts {
  readonly twoPhase: TwoPhase;
  /** Commits that failed or stall in a repository. */
  readonly gitCommits: () => readonly LoggedCommit[];
  /** A failed part is closed: writing to its repository may go on. */
  readonly onGitResolved: (id: TransactionId, repositoryId: RepositoryId) => void;
  readonly gitReason: (commit: LoggedCommit) => string;
  readonly repository: (id: RepositoryId) => Repository | null;
  readonly events: EventBus;
  /** Appends and forces. */
  readonly force: (record: LogRecord) => Promise<void>;
}

export class InDoubt {
  readonly #parts: InDoubtParts;
  #tail: Promise<unknown> = Promise.resolve();

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

  async explain(id: TransactionId): Promise<readonly InDoubtSide[]> {
    const found = this.list().filter((one) => one.transaction_id === id);
    if (found.length === 0) throw notInDoubt(id);
    return await Promise.all(found.map((one) => this.#side(id, one)));
  }

  /**
   * Closes a branch. The record is forced before anything follows from it; one after the
   * other, so that two operators do not both hear that their word holds.
   */
  resolve(id: TransactionId, resolution: Resolution): Promise<void> {
    const done = this.#tail.then(() => this.#resolve(id, resolution));
    this.#tail = done.catch(() => undefined);
    return done;
  }

  async #resolve(id: TransactionId, resolution: Resolution): Promise<void> {
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
    this.#parts.events.publish("transaction.resolved", { transaction_id: id, ...resolution });
  }

  /** The repository in which the transaction failed under that name, or null. */
  #failedIn(id: TransactionId, participant: string): RepositoryId | null {
    const git = this.#gitPart(id, participant);
    if (git === null) return null;
    const { repositoryId } = git.part;
    return contradictedIn(git.commit).includes(repositoryId) ? repositoryId : null;
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

  async #side(id: TransactionId, document: InDoubtDocument): Promise<InDoubtSide> {
    const git = this.#gitPart(id, document.participant);
    if (git === null) {
      return { ...document, says: await this.#inquire(id, document.participant), conflicts: [] };
    }
    const { commit, part } = git;
    const isOpen = unfinishedParts(commit).includes(part);
    const says = inquireGit(this.#parts.repository(part.repositoryId), part, { isOpen });
    const conflicts = commit.failed.get(part.repositoryId)?.conflicts ?? [];
    return { ...document, says, conflicts };
  }

  #gitPart(
    id: TransactionId,
    participant: string,
  ): { readonly commit: LoggedCommit; readonly part: RepositoryPart } | null {
    const commit = this.#parts.gitCommits().find(({ record }) => record.transaction.id === id);
    const part = commit?.record.parts.find((one) => gitParticipant(one) === participant);
    return commit && part ? { commit, part } : null;
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

/** What is in doubt with the participants and repositories of an engine. */
export function inDoubtOf(
  twoPhase: TwoPhase,
  pipeline: GroupCommitPipeline,
  commit: CommitParts,
  events: EventBus,
): InDoubt {
  return new InDoubt({
    twoPhase,
    events,
    repository: (id) => commit.catalog.byId(id),
    gitCommits: () => pipeline.stalled.unsettled(),
    onGitResolved: (id, repositoryId) => {
      pipeline.stalled.resolve(id, repositoryId);
      commit.catalog.liftQuarantine(repositoryId, id);
    },
    gitReason: ({ record }) =>
      record.parts.map((part) => pipeline.stalled.reason(part.repositoryId)?.message)
        .find((reason) => reason !== undefined) ?? "Not published yet",
    force: (record) =>
      pipeline.turn(async () => {
        await forceStubbornly(commit, [record]);
      }),
  });
}
