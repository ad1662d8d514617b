/**
 * The Git part of a transaction while its participants are asked: its ref locks stand, and
 * packed-refs.lock does not, because native git needs it and nobody knows how long an answer
 * takes (DESIGN section 3). What was compared here is compared again before the decision.
 */
import type { Branch } from "../core/branch.ts";
import type { LayerdError } from "../core/errors.ts";
import type { Random } from "../system/random.ts";
import { Admission } from "./admission.ts";
import { type AdmissionParts, type GroupMember, refsOf } from "./group_member.ts";
import type { CommitRequest, Turn } from "./pipeline.ts";

const BACKOFF_MS_MAX = 100;

export class GitHolds {
  readonly #parts: AdmissionParts & { readonly random: Random };
  readonly #turn: Turn;

  constructor(parts: AdmissionParts & { readonly random: Random }, turn: Turn) {
    this.#parts = parts;
    this.#turn = turn;
  }

  /** Locks and compares, waiting for foreign locks until the deadline; why not, or null. */
  async hold(request: CommitRequest): Promise<LayerdError | null> {
    const { clock, random } = this.#parts;
    if (request.parts.length === 0) return null;
    for (let attempts = 0;; attempts++) {
      const outcome = await this.#turn(() => this.#tryOnce(request));
      if (outcome === null) return null;
      const left = request.deadlineMs - clock.monotonic();
      if (outcome.kind === "refused" || left <= 0) return outcome.error;
      const delayMs = Math.min(BACKOFF_MS_MAX, 2 ** attempts) * (0.5 + random.uniform());
      await clock.sleep(Math.min(left, delayMs));
    }
  }

  /** Gives the ref locks back, and what was written for this try. */
  release(request: CommitRequest): void {
    for (const part of request.parts) {
      const repository = this.#parts.catalog.byId(part.repositoryId);
      if (repository === null) continue;
      repository.objects.discard(part.objects);
      this.#parts.held.release(repository, refsOf(part), request.transactionId);
    }
  }

  async #tryOnce(request: CommitRequest) {
    const member: GroupMember = { request, prepared: false };
    const admission = new Admission(this.#parts, [member]);
    await admission.admit();
    const verdict = admission.verdicts.get(member);
    if (verdict === undefined) {
      for (const { repository } of admission.lanes.values()) {
        repository.publisher.unlockPackedRefs();
      }
      return null;
    }
    await admission.undo();
    if (verdict.kind === "blocked" || verdict.kind === "refused") return verdict;
    throw new Error(`BUG: a hold ended ${verdict.kind}`);
  }
}

/** The branches of a decision, for its record. */
export function branchesOf(
  { branches }: { readonly branches: readonly Branch[] },
): { readonly branches?: readonly Branch[] } {
  return branches.length === 0 ? {} : { branches };
}
