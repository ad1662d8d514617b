/**
 * Admission of transactions to the decision: locks, then comparison with git (DESIGN section
 * 3, step 2). Shared by commit groups and by the public prepare.
 *
 * A1. A transaction takes all its ref locks or none; a blocked one keeps nothing.
 * A2. Refs are read only after packed-refs.lock was taken too: native git of 2.39 deletes
 *     packed refs without looking at the ref's own lock.
 * A3. Transactions are compared one after the other, each with what those before it leave.
 * A4. Who leaves gives its ref locks back at once, but for a prepared transaction's.
 */
import { getLogger } from "@logtape/logtape";
import { LayerdError, messageOf } from "../core/errors.ts";
import type { ObjectId, RepositoryId } from "../core/ids.ts";
import type { RepositoryPart } from "../core/log_record.ts";
import { readCommit } from "../git/history.ts";
import type { ObjectStore, Repository } from "../git/repository.ts";
import { type AdmissionParts, type GroupMember, refsOf, type Verdict } from "./group_member.ts";
import { Lane } from "./lane.ts";
import type { CommitRequest } from "./pipeline.ts";
import { movedSince } from "./moved_refs.ts";
import { lockRefusal, repositoryError } from "./repository_errors.ts";

const logger = getLogger(["layerd", "transactions"]);

export class Admission {
  readonly #parts: AdmissionParts;
  readonly verdicts = new Map<GroupMember, Verdict>();
  readonly lanes = new Map<RepositoryId, Lane>();
  readonly #everybody: readonly GroupMember[];
  readonly #rechecked = new Set<RepositoryId>();
  #members: readonly GroupMember[];

  constructor(parts: AdmissionParts, members: readonly GroupMember[]) {
    this.#parts = parts;
    this.#everybody = members;
    this.#members = members;
  }

  /** Who is admitted still. */
  get members(): readonly GroupMember[] {
    return this.#members;
  }

