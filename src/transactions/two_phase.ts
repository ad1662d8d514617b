/**
 * Two-phase commit as the engine opens it: registered participants, the coordinator, what the
 * log left open with participants, and a look now and then for what nobody owns.
 */
import { join } from "@std/path";
import { getLogger } from "@logtape/logtape";
import { branchPrefix, type OpenBranch, transactionOfKey } from "../core/branch.ts";
import {
  parseRefName,
  parseTransactionId,
  type RepositoryId,
  type TransactionId,
} from "../core/ids.ts";
import { digestBranches } from "../core/branch_plan.ts";
import { messageOf } from "../core/errors.ts";
import { ORPHAN_SCAN_MS, TELL_TIMEOUT_MS } from "../core/limits.ts";
import type { Participant } from "../participants/participant.ts";
import { ParticipantRegistry } from "../participants/registry.ts";
import type { Clock, Timer } from "../system/clock.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { Random } from "../system/random.ts";
import type { GroupCommitPipeline } from "./commit_pipeline.ts";
import type { EventBus } from "./events.ts";
import type { CommitParts } from "./group_member.ts";
import type { LocalTransactionManager } from "./local_manager.ts";
import type { SettledOutcome } from "./pipeline.ts";
import type { Recovered } from "./recovery.ts";
import type { LoggedRepositoryCatalog } from "./repository_catalog.ts";
import { TwoPhaseCoordinator } from "./two_phase_coordinator.ts";

const logger = getLogger(["layerd", "participants"]);

export interface TwoPhaseParts {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
  readonly events: EventBus;
  readonly commit: CommitParts;
  readonly pipeline: GroupCommitPipeline;
  readonly stateDirectory: string;
  /** As `--allow-participant` names them. */
  readonly allowed: readonly string[];
}

export class TwoPhase {
  readonly coordinator: TwoPhaseCoordinator;
  readonly #parts: TwoPhaseParts;
  readonly #open: ReadonlyMap<string, OpenBranch>;
  #registry: ParticipantRegistry | null = null;
  #timer: Timer | null = null;
  #closed = false;
  /** Prepared branches that nobody owned in the last look, by participant. */
  #suspects: ReadonlySet<string> = new Set();

  /** Reads what the log says is open: before recovery writes to it. */
  constructor(parts: TwoPhaseParts) {
    this.#parts = parts;
    this.coordinator = new TwoPhaseCoordinator({ ...parts, registry: () => this.registry });
    this.#open = digestBranches(parts.commit.log.recovered());
  }

