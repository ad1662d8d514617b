/**
 * One commit group: several built transactions that share locks, forces and publications.
 * run() takes a group through DESIGN section 3, steps 2 to 7, and never waits for anybody
 * but the disk; who met somebody else's lock is handed back as `blocked`.
 *
 * G1. Nothing of a transaction is appended to the log before every one of its refs was
 *     compared under its ref lock and packed-refs.lock, and its locks were ours still.
 * G2. Before the decision every failure ends with all locks of the group given back and
 *     all staged publications discarded: members are refused or sent round again.
 * G3. After the decision nothing is refused. A repository that cannot be published keeps
 *     its ref locks and is reported as stalled.
 * G4. `applied` is forced before the locks of that repository go and before anybody is told.
 *     Where the log has no room for it the repository counts as stalled: packed-refs.lock is
 *     given back, and the publication is done again later.
 */
import { getLogger } from "@logtape/logtape";
import { LayerdError } from "../core/errors.ts";
import type { Lsn, RepositoryId } from "../core/ids.ts";
import type { LogRecord } from "../core/log_record.ts";
import type { ProblemSummary, TransactionDocument } from "../core/transaction_document.ts";
import { Admission, lostObject, partIn, refused, repositoriesOf } from "./admission.ts";
import {
  type AdmissionParts,
  forceIfRoom,
  type GroupMember,
  refsOf,
  timedForce,
  type Verdict,
} from "./group_member.ts";
import { branchesOf } from "./git_holds.ts";
import { type Lane, REFLOG_COMMITTER } from "./lane.ts";
import { tidy } from "./leftovers.ts";
import { placeObjects } from "./placed_objects.ts";
import { repositoryError } from "./repository_errors.ts";

const logger = getLogger(["layerd", "transactions"]);

/** A member whose decision is durable. */
interface Done {
  readonly member: GroupMember;
  readonly lsn: Lsn;
}

export class CommitGroup {
  readonly #parts: AdmissionParts;
  readonly #admission: Admission;
  /** What members relied on and native git took before their refs reached it. */
  readonly #lost = new Map<GroupMember, LayerdError>();
  /** Monotonic milliseconds between which the group held any packed-refs.lock. */
  #lockedMs = 0;
  #unlockedMs = 0;

  constructor(parts: AdmissionParts, members: readonly GroupMember[]) {
    this.#parts = parts;
    this.#admission = new Admission(parts, members);
  }

