/**
 * Checkpoint: makes durable elsewhere what only the log holds, so that segments can go.
 *
 * C1. The redo position is cut between groups: every record below it belongs to a transaction
 *     that is finished, or that is open and will be appended again.
 * C2. Objects and ledger rows of everything below it are durable before the record is written.
 * C3. Open records are appended in the same breath as the checkpoint record, so that none can
 *     finish in between unseen. What was open at the cut and is finished by then has its row on
 *     the disk.
 * C4. Positions in the repositories follow the forced record; segments go last.
 * C5. The log's records are read back only where they may hold what a repository lacks: where
 *     somebody removed a pack, where the repository was not there for the whole time since the
 *     checkpoint before, and after a checkpoint that failed.
 * C6. The checkpoint's own append is all that it writes to the log: one that fails, on a full
 *     disk again and again, has used up nothing.
 */
import { getLogger } from "@logtape/logtape";
import { LayerdError, messageOf } from "../core/errors.ts";
import { type Lsn, type RepositoryId, toLsn, type TransactionId } from "../core/ids.ts";
import { IDEMPOTENCY_KEY_MS_KEPT } from "../core/limits.ts";
import type { LoggedRecord, LogRecord } from "../core/log_record.ts";
import type { LoggedCommit } from "../core/recovery_plan.ts";
import type { MadeDurable } from "../git/made_durable.ts";
import type { Repository } from "../git/repository.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { Clock } from "../system/clock.ts";
import type { WriteAheadLog } from "../wal/write_ahead_log.ts";
import type { RepositoryCatalog } from "./catalog.ts";
import type { Endings } from "./endings.ts";
import type { GroupCommitPipeline } from "./commit_pipeline.ts";
import type { FencingTokens } from "./fencing.ts";

const logger = getLogger(["layerd", "transactions"]);

/** In the place of a transaction's id, for objects that a checkpoint places again. */
const CHECKPOINT_HOLDER = "checkpoint";

export interface CheckpointParts {
  readonly log: WriteAheadLog;
  readonly ledger: Ledger;
  readonly catalog: Pick<RepositoryCatalog, "all" | "byId" | "registrations">;
  readonly pipeline: GroupCommitPipeline;
  readonly endings: Endings;
  readonly fencing: FencingTokens;
  /** Failed transactions that no operator has resolved, with their `failed` records. */
  readonly unresolved: () => readonly LoggedCommit[];
  /** What is open with participants. */
  readonly openBranches: () => readonly LogRecord[];
  readonly clock: Clock;
  readonly version: string;
  readonly afterBytes: number;
}

export class Checkpointer {
  readonly #parts: CheckpointParts;
  #running: Promise<void> | null = null;
  /** Log bytes at which the next one starts by itself. */
  #dueBytes: number;
  /** C5. Repositories that were there at the last checkpoint, if that succeeded. */
  #whole: ReadonlySet<Repository> = new Set();

  constructor(parts: CheckpointParts) {
    this.#parts = parts;
    this.#dueBytes = parts.afterBytes;
  }

  /** Starts a checkpoint in the background where the log has grown enough. */
  poke(): void {
    const { bytesSinceCheckpoint } = this.#parts.log.status();
    if (this.#running || bytesSinceCheckpoint < this.#dueBytes) return;
    this.start();
  }

  /** Starts a checkpoint in the background; one that fails is told in the log. */
  start(): void {
    this.run().then(() => {
      this.#dueBytes = this.#parts.afterBytes;
    }, (error) => {
      // Not after every group: a try after a failure reads the log.
      this.#dueBytes = this.#parts.log.status().bytesSinceCheckpoint + this.#parts.afterBytes;
      logger.error("Checkpoint failed, the log keeps its segments: {error}", {
        error: messageOf(error),
      });
    });
  }

  /** Makes one checkpoint; a call during one joins it. Rejects when it could not be made. */
  run(): Promise<void> {
    this.#running ??= this.#checkpoint().finally(() => this.#running = null);
    return this.#running;
  }

  async #checkpoint(): Promise<void> {
    const { log, ledger, pipeline, endings } = this.#parts;
    const from = toLsn(Math.max(1, log.status().checkpointLsn));
    const redoLsn = await pipeline.turn(async () => {
      await log.force();
      return toLsn(log.status().durableLsn + 1);
    });
    const whole = this.#whole;
    this.#whole = new Set();
    const looked = await this.#makeObjectsDurable(from, redoLsn, whole);
    const keptFrom = this.#parts.clock.now() - IDEMPOTENCY_KEY_MS_KEPT;
    ledger.forgetKeysBefore(new Date(keptFrom).toISOString());
    await ledger.makeDurable();
    // Between groups: a record that ends a transaction must not stand before one that opens it again.
    await pipeline.turn(async () => {
      const open = this.#openRecords(redoLsn);
      const rolledBack = endings.rolledBack();
      // What was open at the cut and ended since is in neither: its row must be on the disk.
      await ledger.makeDurable();
      const ended = endings.ended();
      log.appendAll([...open, ...ended, { kind: "checkpoint", redoLsn }]);
      await log.force();
      endings.written([...rolledBack, ...ended]);
    });
    const lastLsn = log.status().durableLsn;
    for (const repository of this.#parts.catalog.all()) {
      await repository.recordPosition(lastLsn).catch((error) => {
        logger.warn("Repository {repository} does not know the log's position: {error}", {
          repository: repository.name,
          error: messageOf(error),
        });
      });
    }
    await log.releaseBefore(redoLsn);
    this.#whole = looked;
  }

