/**
 * How a transaction is decided: by the pipeline alone where all of it is in Git, through the
 * coordinator where participants have a part in it.
 */
import type { LogId } from "../core/ids.ts";
import type { CommitOutcome, CommitPipeline, CommitRequest, PrepareOutcome } from "./pipeline.ts";
import type { OpenTransaction } from "./open_transaction.ts";
import { branchWorkOf } from "./staged_calls.ts";
import type { TwoPhaseCoordinator, TwoPhaseRequest } from "./two_phase_coordinator.ts";

export interface ParticipantStepsParts {
  readonly pipeline: CommitPipeline;
  readonly coordinator: TwoPhaseCoordinator;
  readonly logId: LogId;
}

export class ParticipantSteps {
  readonly #pipeline: CommitPipeline;
  readonly #coordinator: TwoPhaseCoordinator;
  readonly #logId: LogId;

  constructor(parts: ParticipantStepsParts) {
    const { pipeline, coordinator, logId } = parts;
    this.#pipeline = pipeline;
    this.#coordinator = coordinator;
    this.#logId = logId;
  }

  async commit(transaction: OpenTransaction, request: CommitRequest): Promise<CommitOutcome> {
    if (transaction.changes.calls.length === 0) return await this.#pipeline.commit(request);
    return await this.#coordinator.commit(this.#twoPhase(transaction, request));
  }

  async prepare(transaction: OpenTransaction, request: CommitRequest): Promise<PrepareOutcome> {
    if (transaction.changes.calls.length === 0) return await this.#pipeline.prepare(request);
    const outcome = await this.#coordinator.prepare(this.#twoPhase(transaction, request));
    if (outcome.kind === "prepared") {
      transaction.promisedBranches = this.#coordinator.promisedOf(transaction.id);
    }
    return outcome;
  }

  async commitPrepared(transaction: OpenTransaction): Promise<CommitOutcome> {
    const outcome = await this.#pipeline.commitPrepared(transaction.id);
    return await this.#coordinator.committed(
      transaction.document(),
      transaction.promisedBranches,
      outcome,
      (participants) => transaction.participants = participants,
    );
  }

  /** A promise was rolled back, durably. */
  rolledBack(transaction: OpenTransaction): void {
    this.#coordinator.rolledBack(transaction.promisedBranches);
  }

  #twoPhase(transaction: OpenTransaction, commit: CommitRequest): TwoPhaseRequest {
    return {
      commit,
      work: branchWorkOf(transaction, this.#logId),
      prepareTimeoutMs: transaction.header.prepareTimeoutMs,
      note: (participants) => transaction.participants = participants,
    };
  }
}
