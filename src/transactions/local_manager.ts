/** The manager as its own process uses it: what it is made of, and what recovery hands it. */
import type { FencingToken, LogId, RepositoryId, TransactionId } from "../core/ids.ts";
import type { RepositoryPart } from "../core/log_record.ts";
import type { PreparedRecord } from "../core/recovery_plan.ts";
import type { TransactionDocument } from "../core/transaction_document.ts";
import type { Repository } from "../git/repository.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { ParticipantRegistry } from "../participants/registry.ts";
import type { Clock } from "../system/clock.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { Random } from "../system/random.ts";
import type { AdoptedRef } from "./adopted_transactions.ts";
import type { RepositoryCatalog } from "./catalog.ts";
import type { EventBus } from "./events.ts";
import type { TransactionReads } from "./layer_reader.ts";
import type { BeginRequest, IdempotencyKey, TransactionManager } from "./manager.ts";
import type { Metrics } from "./metrics.ts";
import type { CommitPipeline, SettledOutcome } from "./pipeline.ts";
import type { TwoPhaseCoordinator } from "./two_phase_coordinator.ts";
import type { StagingContext } from "./staging_checks.ts";

export type StagedWork = (context: StagingContext) => Promise<number>;

export interface TransactionManagerParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly catalog: Pick<RepositoryCatalog, "get" | "byId" | "all" | "requireWritable">;
  readonly pipeline: CommitPipeline;
  readonly coordinator: TwoPhaseCoordinator;
  readonly participants: () => ParticipantRegistry;
  readonly logId: LogId;
  readonly ledger: Ledger;
  readonly events: EventBus;
  /** Rises with every begin over the life of the log. */
  readonly nextFencingToken: () => Promise<FencingToken>;
  /** A directory of the manager's own for uploads; emptied when the manager is made. */
  readonly spoolDirectory: string;
  readonly fileSystem: FileSystem;
  readonly metrics: Metrics;
}

/** What the composition root and recovery use beyond the routes' interface. */
export interface LocalTransactionManager extends TransactionManager, TransactionReads {
  /**
   * A one-shot commit of what `work` stages under the transaction's locks, where a list of
   * operations cannot say it. `work` answers how many operations that is.
   */
  commitStaged(
    request: BeginRequest,
    work: StagedWork,
    signal?: AbortSignal,
  ): Promise<TransactionDocument>;
  /** Whether anything open touches the repository, so that it cannot be removed. */
  touches(repositoryId: RepositoryId): boolean;
  /** After a restart: a promise that only commit or rollback ends. Call before serving. */
  adoptPrepared(record: PreparedRecord): void;
  /** A repository was away at the restart and is back: what a promise has to do with it. */
  adoptRepository(id: TransactionId, back: Repository, parts: readonly RepositoryPart[]): void;
  /** After a restart: a decided transaction whose publication lags. Call before serving. */
  adoptCommitting(
    document: TransactionDocument,
    refs: readonly AdoptedRef[],
    key: IdempotencyKey | null,
    settled: Promise<SettledOutcome>,
  ): void;
}