  /** Answers the repositories that were there. */
  async #makeObjectsDurable(
    from: Lsn,
    redoLsn: Lsn,
    whole: ReadonlySet<Repository>,
  ): Promise<ReadonlySet<Repository>> {
    const { catalog } = this.#parts;
    const repositories = new Set(catalog.all());
    const durable = new Map<RepositoryId, MadeDurable>();
    for (const repository of repositories) {
      durable.set(repository.id, await repository.objects.makeDurable());
    }
    // One that came back since is registered, and was not looked at.
    const isWhole = repositories.isSubsetOf(whole) &&
      catalog.registrations().every(({ repositoryId }) =>
        durable.get(repositoryId)?.isAnyMissing === false
      );
    if (!isWhole) await this.#mend(from, redoLsn, durable);
    return repositories;
  }

  /** Places again what the records hold and the repositories lack. */
  async #mend(
    from: Lsn,
    redoLsn: Lsn,
    durable: ReadonlyMap<RepositoryId, MadeDurable>,
  ): Promise<void> {
    const mended = new Set<Repository>();
    for (const { lsn, record } of this.#parts.log.read(from)) {
      if (lsn >= redoLsn) break;
      if (record.kind !== "commit" && record.kind !== "prepared") continue;
      for (const part of record.parts) {
        const repository = this.#reachable(part.repositoryId);
        const known = durable.get(part.repositoryId)?.objects;
        if (!repository || part.objects.kind === "pack") continue;
        if (part.objects.objects.every(({ oid }) => known?.has(oid))) continue;
        // Somebody removed the pack: the log still has what was in it.
        repository.objects.place([{ holder: CHECKPOINT_HOLDER, written: part.objects }]);
        mended.add(repository);
      }
    }
    for (const repository of mended) {
      repository.objects.release(CHECKPOINT_HOLDER);
      await repository.objects.makeDurable();
    }
  }

  /** The repository, or null where it is no longer registered. */
  #reachable(id: RepositoryId): Repository | null {
    const { catalog } = this.#parts;
    const repository = catalog.byId(id);
    if (repository !== null) return repository;
    if (!catalog.registrations().some((one) => one.repositoryId === id)) return null;
    throw new LayerdError(
      "io_error",
      `Repository ${id} cannot be reached: its objects are only in the log, which is kept`,
    );
  }

  /** What must be known after the segments below `redoLsn` are gone. */
  #openRecords(redoLsn: Lsn): LogRecord[] {
    const { catalog, fencing, pipeline } = this.#parts;
    const below = (entry: LoggedRecord) => entry.lsn < redoLsn;
    const stalled = pipeline.stalled.commits().filter(below).flatMap(commitRecords);
    const prepared = pipeline.prepared.entries().filter(below).map((entry) => entry.record);
    const { log, version } = this.#parts;
    const startedAt = new Date(this.#parts.clock.now()).toISOString();
    return [
      { kind: "incarnation", incarnation: log.incarnation, startedAt, version },
      { kind: "fencing_range", upTo: fencing.reserved },
      ...catalog.registrations(),
      ...prepared,
      ...stalled,
      ...this.#parts.openBranches(),
      ...this.#parts.unresolved().flatMap(commitRecords),
    ];
  }
}

/** A commit with what is known of its parts, as records to append again. */
function commitRecords(commit: LoggedCommit): LogRecord[] {
  const transactionId = commit.record.transaction.id as TransactionId;
  return [
    commit.record,
    // Where an operator has closed it nothing is left to publish either.
    ...[...commit.applied, ...commit.resolved].map((repositoryId) => ({
      kind: "applied" as const,
      transactionId,
      repositoryId,
    })),
    ...[...commit.failed].filter(([id]) => !commit.resolved.has(id)).map(([, record]) => record),
  ];
}
