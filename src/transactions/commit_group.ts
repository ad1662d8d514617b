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
 */
import { LayerdError } from "../core/errors.ts";
import type { Lsn, RepositoryId } from "../core/ids.ts";
import type { LogRecord, RepositoryPart } from "../core/log_record.ts";
import {
  type CommitParts,
  forceStubbornly,
  type GroupMember,
  refsOf,
  timedForce,
  type Verdict,
} from "./group_member.ts";
import { Lane } from "./lane.ts";
import { lockRefusal, repositoryError } from "./repository_errors.ts";

/** Who the reflog names. */
const REFLOG_COMMITTER = { name: "layerd", email: "layerd@localhost" };

export class CommitGroup {
  readonly #parts: CommitParts;
  readonly #verdicts = new Map<GroupMember, Verdict>();
  #members: GroupMember[];
  readonly #lanes = new Map<RepositoryId, Lane>();

  constructor(parts: CommitParts, members: readonly GroupMember[]) {
    this.#parts = parts;
    this.#members = [...members];
  }

  /** Takes the group to its end. Rejects only when the log failed for good. */
  async run(): Promise<ReadonlyMap<GroupMember, Verdict>> {
    for (const member of [...this.#members]) this.#lockRefs(member);
    this.#openLanes();
    await this.#validate();
    if (this.#members.length > 0 && await this.#stage() && this.#stillCommittable()) {
      await this.#decideAndPublish();
    } else {
      this.#undo();
    }
    return this.#verdicts;
  }

  /** Ref locks, one transaction after the other, each all or none (step 2). */
  #lockRefs(member: GroupMember): void {
    for (const part of member.request.parts) {
      const error = this.#lockPart(member, part);
      if (error === null) continue;
      this.#leave(
        member,
        error.code === "repository_locked"
          ? { kind: "blocked", error }
          : { kind: "refused", error },
      );
      return;
    }
  }