  get #members(): readonly GroupMember[] {
    return this.#admission.members;
  }

  get #lanes(): ReadonlyMap<RepositoryId, Lane> {
    return this.#admission.lanes;
  }

  /** For how long native git met packed-refs.lock, and since when it does no more. */
  get hold(): { readonly ms: number; readonly endMs: number } {
    return { ms: this.#unlockedMs - this.#lockedMs, endMs: this.#unlockedMs };
  }

  /** Takes the group to its end. Rejects only when the log failed for good. */
  async run(): Promise<ReadonlyMap<GroupMember, Verdict>> {
    this.#place();
    this.#lockedMs = this.#parts.clock.monotonic();
    await this.#admission.admit();
    if (this.#members.length > 0 && await this.#stage() && this.#stillCommittable()) {
      await this.#decideAndPublish();
    } else {
      await this.#undo();
    }
    return this.#admission.verdicts;
  }

  async #undo(): Promise<void> {
    await this.#admission.undo();
    this.#unlockedMs = this.#parts.clock.monotonic();
  }

  /** The members' objects, in one pack for each repository, before any lock is taken. */
  #place(): void {
    const ids = new Set(this.#members.flatMap(repositoriesOf));
    for (const id of ids) {
      const repository = this.#parts.catalog.byId(id);
      if (repository === null) continue;
      try {
        placeObjects(
          repository,
          this.#members.map(({ request }) => ({
            holder: request.transactionId,
            parts: request.parts,
          })),
        );
      } catch (error) {
        const problem = repositoryError(error, repository.name);
        this.#admission.leaveRepository(id, { kind: "refused", error: problem });
      }
    }
  }

  /** Whatever can fail for lack of space or permission fails here (step 3). */
  async #stage(): Promise<boolean> {
    const at = { committer: REFLOG_COMMITTER, atMs: this.#parts.clock.now() };
    const outcomes = await Promise.all([...this.#lanes].map(async ([id, lane]) => {
      if (lane.edits.length === 0) return true;
      try {
        lane.staged = await lane.repository.publisher.stage(lane.edits, {
          ...at,
          message: "layerd: commit",
        });
        return true;
      } catch (error) {
        const problem = repositoryError(error, lane.repository.name);
        this.#admission.leaveRepository(id, { kind: "refused", error: problem });
        return false;
      }
    }));
    return outcomes.every((ok) => ok);
  }

  /** The last look before the decision (step 4): leases, and locks removed by hand. */
  #stillCommittable(): boolean {
    let all = true;
    for (const member of this.#members) {
      if (!member.prepared && !member.request.stillWanted()) {
        const id = member.request.transactionId;
        const text = `The lease of transaction ${id} ended while it waited to commit`;
        this.#admission.leave(member, refused(new LayerdError("lease_expired", text)));
        all = false;
      }
    }
    for (const [id, lane] of this.#lanes) {
      const verdict = this.#lockLoss(id, lane);
      if (verdict === null) continue;
      this.#admission.leaveRepository(id, verdict);
      all = false;
    }
    return all;
  }

  /** Null where the members' locks in this repository still stand. */
  #lockLoss(id: RepositoryId, lane: Lane): Verdict | null {
    const { name, publisher } = lane.repository;
    try {
      const parts = this.#members.flatMap((member) => partIn(member, id));
      if (publisher.stillHeld(parts.flatMap(refsOf))) return null;
    } catch (error) {
      return refused(repositoryError(error, name));
    }
    const text = `Lock files of repository ${name} were removed by somebody else`;
    return { kind: "blocked", error: new LayerdError("repository_locked", text) };
  }

  async #decideAndPublish(): Promise<void> {
    const records: LogRecord[] = this.#members.map(({ request }) => ({
      kind: "commit",
      transaction: request.transaction,
      parts: request.parts,
      idempotency: request.idempotency,
      ...branchesOf(request),
    }));
    let lsns: readonly Lsn[];
    try {
      lsns = await this.#decide(records);
    } catch (error) {
      if (!(error instanceof LayerdError)) throw error;
      for (const member of this.#members) this.#admission.leave(member, refused(error));
      await this.#undo();
      return;
    }
    this.#parts.observer.observeGroup(this.#members.length);
    const stalled = await this.#publish();
    await this.#recordApplied(stalled);
    const done = this.#members.map((member, index) => ({ member, lsn: lsns[index] ?? (0 as Lsn) }));
    this.#finish(done, stalled);
    for (const lane of this.#lanes.values()) await tidy(lane.repository);
    for (const lane of this.#lanes.values()) lane.repository.publisher.unlockPackedRefs();
    this.#unlockedMs = this.#parts.clock.monotonic();
    this.#index(done, stalled);
  }

  /** Forces the decisions, and with them the ends that wait, where there is room for both. */
  async #decide(records: readonly LogRecord[]): Promise<readonly Lsn[]> {
    const { log, endings } = this.#parts;
    let ended = endings.records();
    let lsns: readonly Lsn[];
    try {
      lsns = log.appendAll([...records, ...ended]);
    } catch (error) {
      if (!(error instanceof LayerdError) || ended.length === 0) throw error;
      lsns = log.appendAll(records);
      ended = [];
    }
    await timedForce(this.#parts);
    endings.written(ended);
    return lsns;
  }

  /** Renames in one go, so that no reader of ours sees one repository without the other. */
  async #publish(): Promise<Map<RepositoryId, LayerdError>> {
    const stalled = new Map<RepositoryId, LayerdError>();
    for (const [id, lane] of this.#lanes) {
      try {
        lane.staged?.publish();
      } catch (error) {
        stalled.set(id, repositoryError(error, lane.repository.name));
        this.#parts.unpublished.set(id, lane.edits);
      }
    }
    await Promise.all([...this.#lanes].map(async ([id, lane]) => {
      if (stalled.has(id)) return;
      try {
        await lane.staged?.settle();
        const parts = this.#members.flatMap((member) => partIn(member, id));
        lane.repository.objects.restoreMissing(parts.map(({ objects }) => objects));
        for (const member of this.#members) {
          for (const part of partIn(member, id)) {
            const lost = await lostObject(lane.repository.objects, member.request, part);
            if (lost !== null) this.#noteLost(member, lost);
          }
        }
      } catch (error) {
        stalled.set(id, repositoryError(error, lane.repository.name));
      }
    }));
    return stalled;
  }

  /** The decision stands: the answer, the log and the repository's health say what is wrong. */
  #noteLost(member: GroupMember, lost: LayerdError): void {
    const { transactionId } = member.request;
    logger.error("Transaction {id} is committed and damaged: {error}", {
      id: transactionId,
      error: lost.message,
    });
    this.#lost.set(member, lost);
  }

  /** Adds to `stalled` what cannot be recorded. */
  async #recordApplied(stalled: Map<RepositoryId, LayerdError>): Promise<void> {
    const records: LogRecord[] = this.#members.flatMap(({ request }) =>
      request.parts.filter((part) => !stalled.has(part.repositoryId)).map((part) => ({
        kind: "applied" as const,
        transactionId: request.transactionId,
        repositoryId: part.repositoryId,
      }))
    );
    const full = await forceIfRoom(this.#parts, records);
    if (full === null) return;
    for (const id of this.#lanes.keys()) if (!stalled.has(id)) stalled.set(id, full);
  }

  #finish(done: readonly Done[], stalled: ReadonlyMap<RepositoryId, LayerdError>): void {
    for (const { member, lsn } of done) {
      const applied = member.request.parts.filter((part) => !stalled.has(part.repositoryId));
      for (const part of applied) this.#admission.releasePart(member, part);
      const late = repositoriesOf(member).map((id) => stalled.get(id)).find((error) => error);
      this.#admission.verdicts.set(
        member,
        late === undefined ? { kind: "committed", lost: this.#problemOf(member) } : {
          kind: "stalled",
          lsn,
          applied: applied.map((part) => part.repositoryId),
          error: late,
        },
      );
    }
  }

  /** The ledger's rows, once native git waits for nothing of the group's any more. */
  #index(done: readonly Done[], stalled: ReadonlyMap<RepositoryId, LayerdError>): void {
    const whole = done.filter(({ member }) =>
      repositoriesOf(member).every((id) => !stalled.has(id))
    );
    this.#parts.ledger.record(whole.map(({ member, lsn }) => ({
      lsn,
      transaction: withProblem(member.request.transaction, this.#problemOf(member)),
      idempotency: member.request.idempotency,
    })));
  }

  #problemOf(member: GroupMember): ProblemSummary | null {
    const lost = this.#lost.get(member);
    return lost === undefined ? null : { code: lost.code, detail: lost.message };
  }
}

/** A committed transaction's document with what went wrong beside it. */
export function withProblem(
  transaction: TransactionDocument,
  problem: ProblemSummary | null,
): TransactionDocument {
  return problem === null ? transaction : { ...transaction, problem };
}