  /** Locks and compares. Afterwards either publish and release, or undo(). */
  async admit(): Promise<void> {
    for (const member of this.#members) this.#lockRefs(member);
    this.#openLanes();
    await this.#validate();
  }

  /** Ref locks, one transaction after the other, each all or none (step 2). */
  #lockRefs(member: GroupMember): void {
    for (const part of member.request.parts) {
      const error = this.#lockPart(member, part);
      if (error === null) continue;
      this.leave(
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
      return this.#parts.catalog.absence(part.repositoryId, part.repository);
    }
    try {
      this.#recheck(repository);
      this.#parts.catalog.requireWritable(repository);
      const id = member.request.transactionId;
      const outcome = this.#parts.held.acquire(repository, refsOf(part), id);
      return outcome.kind === "locked" ? null : lockRefusal(outcome, part.repository);
    } catch (error) {
      return repositoryError(error, part.repository);
    }
  }

  /** Whether git may have changed its format: one look a group. */
  #recheck(repository: Repository): void {
    if (this.#rechecked.has(repository.id)) return;
    repository.recheck();
    this.#rechecked.add(repository.id);
  }

  #openLanes(): void {
    for (const id of [...new Set(this.#members.flatMap(repositoriesOf))].sort()) {
      const repository = this.#parts.catalog.byId(id);
      if (repository === null) continue;
      try {
        const outcome = repository.publisher.lockPackedRefs();
        if (outcome.kind === "locked") {
          const refs = this.#members.flatMap((member) => partIn(member, id)).flatMap(refsOf);
          this.lanes.set(id, new Lane(repository, refs, this.#parts.promisedNames(id)));
          continue;
        }
        const error = lockRefusal(outcome, repository.name);
        this.leaveRepository(id, { kind: "blocked", error });
      } catch (error) {
        repository.publisher.unlockPackedRefs();
        const problem = repositoryError(error, repository.name);
        this.leaveRepository(id, { kind: "refused", error: problem });
      }
    }
  }

  /** Compares each transaction with git and with those accepted before it. */
  async #validate(): Promise<void> {
    for (const member of this.#members) {
      let verdict: Verdict | null = null;
      try {
        verdict = await this.#verdictOn(member);
      } catch (error) {
        const names = member.request.parts.map((part) => part.repository).join(", ");
        verdict = { kind: "refused", error: repositoryError(error, names) };
      }
      if (verdict !== null) this.leave(member, verdict);
      else for (const part of member.request.parts) this.#lane(part).accept(part);
    }
  }

  async #verdictOn(member: GroupMember): Promise<Verdict | null> {
    const { parts, transactionId } = member.request;
    const conflicts = parts.flatMap((part) => this.#lane(part).conflicts(part));
    if (conflicts.length > 0) {
      if (member.prepared) {
        return { kind: "contradicted", reason: "A prepared ref was moved", conflicts };
      }
      return refused(movedSince(transactionId, conflicts));
    }
    for (const part of parts) {
      const error = this.#lane(part).refusal(part) ?? await this.#missingObject(member, part);
      if (error === null) continue;
      if (!member.prepared) return refused(error);
      return { kind: "contradicted", reason: error.message, conflicts: [] };
    }
    return null;
  }

  /** Objects that native git wrote may be gone again; ours are in the record. */
  async #missingObject(
    { request, prepared }: GroupMember,
    part: RepositoryPart,
  ): Promise<LayerdError | null> {
    const { objects } = this.#lane(part).repository;
    // While a promise stood, gc may have taken what nothing reached: ours comes back.
    if (prepared) objects.restoreMissing([part.objects]);
    return await lostObject(objects, request, part);
  }

  /** Gives everything back; whoever has no verdict yet goes into the next group. */
  async undo(): Promise<void> {
    for (const member of this.#members) this.leave(member, { kind: "again" });
    for (const lane of this.lanes.values()) {
      lane.staged?.discard();
      await this.#pinPromises(lane.repository);
      lane.repository.publisher.unlockPackedRefs();
    }
  }

  /** Staging folds the pins of promises; one that goes on standing needs them again. */
  async #pinPromises(repository: Repository): Promise<void> {
    const refs = this.#everybody.filter((member) => member.prepared)
      .flatMap((member) => partIn(member, repository.id)).flatMap(refsOf);
    if (refs.length === 0) return;
    try {
      await repository.publisher.pin(refs);
    } catch (error) {
      logger.error("Promises in {repository} have lost their pins: {error}", {
        repository: repository.name,
        error: messageOf(error),
      });
    }
  }

  /** Ends the part of everybody who touches the repository. */
  leaveRepository(id: RepositoryId, verdict: Verdict): void {
    for (const member of this.#members) {
      if (repositoriesOf(member).includes(id)) this.leave(member, verdict);
    }
  }

  /** Ends a member's part in this group, with its ref locks. */
  leave(member: GroupMember, verdict: Verdict): void {
    if (!this.verdicts.has(member)) this.verdicts.set(member, verdict);
    if (!this.#members.includes(member)) return;
    this.#members = this.#members.filter((other) => other !== member);
    if (member.prepared || member.request.isHeld) return;
    for (const part of member.request.parts) this.releasePart(member, part);
  }

  releasePart(member: GroupMember, part: RepositoryPart): void {
    const repository = this.#parts.catalog.byId(part.repositoryId);
    if (repository === null) return;
    this.#parts.held.release(repository, refsOf(part), member.request.transactionId);
  }

  #lane(part: RepositoryPart): Lane {
    const lane = this.lanes.get(part.repositoryId);
    if (lane === undefined) throw new Error(`BUG: no lane for repository ${part.repository}`);
    return lane;
  }
}

/** What the part relies on and native git has taken, as an error; null where all is there. */
export async function lostObject(
  objects: ObjectStore,
  { reliesOn }: CommitRequest,
  { repositoryId, repository }: RepositoryPart,
): Promise<LayerdError | null> {
  for (const oid of reliesOn.get(repositoryId) ?? []) {
    if (await isWhole(objects, oid)) continue;
    return new LayerdError(
      "git_error",
      `Object ${oid} is no longer whole in repository ${repository}: git pruned it`,
    );
  }
  return null;
}

/** Whether an object is there, and with a commit its tree; what that reaches was there with it. */
async function isWhole(objects: ObjectStore, oid: ObjectId): Promise<boolean> {
  const header = await objects.header(oid);
  if (header?.type !== "commit") return header !== null;
  const { tree } = (await readCommit(objects, oid)).fields;
  return await objects.header(tree) !== null;
}

export function refused(error: LayerdError): Verdict {
  return { kind: "refused", error };
}

export function repositoriesOf(member: GroupMember): RepositoryId[] {
  return member.request.parts.map((part) => part.repositoryId);
}

/** The member's part in a repository, if it has one. */
export function partIn(member: GroupMember, id: RepositoryId): RepositoryPart[] {
  return member.request.parts.filter((part) => part.repositoryId === id);
}
