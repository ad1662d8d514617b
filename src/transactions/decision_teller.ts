/**
 * Tells participants what was decided, again and again until they acknowledge (GIT-SAFETY
 * section 5). After a decision there is no timeout, only backoff with jitter.
 *
 * D1. A branch is told only once its decision is durable, or is an abort, which is presumed.
 * D2. A branch leaves when it acknowledged, or an operator resolved it; one that says that it
 *     ended otherwise is told no more, and stays until then.
 * D3. `ended` rides with the next forced record: lost, the branch is told once more.
 */
import { getLogger } from "@logtape/logtape";
import type { Branch, Decision, OpenBranch } from "../core/branch.ts";
import { TELL_AGAIN_MS_MAX, TELL_AGAIN_MS_MIN, TELL_TIMEOUT_MS } from "../core/limits.ts";
import type { LogRecord } from "../core/log_record.ts";
import type { ProblemSummary } from "../core/transaction_document.ts";
import type { Acknowledgement } from "../participants/participant.ts";
import type { ParticipantRegistry } from "../participants/registry.ts";
import type { Clock, Timer } from "../system/clock.ts";
import type { Random } from "../system/random.ts";
import type { Endings } from "./endings.ts";
import type { EventBus } from "./events.ts";
import { takenOver } from "./votes.ts";

const logger = getLogger(["layerd", "participants"]);

export interface TellerParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly registry: () => ParticipantRegistry;
  readonly events: EventBus;
  readonly endings: Endings;
  /** Appends and forces in a turn of the pipeline. */
  readonly force: (record: LogRecord) => Promise<void>;
}

/** How a branch came to its end. */
export type BranchEnd =
  | { readonly kind: "acknowledged" }
  | { readonly kind: "contradicted"; readonly reason: string };

/** A branch that has been decided and has not acknowledged. */
export interface UntoldBranch {
  readonly branch: Branch;
  readonly decision: Decision;
  readonly since: string;
  attempts: number;
  lastError: string | null;
  contradiction: string | null;
  readonly settle: (end: BranchEnd) => void;
  readonly settled: Promise<BranchEnd>;
}

export class DecisionTeller {
  readonly #parts: TellerParts;
  readonly #open = new Map<string, UntoldBranch>();
  readonly #timers = new Map<string, Timer>();
  #stopped = false;

  constructor(parts: TellerParts) {
    this.#parts = parts;
  }

  all(): readonly UntoldBranch[] {
    return [...this.#open.values()];
  }

  has(key: string): boolean {
    return this.#open.has(key);
  }

  /** Begins to tell; the answer resolves when the branch is at its end. */
  tell(branch: Branch, decision: Decision, since: string): Promise<BranchEnd> {
    const known = this.#open.get(branch.key);
    if (known) return known.settled;
    const entry = this.#enter({ branch, decision, since, contradiction: null });
    this.#attempt(entry);
    return entry.settled;
  }

  /** Takes over what the log says is open; what was contradicted only waits. */
  adopt({ branch, decision, since, contradiction }: OpenBranch): Promise<BranchEnd> {
    if (decision === null) throw new Error(`BUG: ${branch.key} is not decided`);
    if (contradiction === null) return this.tell(branch, decision, since);
    const entry = this.#enter({ branch, decision, since, contradiction });
    entry.settle({ kind: "contradicted", reason: contradiction });
    return entry.settled;
  }

  /** Why a transaction is not over: who of its branches has not acknowledged. */
  pending(branches: readonly Branch[]): ProblemSummary {
    const open = this.all().filter(({ branch }) => branches.some(({ key }) => key === branch.key));
    const participants = open.map(({ branch, lastError }) => ({
      name: branch.participant,
      reason: lastError ?? "Has not answered yet",
    }));
    const names = participants.map(({ name }) => name).join(", ");
    return {
      code: "timeout",
      detail: `Decided; ${names} has not acknowledged and is told again until it does`,
      participants,
    };
  }

  /** An operator closed it, as `outcome`; the record is forced already. */
  resolve(key: string, outcome: Decision): void {
    const entry = this.#open.get(key);
    if (!entry) return;
    this.#leave(entry);
    const same = outcome === entry.decision;
    entry.settle(
      same ? { kind: "acknowledged" } : {
        kind: "contradicted",
        reason: `An operator resolved it as ${outcome}`,
      },
    );
  }

  /** What a checkpoint appends again. */
  records(): LogRecord[] {
    return this.all().flatMap(({ branch, decision, since, contradiction }) => {
      const asked: LogRecord = { kind: "asked", decision, at: since, branches: [branch] };
      const failed: LogRecord[] = contradiction === null
        ? []
        : [{ kind: "branch_failed", key: branch.key, reason: contradiction }];
      return [asked, ...failed];
    });
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) timer.cancel();
  }