  #lockPart(member: GroupMember, part: RepositoryPart): LayerdError | null {
    const repository = this.#parts.catalog.byId(part.repositoryId);
    if (repository === null) {
      return new LayerdError(
        "repository_not_found",
        `Repository ${part.repository} is no longer served`,
      );
    }
    try {
      repository.recheck();
      this.#parts.catalog.requireWritable(repository);
      if (member.prepared) return null;
      const id = member.request.transactionId;
      const outcome = this.#parts.held.acquire(repository, refsOf(part), id);
      return outcome.kind === "locked" ? null : lockRefusal(outcome, part.repository);
    } catch (error) {
      return repositoryError(error, part.repository);
    }
  }

  #openLanes(): void {
    for (const id of [...new Set(this.#members.flatMap(repositoriesOf))].sort()) {
      const repository = this.#parts.catalog.byId(id);
      if (repository === null) continue;
      try {
        const outcome = repository.publisher.lockPackedRefs();
        if (outcome.kind === "locked") {
          this.#lanes.set(id, new Lane(repository));
          continue;
        }
        const error = lockRefusal(outcome, repository.name);
        this.#leaveRepository(id, { kind: "blocked", error });
      } catch (error) {
        const problem = repositoryError(error, repository.name);
        this.#leaveRepository(id, { kind: "refused", error: problem });
      }
    }
  }

  /** Compares each transaction with git and with those accepted before it. */
  async #validate(): Promise<void> {
    for (const member of [...this.#members]) {
      let verdict: Verdict | null = null;
      try {
        verdict = await this.#verdictOn(member);
      } catch (error) {
        const names = member.request.parts.map((part) => part.repository).join(", ");
        verdict = { kind: "refused", error: repositoryError(error, names) };
      }
      if (verdict !== null) this.#leave(member, verdict);
      else for (const part of member.request.parts) this.#lane(part).accept(part);
    }
  }

  async #verdictOn(member: GroupMember): Promise<Verdict | null> {
    const { parts, transactionId } = member.request;
    const conflicts = parts.flatMap((part) => this.#lane(part).conflicts(part));
    if (conflicts.length > 0) {
      if (member.prepared) return { kind: "contradicted", conflicts };
      const names = conflicts.map((conflict) => conflict.ref).join(", ");
      return refused(
        new LayerdError(
          "write_conflict",
          `${names} moved since the snapshot of transaction ${transactionId}`,
          { conflicts },
        ),
      );
    }
    for (const part of parts) {
      const error = this.#lane(part).refusal(part) ?? await this.#missingObject(part);
      if (error === null) continue;
      if (!member.prepared) return refused(error);
      return { kind: "contradicted", conflicts: [] };
    }
    return null;
  }

  /** Objects that native git wrote may be gone again; ours are in the record. */
  async #missingObject(part: RepositoryPart): Promise<LayerdError | null> {
    if (part.objects.kind === "pack") return null;
    const own = new Set(part.objects.files.map((file) => file.oid));
    for (const { ref, new: oid } of part.edits) {
      if (oid === null || own.has(oid)) continue;
      if (await this.#lane(part).repository.objects.header(oid) === null) {
        return new LayerdError(
          "git_error",
          `Object ${oid} for ${ref} is no longer in repository ${part.repository}`,
        );
      }
    }
    return null;
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
        this.#leaveRepository(id, { kind: "refused", error: problem });
        return false;
      }
    }));
    return outcomes.every((ok) => ok);
  }

  /** The last look before the decision (step 4): leases, and locks removed by hand. */
  #stillCommittable(): boolean {
    let all = true;
    for (const member of [...this.#members]) {
      if (!member.prepared && !member.request.stillWanted()) {
        const id = member.request.transactionId;
        const text = `The lease of transaction ${id} ended while it waited to commit`;
        this.#leave(member, refused(new LayerdError("lease_expired", text)));
        all = false;
      }
    }
    for (const [id, lane] of this.#lanes) {
      const members = this.#members.filter((member) => repositoriesOf(member).includes(id));
      const refs = members.flatMap((member) => partIn(member, id).flatMap(refsOf));
      if (lane.repository.publisher.stillHeld(refs)) continue;
      const text = `Lock files of repository ${lane.repository.name} were removed by somebody else`;
      const error = new LayerdError("repository_locked", text);
      this.#leaveRepository(id, { kind: "blocked", error });
      all = false;
    }
    return all;
  }

  async #decideAndPublish(): Promise<void> {
    const records: LogRecord[] = this.#members.map(({ request }) => ({
      kind: "commit",
      transaction: request.transaction,
      parts: request.parts,
      idempotency: request.idempotency,
    }));
    let lsns: Lsn[];
    try {
      lsns = this.#parts.log.appendAll(records);
      await timedForce(this.#parts);
    } catch (error) {
      if (!(error instanceof LayerdError)) throw error;
      for (const member of [...this.#members]) this.#leave(member, refused(error));
      this.#undo();
      return;
    }
    this.#parts.observer.observeGroup(this.#members.length);
    const stalled = await this.#publish();
    await this.#recordApplied(stalled);
    this.#finish(lsns, stalled);
  }

  /** Renames in one go, so that no reader of ours sees one repository without the other. */
  async #publish(): Promise<Map<RepositoryId, LayerdError>> {
    const stalled = new Map<RepositoryId, LayerdError>();
    for (const [id, lane] of this.#lanes) {
      try {
        lane.staged?.publish();
      } catch (error) {
        stalled.set(id, repositoryError(error, lane.repository.name));
      }
    }
    await Promise.all([...this.#lanes].map(async ([id, lane]) => {
      if (stalled.has(id)) return;
      try {
        await lane.staged?.settle();
        for (const part of this.#members.flatMap((member) => partIn(member, id))) {
          await lane.repository.objects.restoreMissing(part.objects);
        }
      } catch (error) {
        stalled.set(id, repositoryError(error, lane.repository.name));
      }
    }));
    return stalled;
  }

  async #recordApplied(stalled: ReadonlyMap<RepositoryId, LayerdError>): Promise<void> {
    const records: LogRecord[] = this.#members.flatMap(({ request }) =>
      request.parts.filter((part) => !stalled.has(part.repositoryId)).map((part) => ({
        kind: "applied" as const,
        transactionId: request.transactionId,
        repositoryId: part.repositoryId,
      }))
    );
    if (records.length > 0) await forceStubbornly(this.#parts, records);
  }

  #finish(lsns: readonly Lsn[], stalled: ReadonlyMap<RepositoryId, LayerdError>): void {
    const done = this.#members.map((member, index) => ({ member, lsn: lsns[index] ?? (0 as Lsn) }));
    const whole = done.filter(({ member }) =>
      repositoriesOf(member).every((id) => !stalled.has(id))
    );
    this.#parts.ledger.record(whole.map(({ member, lsn }) => ({
      lsn,
      transaction: member.request.transaction,
      idempotency: member.request.idempotency,
    })));
    for (const { member, lsn } of done) {
      const applied = member.request.parts.filter((part) => !stalled.has(part.repositoryId));
      for (const part of applied) this.#releasePart(member, part);
      const late = repositoriesOf(member).map((id) => stalled.get(id)).find((error) => error);
      this.#verdicts.set(
        member,
        late === undefined ? { kind: "committed" } : {
          kind: "stalled",
          lsn,
          applied: applied.map((part) => part.repositoryId),
          error: late,
        },
      );
    }
    for (const lane of this.#lanes.values()) lane.repository.publisher.unlockPackedRefs();
  }

  /** Gives everything back; whoever has no verdict yet goes into the next group. */
  #undo(): void {
    for (const member of [...this.#members]) this.#leave(member, { kind: "again" });
    for (const lane of this.#lanes.values()) {
      lane.staged?.discard();
      lane.repository.publisher.unlockPackedRefs();
    }
  }

  #leaveRepository(id: RepositoryId, verdict: Verdict): void {
    for (const member of [...this.#members]) {
      if (repositoriesOf(member).includes(id)) this.#leave(member, verdict);
    }
  }

  #leave(member: GroupMember, verdict: Verdict): void {
    if (!this.#verdicts.has(member)) this.#verdicts.set(member, verdict);
    if (!this.#members.includes(member)) return;
    this.#members = this.#members.filter((other) => other !== member);
    if (member.prepared) return;
    for (const part of member.request.parts) this.#releasePart(member, part);
  }

  #releasePart(member: GroupMember, part: RepositoryPart): void {
    const repository = this.#parts.catalog.byId(part.repositoryId);
    if (repository === null) return;
    this.#parts.held.release(repository, refsOf(part), member.request.transactionId);
  }

  #lane(part: RepositoryPart): Lane {
    const lane = this.#lanes.get(part.repositoryId);
    if (lane === undefined) throw new Error(`BUG: no lane for repository ${part.repository}`);
    return lane;
  }
}

function refused(error: LayerdError): Verdict {
  return { kind: "refused", error };
}

function repositoriesOf(member: GroupMember): RepositoryId[] {
  return member.request.parts.map((part) => part.repositoryId);
}

function partIn(member: GroupMember, id: RepositoryId): RepositoryPart[] {
  return member.request.parts.filter((part) => part.repositoryId === id);
}
