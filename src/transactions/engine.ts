/**
 * The engine: everything beneath the routes, opened in the one order that is safe and closed
 * in the reverse. Used by the daemon and, with a simulated machine, by tests.
 *
 *   state directory lock -> log (forced) -> ledger -> repositories -> recovery -> manager
 */
import { getLogger } from "@logtape/logtape";
import { parseTransactionId, type RepositoryId, type TransactionId } from "../core/ids.ts";
import { CHECKPOINT_BYTES } from "../core/limits.ts";
import { type LoggedCommit, unfinishedParts } from "../core/recovery_plan.ts";
import { openRepository } from "../git/open_repository.ts";
import type { Repository } from "../git/repository.ts";
import { openSqliteLedger } from "../ledger/sqlite_ledger.ts";
import type { Clock } from "../system/clock.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { Random } from "../system/random.ts";
import type { LogSizes } from "../wal/log_space.ts";
import { openLog } from "../wal/open_log.ts";
import type { WriteAheadLog } from "../wal/write_ahead_log.ts";
import { AbsentRepositories } from "./absent_repositories.ts";
import type { RepositoryToOpen } from "./catalog.ts";
import { Checkpointer } from "./checkpoint.ts";
import { GroupCommitPipeline } from "./commit_pipeline.ts";
import { RingEventBus } from "./event_bus.ts";
import { Endings } from "./endings.ts";
import type { EventBus } from "./events.ts";
import { FencingTokens } from "./fencing.ts";
import type { CommitParts } from "./group_member.ts";
import { HeldRefs } from "./held_refs.ts";
import { type InDoubt, inDoubtOf } from "./in_doubt.ts";
import { createLayerReader } from "./layer_reader.ts";
import { LedgerWriter } from "./ledger_writer.ts";
import type { LayerReader } from "./manager.ts";
import type { Metrics } from "./metrics.ts";
import type { LocalTransactionManager } from "./local_manager.ts";
import { recover, type Recovered, type RecoveryParts } from "./recovery.ts";
import { LoggedRepositoryCatalog } from "./repository_catalog.ts";
import { recoverReturned } from "./returned_repository.ts";
import { claimStateDirectory, type StateDirectory } from "./state_directory.ts";
import { TwoPhase } from "./two_phase.ts";
import { createTransactionManager } from "./transaction_manager.ts";

const logger = getLogger(["layerd", "engine"]);

export interface EngineOptions {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
  readonly stateDirectory: string;
  readonly version: string;
  readonly pid: number;
  /** The log failed for good: the process must end, keeping its locks for the next start. */
  readonly onFatal: (error: unknown) => void;
  /** As `--allow-participant` names them; none where it is absent. */
  readonly allowedParticipants?: readonly string[];
  /** Another ledger and smaller sizes, for a simulated machine. */
  readonly openLedger?: typeof openSqliteLedger;
  readonly logSizes?: LogSizes;
  readonly checkpointBytes?: number;
}

export interface Engine {
  readonly catalog: LoggedRepositoryCatalog;
  readonly twoPhase: TwoPhase;
  readonly inDoubt: InDoubt;
  readonly manager: ReturnType<typeof createTransactionManager>;
  readonly reader: LayerReader;
  readonly events: EventBus;
  readonly log: WriteAheadLog;
  readonly incarnation: number;
  checkpoint(): Promise<void>;
  /** Rolls back what is open after `timeoutMs`, finishes what is decided, makes a checkpoint. */
  close(timeoutMs: number): Promise<void>;
}

export async function openEngine(options: EngineOptions): Promise<Engine> {
  const { fileSystem, clock, random, version, pid } = options;
  const state = await claimStateDirectory(fileSystem, options.stateDirectory, pid);
  try {
    const sizes = options.logSizes === undefined ? {} : { sizes: options.logSizes };
    const place = { directory: state.log, ...sizes };
    const log = await openLog({ fileSystem, clock, random, version, ...place });
    return await assemble(options, state, log, openLedger(options, state.ledger, log));
  } catch (error) {
    state.release();
    throw error;
  }
}