  #enter(open: Pick<UntoldBranch, "branch" | "decision" | "since" | "contradiction">) {
    const { promise: settled, resolve: settle } = Promise.withResolvers<BranchEnd>();
    const entry: UntoldBranch = { ...open, attempts: 0, lastError: null, settled, settle };
    this.#open.set(open.branch.key, entry);
    return entry;
  }

  #attempt(entry: UntoldBranch): void {
    const { key } = entry.branch;
    this.#timers.delete(key);
    this.#tellOnce(entry).catch((error) => {
      // Only the log can fail here, and that ends the process.
      logger.error("Branch {key} is left to the next start: {error}", { key, error });
    });
  }

  async #tellOnce(entry: UntoldBranch): Promise<void> {
    entry.attempts++;
    const answer = await this.#ask(entry);
    const { key } = entry.branch;
    if (this.#open.get(key) !== entry) return;
    switch (answer.kind) {
      case "done":
        this.#leave(entry);
        this.#parts.endings.addEnded(key);
        entry.settle({ kind: "acknowledged" });
        return;
      case "contradicted":
        entry.contradiction = entry.lastError = answer.reason;
        await this.#parts.force({ kind: "branch_failed", key, reason: answer.reason });
        this.#announce(entry);
        entry.settle({ kind: "contradicted", reason: answer.reason });
        return;
      case "again":
        entry.lastError = answer.reason;
        if (entry.attempts === 1) this.#announce(entry);
        this.#later(entry);
    }
  }

  async #ask({ branch, decision }: UntoldBranch): Promise<Acknowledgement> {
    const registry = this.#parts.registry();
    const refusal = registry.refusal(branch.participant);
    if (refusal !== null) return { kind: "again", reason: refusal.message };
    const participant = registry.get(branch.participant);
    if (participant.kind !== branch.kind) {
      return { kind: "again", reason: takenOver(branch, participant) };
    }
    const call = { ...branch, timeoutMs: TELL_TIMEOUT_MS };
    return await (decision === "committed" ? participant.commit(call) : participant.abort(call));
  }

  #later(entry: UntoldBranch): void {
    if (this.#stopped) return;
    const { clock, random } = this.#parts;
    const delayMs = Math.min(TELL_AGAIN_MS_MAX, TELL_AGAIN_MS_MIN * 2 ** (entry.attempts - 1)) *
      (0.5 + random.uniform() / 2);
    this.#timers.set(entry.branch.key, clock.after(delayMs, () => this.#attempt(entry)));
  }

  #leave({ branch: { key } }: UntoldBranch): void {
    this.#open.delete(key);
    this.#timers.get(key)?.cancel();
    this.#timers.delete(key);
  }

  #announce({ branch, decision, lastError }: UntoldBranch): void {
    const { participant, context } = branch;
    logger.warn("Participant {participant} has not acknowledged {decision} of {id}: {error}", {
      participant,
      decision,
      id: context.transactionId,
      error: lastError,
    });
    this.#parts.events.publish("transaction.in_doubt", {
      transaction_id: context.transactionId,
      participant,
      decision,
      error: lastError,
    });
  }
}