  get registry(): ParticipantRegistry {
    if (this.#registry === null) throw new Error("BUG: participants are asked for too early");
    return this.#registry;
  }

  async open(): Promise<void> {
    const { fileSystem, clock, allowed, stateDirectory } = this.#parts;
    this.#registry = await ParticipantRegistry.open({
      fileSystem,
      clock,
      path: join(stateDirectory, "participants.json"),
      mayReach: (place) => allowed.includes(place),
      isBusy: (name) => this.coordinator.isBusy(name),
    });
  }

  /** Transactions of which Git's part may be over while a participant's is not. */
  committed(): ReadonlyMap<TransactionId, OpenBranch[]> {
    return this.#byTransaction("committed");
  }

  /** Takes up what the log left open. Call before serving; participants are told meanwhile. */
  resume(
    manager: LocalTransactionManager,
    recovered: Recovered,
    catalog: LoggedRepositoryCatalog,
  ): void {
    for (const { branch, decision } of this.#open.values()) {
      if (decision === null) this.coordinator.adoptPromise([branch]);
    }
    for (const one of this.#open.values()) {
      if (one.decision === "rolled_back") void this.coordinator.teller.adopt(one);
    }
    this.#resumeCommitted(manager, recovered, catalog);
    this.#scanLater(0);
  }

  /**
   * Newest first. `ended` is not forced, so that a transaction which ended may stand here: it
   * does where one that came later has its refs, and then only its participants are told.
   */
  #resumeCommitted(
    manager: LocalTransactionManager,
    recovered: Recovered,
    catalog: LoggedRepositoryCatalog,
  ): void {
    const { commits } = recovered.digest;
    const order = [...commits.keys()];
    const ids = new Map<string, RepositoryId>(
      catalog.registrations().map((one) => [one.repository, one.repositoryId]),
    );
    const taken = new Set(
      recovered.prepared.flatMap(({ record }) => record.parts).flatMap((part) =>
        [...part.edits, ...part.checks].map(({ ref }) => `${part.repositoryId} ${ref}`)
      ),
    );
    const newestFirst = [...this.committed()]
      .sort(([one], [other]) => order.indexOf(other) - order.indexOf(one));
    for (const [id, open] of newestFirst) {
      const record = commits.get(id)?.record;
      const document = record?.transaction ?? this.#parts.commit.ledger.get(id);
      const refs = (document?.results ?? []).flatMap(({ repository, ref }) => {
        const repositoryId = ids.get(repository);
        return repositoryId === undefined ? [] : [{ repositoryId, ref: parseRefName(ref) }];
      });
      const places = refs.map(({ repositoryId, ref }) => `${repositoryId} ${ref}`);
      const isFailed = recovered.failed.some((one) => one.record.transaction.id === id);
      if (
        document === null || document.state === "failed" || isFailed ||
        places.some((place) => taken.has(place))
      ) {
        for (const one of open) void this.coordinator.teller.adopt(one);
        continue;
      }
      for (const place of places) taken.add(place);
      const lagging = recovered.stalled.find(({ commit }) => commit.record.transaction.id === id);
      const git: Promise<SettledOutcome> = lagging?.settled ??
        Promise.resolve({ kind: "committed", transaction: document });
      const settled = this.coordinator.adoptCommitted(open, git);
      manager.adoptCommitting(document, refs, record?.idempotency ?? null, settled);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.coordinator.teller.stop();
    await this.#registry?.close();
  }

  #byTransaction(decision: OpenBranch["decision"]): Map<TransactionId, OpenBranch[]> {
    const wanted = [...this.#open.values()].filter((one) => one.decision === decision);
    return Map.groupBy(wanted, ({ branch }) => parseTransactionId(branch.context.transactionId));
  }

  #scanLater(delayMs: number): void {
    if (this.#closed) return;
    this.#timer = this.#parts.clock.after(delayMs, () => {
      this.#scan().finally(() => this.#scanLater(ORPHAN_SCAN_MS));
    });
  }

  /** Looks at every participant that can list; one that cannot be asked is asked next time. */
  async #scan(): Promise<void> {
    const suspects = new Set<string>();
    for (const participant of this.registry.all()) {
      if (this.registry.refusal(participant.name) !== null) continue;
      try {
        await this.#scanOne(participant, suspects);
      } catch (error) {
        logger.info("Participant {name} was not looked at: {error}", {
          name: participant.name,
          error: messageOf(error),
        });
      }
    }
    this.#suspects = suspects;
  }

  async #scanOne(participant: Participant, suspects: Set<string>): Promise<void> {
    const { log } = this.#parts.commit;
    const prefix = branchPrefix(log.logId);
    for (const key of await participant.prepared(prefix)) {
      const transactionId = transactionOfKey(key);
      if (transactionId === null || this.coordinator.owns(key)) continue;
      if (!this.#suspects.has(key)) {
        suspects.add(key);
        continue;
      }
      logger.warn("Branch {key} at {name} is prepared and nobody's: it is rolled back", {
        key,
        name: participant.name,
      });
      const context = {
        transactionId,
        tenantId: null,
        operationType: null,
        fencingToken: 0,
      };
      await participant.abort({ key, context, timeoutMs: TELL_TIMEOUT_MS, payload: null });
    }
    // What acknowledged is over once the log says so, durably.
    await this.#parts.pipeline.flushEnded();
    await participant.forget(prefix, (key) => Promise.resolve(this.coordinator.isOver(key)));
  }
}