async function assemble(
  options: EngineOptions,
  state: StateDirectory,
  log: WriteAheadLog,
  ledger: LedgerWriter,
): Promise<Engine> {
  const { fileSystem, clock, random, metrics } = options;
  const events = new RingEventBus({ clock, incarnation: log.incarnation });
  const catalog: LoggedRepositoryCatalog = new LoggedRepositoryCatalog({
    log,
    fileSystem,
    clock,
    events,
    open: openerFor(options, log),
    welcomeBack: (repository, enter) => welcomeBack(recovery, manager, repository, enter),
    isTouched: (id) => manager.touches(id),
    hasUnfinished: (id) => hasUnfinished(pipeline, id),
    abandon: (id) => pipeline.turn(() => pipeline.stalled.abandon(id)),
  });
  const commit: CommitParts = {
    log,
    ledger,
    clock,
    catalog,
    held: new HeldRefs(),
    endings: new Endings(),
    observer: metrics,
  };
  const pipeline = new GroupCommitPipeline({ ...commit, random, onFatal: options.onFatal });
  const recovery = {
    commit,
    catalog,
    pipeline,
    setAside: catalog.setAside.bind(catalog),
  };
  const twoPhase = new TwoPhase({
    ...options,
    events,
    commit,
    pipeline,
    allowed: options.allowedParticipants ?? [],
  });
  await twoPhase.open();
  const recovered = await recover(recovery);
  const fencing = new FencingTokens(log, recovered.digest.fencingUpTo);
  const manager = createTransactionManager({
    clock,
    random,
    catalog,
    pipeline,
    coordinator: twoPhase.coordinator,
    participants: () => twoPhase.registry,
    logId: log.logId,
    ledger,
    events,
    fileSystem,
    metrics,
    nextFencingToken: () => fencing.next(),
    spoolDirectory: state.spool,
  });
  adoptOpenTransactions(manager, recovered, twoPhase.committed());
  twoPhase.resume(manager, recovered, catalog);
  const checkpointer = checkpointerFor(options, {
    commit,
    catalog,
    pipeline,
    fencing,
    recovered,
    twoPhase,
  });
  const absent = new AbsentRepositories(clock, catalog);
  absent.watch();
  return {
    catalog,
    twoPhase,
    inDoubt: inDoubtOf(twoPhase, pipeline, commit, events),
    manager,
    reader: createLayerReader({ catalog, transactions: manager, fileSystem }),
    events,
    log,
    incarnation: log.incarnation,
    checkpoint: () => checkpointer.run(),
    async close(timeoutMs) {
      await absent.stop();
      await manager.drain(timeoutMs);
      await twoPhase.close();
      await pipeline.drain();
      await checkpointer.run().catch((error) => {
        logger.warn("No checkpoint at the end, the next start reads more log: {error}", { error });
      });
      await catalog.close();
      events.close();
      await log.close();
      ledger.close();
      state.release();
    },
  };
}

interface Checkpointed {
  readonly commit: CommitParts;
  readonly catalog: LoggedRepositoryCatalog;
  readonly pipeline: GroupCommitPipeline;
  readonly fencing: FencingTokens;
  readonly recovered: Recovered;
  readonly twoPhase: TwoPhase;
}

/** The checkpointer, poked after each group. */
function checkpointerFor(
  { version, checkpointBytes }: EngineOptions,
  { commit, catalog, pipeline, fencing, recovered, twoPhase }: Checkpointed,
): Checkpointer {
  const { log, ledger, clock, endings } = commit;
  const checkpointer = new Checkpointer({
    log,
    ledger,
    catalog,
    pipeline,
    endings,
    fencing,
    clock,
    version,
    openBranches: () => twoPhase.coordinator.records(),
    unresolved: () => pipeline.stalled.failed(),
    afterBytes: checkpointBytes ?? CHECKPOINT_BYTES,
  });
  pipeline.afterGroup = () => checkpointer.poke();
  // A start pays for the log since the last checkpoint: daemons that only ever crash must
  // not hand a longer one to each next start.
  if (recovered.digest.commits.size > 0) checkpointer.start();
  return checkpointer;
}

/** Serves a repository that was away at the start. */
async function welcomeBack(
  recovery: RecoveryParts,
  manager: LocalTransactionManager,
  repository: Repository,
  enter: () => void,
): Promise<void> {
  const { pipeline } = recovery;
  await pipeline.turn(async () => {
    await recoverReturned(recovery, repository);
    enter();
    for (const { record } of pipeline.prepared.entries()) {
      manager.adoptRepository(parseTransactionId(record.transaction.id), repository, record.parts);
    }
  });
  await pipeline.stalled.retry();
}

/** Says so where history is lost with a ledger: recovery writes again what the log still holds. */
function openLedger(options: EngineOptions, path: string, log: WriteAheadLog): LedgerWriter {
  const { fileSystem, openLedger: open = openSqliteLedger } = options;
  const isMissing = fileSystem.lstatIfAny(path) === null && log.status().checkpointLsn > 0;
  const { ledger, replaced } = open(path, fileSystem);
  if (isMissing || replaced !== null) {
    logger.warn(
      "Ledger {path} {what}; it is rebuilt from the log, and transactions from before the last " +
        "checkpoint are in no list (`layerd doctor --fix` reads them back from the layers)",
      { path, what: replaced === null ? "was missing" : `was damaged, moved to ${replaced}` },
    );
  }
  return new LedgerWriter(ledger);
}

function openerFor(options: EngineOptions, log: WriteAheadLog) {
  const { fileSystem, clock, random, stateDirectory, pid } = options;
  return (
    request: RepositoryToOpen,
  ) =>
    openRepository({
      fileSystem,
      clock,
      random,
      ...request,
      logId: log.logId,
      stateDirectory,
      pid,
      incarnation: log.incarnation,
      lastLsn: log.status().durableLsn,
    });
}

function hasUnfinished(pipeline: GroupCommitPipeline, id: RepositoryId): boolean {
  const touches = (parts: readonly { repositoryId: RepositoryId }[]) =>
    parts.some((part) => part.repositoryId === id);
  return pipeline.stalled.commits().some((commit: LoggedCommit) => touches(commit.record.parts));
}

function adoptOpenTransactions(
  manager: ReturnType<typeof createTransactionManager>,
  recovered: Recovered,
  withParticipants: ReadonlyMap<TransactionId, unknown>,
): void {
  for (const { record } of recovered.prepared) {
    manager.adoptPrepared(record);
  }
  for (const { commit, settled } of recovered.stalled) {
    if (withParticipants.has(parseTransactionId(commit.record.transaction.id))) continue;
    const refs = unfinishedParts(commit).flatMap((part) =>
      part.edits.map(({ ref }) => ({ repositoryId: part.repositoryId, ref }))
    );
    manager.adoptCommitting(commit.record.transaction, refs, commit.record.idempotency, settled);
  }
}
