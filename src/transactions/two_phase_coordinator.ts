/**
 * Two-phase commit over Git and participants outside (DESIGN section 3, GIT-SAFETY section 5).
 *
 *   1. The Git part takes and compares its locks, then gives packed-refs.lock back.
 *   2. `asked` is forced: it names every branch, so that a crash leaves nobody unheard of.
 *   3. All participants are asked at once, under a timeout. Read-only ones leave.
 *   4. All prepared: the pipeline compares again and forces the decision with its branches.
 *      Anybody not, or the pipeline refuses: presumed abort.
 *   5. Everybody is told, and told again until they acknowledge (decision_teller.ts).
 *
 * T1. Nobody is told to commit before the commit record is durable.
 * T2. After an abort was presumed every branch that may be prepared is told so.
 */
import type { Branch, OpenBranch } from "../core/branch.ts";
import { LayerdError } from "../core/errors.ts";
import type { ParticipantName, TransactionId } from "../core/ids.ts";
import { ACKNOWLEDGEMENT_WAIT_MS } from "../core/limits.ts";
import type { LogRecord } from "../core/log_record.ts";
import type { ParticipantDocument, TransactionDocument } from "../core/transaction_document.ts";
import type { ParticipantWork, Vote } from "../participants/participant.ts";
import type { GroupCommitPipeline } from "./commit_pipeline.ts";
import { type BranchEnd, DecisionTeller, type TellerParts } from "./decision_teller.ts";
import { type CommitParts, forceStubbornly } from "./group_member.ts";
import type { CommitOutcome, CommitRequest, PrepareOutcome, SettledOutcome } from "./pipeline.ts";
import {
  abortedBy,
  committedAs,
  documentOf,
  mayBePrepared,
  takenOver,
  type Voted,
} from "./votes.ts";
import { contradictedDocument } from "./contradicted_document.ts";
import { UndecidedBranches } from "./undecided_branches.ts";

/** What a transaction does outside Git, with the branch that it does it under. */
export interface BranchWork {
  readonly branch: Branch;
  readonly work: ParticipantWork;
}

export interface TwoPhaseRequest {
  readonly commit: CommitRequest;
  readonly work: readonly BranchWork[];
  readonly prepareTimeoutMs: number;
  /** Told whenever votes or outcomes change, for the transaction's document. */
  readonly note: (participants: readonly ParticipantDocument[]) => void;
}

export interface CoordinatorParts extends Omit<TellerParts, "force" | "endings"> {
  readonly commit: CommitParts;
  readonly pipeline: GroupCommitPipeline;
}

type Asked =
  | {
    readonly kind: "prepared";
    readonly request: CommitRequest;
    readonly documents: ParticipantDocument[];
  }
  | { readonly kind: "refused"; readonly error: LayerdError };

export class TwoPhaseCoordinator {
  readonly #parts: CoordinatorParts;
  readonly teller: DecisionTeller;
  readonly #undecided = new UndecidedBranches();
  readonly #stopped: PromiseWithResolvers<Vote> = Promise.withResolvers();

  constructor(parts: CoordinatorParts) {
    this.#parts = parts;
    this.teller = new DecisionTeller({
      ...parts,
      endings: parts.commit.endings,
      force: (record) => parts.pipeline.turn(() => this.#force(record)),
    });
  }

  /** Whether a branch of this key is somebody's. */
  owns(key: string): boolean {
    return this.#undecided.has(key) || this.teller.has(key);
  }

  isBusy(name: ParticipantName): boolean {
    return this.#undecided.hasOf(name) ||
      this.teller.all().some(({ branch }) => branch.participant === name);
  }

  /** Branches of a transaction that are prepared and undecided. */
  promisedOf(id: TransactionId): Branch[] {
    return this.#undecided.of(id);
  }

  /** Whether nobody will tell the branch anything any more, also after a crash. */
  isOver(key: string): boolean {
    return !this.owns(key) && !this.#parts.commit.endings.waits(key);
  }

  /** For a checkpoint: what the log must go on saying. */
  records(): LogRecord[] {
    const promises = this.#parts.pipeline.prepared.entries();
    return [...this.#undecided.records(promises, this.#now()), ...this.teller.records()];
  }

  /** The daemon stops: votes that are out count as unknown, and their transactions abort. */
  stopAsking(): void {
    this.#stopped.resolve({ vote: "unknown", reason: "The daemon stops" });
  }

  async commit(request: TwoPhaseRequest): Promise<CommitOutcome> {
    const asked = await this.#ask(request);
    if (asked.kind === "refused") return asked;
    const outcome = await this.#decide(request, asked.request);
    if (outcome.kind === "refused") return outcome;
    return await this.#afterDecision(asked.request, outcome, asked.documents, request.note);
  }

  /** The public promise, with its participants prepared. */
  async prepare(request: TwoPhaseRequest): Promise<PrepareOutcome> {
    const asked = await this.#ask(request);
    if (asked.kind === "refused") return asked;
    const transaction = { ...asked.request.transaction, participants: asked.documents };
    const promise = { ...asked.request, transaction, isHeld: false };
    const outcome = await this.#parts.pipeline.prepare(promise);
    if (outcome.kind === "refused") this.#giveUp(request, asked.request.branches);
    return outcome;
  }

  /** After the commit of a promise: tells its participants. */
  async committed(
    transaction: TransactionDocument,
    branches: readonly Branch[],
    outcome: CommitOutcome,
    note: TwoPhaseRequest["note"],
  ): Promise<CommitOutcome> {
    if (outcome.kind === "refused" || branches.length === 0) return outcome;
    const request = { branches, transaction };
    return await this.#afterDecision(request, outcome, [...transaction.participants], note);
  }

  /** After the rollback of a promise. */
  rolledBack(branches: readonly Branch[]): void {
    for (const branch of branches) this.#presumeAbort(branch);
  }

  /** A promise found by recovery: its branches are somebody's. */
  adoptPromise(branches: readonly Branch[]): void {
    this.#undecided.add(branches);
  }

  /** Takes over a decided transaction found by recovery; `git` is how its Git part ends. */
  async adoptCommitted(
    open: readonly OpenBranch[],
    git: Promise<SettledOutcome>,
  ): Promise<SettledOutcome> {
    const ends = open.map((one) => this.teller.adopt(one));
    return await this.#settle(git, open.map(({ branch }) => branch), ends);
  }

  async #ask(request: TwoPhaseRequest): Promise<Asked> {
    const { holds } = this.#parts.pipeline;
    const refusal = await holds.hold(request.commit);
    if (refusal !== null) return { kind: "refused", error: refusal };
    const branches = request.work.map(({ branch }) => branch);
    this.#undecided.add(branches);
    try {
      const asked: LogRecord = {
        kind: "asked",
        decision: "rolled_back",
        at: this.#now(),
        branches,
      };
      await this.#parts.pipeline.turn(() => this.#force(asked));
    } catch (error) {
      if (!(error instanceof LayerdError) || error.code === "io_error") throw error;
      for (const branch of branches) this.#undecided.remove(branch);
      holds.release(request.commit);
      return { kind: "refused", error };
    }
    const askedMs = this.#parts.clock.monotonic();
    const votes = await Promise.all(request.work.map((work) => this.#vote(work, request)));
    const documents = votes.map(documentOf);
    request.note(documents);
    const refused = votes.filter(({ vote }) => vote.vote === "abort" || vote.vote === "unknown");
    if (refused.length > 0) {
      this.#giveUp(request, votes.flatMap(mayBePrepared));
      return { kind: "refused", error: abortedBy(refused) };
    }
    for (const { branch, vote } of votes) {
      if (vote.vote === "read_only") this.#left(branch);
    }
    const prepared = votes.flatMap(({ branch, vote }) => vote.vote === "prepared" ? [branch] : []);
    const transaction = { ...request.commit.transaction, participants: documents.map(committedAs) };
    return {
      kind: "prepared",
      request: {
        ...request.commit,
        transaction,
        branches: prepared,
        isHeld: true,
        // Time that the participants took is not time that native git was waited for.
        deadlineMs: request.commit.deadlineMs + this.#parts.clock.monotonic() - askedMs,
      },
      documents,
    };
  }

  async #vote({ branch, work }: BranchWork, request: TwoPhaseRequest): Promise<Voted> {
    const registry = this.#parts.registry();
    const refusal = registry.refusal(branch.participant);
    if (refusal !== null) return { branch, vote: { vote: "abort", reason: refusal.message } };
    const participant = registry.get(branch.participant);
    if (participant.kind !== branch.kind) {
      return { branch, vote: { vote: "abort", reason: takenOver(branch, participant) } };
    }
    const call = { ...branch, timeoutMs: request.prepareTimeoutMs };
    const vote = await Promise.race([participant.prepare(call, work), this.#stopped.promise]);
    return { branch, vote };
  }

  /** Compares again and forces the decision; refused, everybody is told to abort. */
  async #decide(request: TwoPhaseRequest, commit: CommitRequest): Promise<CommitOutcome> {
    const outcome = await this.#parts.pipeline.commit(commit);
    if (outcome.kind === "refused") this.#giveUp(request, commit.branches);
    return outcome;
  }

  #giveUp(request: TwoPhaseRequest, maybePrepared: readonly Branch[]): void {
    this.#parts.pipeline.holds.release(request.commit);
    const told = new Set(maybePrepared.map(({ key }) => key));
    for (const branch of maybePrepared) this.#presumeAbort(branch);
    for (const { branch } of request.work) if (!told.has(branch.key)) this.#left(branch);
  }

  #presumeAbort(branch: Branch): void {
    this.#undecided.remove(branch);
    // How it ends is the operator's to see under in-doubt: the transaction has ended.
    void this.teller.tell(branch, "rolled_back", this.#now());
  }

  /** A branch that has nothing to be told. */
  #left(branch: Branch): void {
    if (!this.#undecided.remove(branch)) return;
    this.#parts.commit.endings.addEnded(branch.key);
  }

  /** Tells, and answers 202 where it takes longer than a client should wait. */
  async #afterDecision(
    { branches, transaction }: Pick<CommitRequest, "branches" | "transaction">,
    git: Exclude<CommitOutcome, { kind: "refused" }>,
    documents: readonly ParticipantDocument[],
    note: TwoPhaseRequest["note"],
  ): Promise<CommitOutcome> {
    const outcomes = new Map(documents.map((one) => [one.name, one]));
    const outcome = (name: string, of: ParticipantDocument["outcome"]) => {
      const known = outcomes.get(name);
      if (known) outcomes.set(name, { ...known, outcome: of });
      note([...outcomes.values()]);
    };
    const ends = branches.map((branch) => {
      this.#undecided.remove(branch);
      outcome(branch.participant, "in_doubt");
      const end = this.teller.tell(branch, "committed", transaction.updated_at);
      end.then(({ kind }) =>
        outcome(branch.participant, kind === "acknowledged" ? "committed" : "failed")
      );
      return end;
    });
    const gitSettled = git.kind === "committed" ? Promise.resolve(git) : git.settled;
    const settled = this.#settle(gitSettled, branches, ends);
    const late = this.#parts.clock.sleep(ACKNOWLEDGEMENT_WAIT_MS).then(() => null);
    const told = await Promise.race([Promise.all(ends), late]);
    if (told !== null && git.kind === "committed") {
      if (told.every(acknowledged)) return git;
      // Contradicted at once: let the failure be seen before the answer is made.
      const outcome = Promise.resolve(await settled);
      return { kind: "stalled", problem: this.teller.pending(branches), settled: outcome };
    }
    const problem = git.kind === "stalled" ? git.problem : this.teller.pending(branches);
    return { kind: "stalled", problem, settled };
  }

  /** The transaction is over when its Git part and every branch are. */
  async #settle(
    git: Promise<SettledOutcome>,
    branches: readonly Branch[],
    ends: readonly Promise<BranchEnd>[],
  ): Promise<SettledOutcome> {
    const [outcome, ...told] = await Promise.all([git, ...ends]);
    // The decided document: a promise's own does not say where the refs have moved.
    const failed = contradictedDocument(outcome.transaction, branches, told);
    if (outcome.kind === "failed" || failed === null) return outcome;
    const { log, ledger } = this.#parts.commit;
    ledger.record([{ lsn: log.status().lastLsn, transaction: failed, idempotency: null }]);
    return { kind: "failed", transaction: failed };
  }

  async #force(record: LogRecord): Promise<void> {
    if (record.kind !== "asked") {
      await forceStubbornly(this.#parts.commit, [record]);
      return;
    }
    this.#parts.commit.log.append(record);
    await this.#parts.commit.log.force();
  }

  #now(): string {
    return new Date(this.#parts.clock.now()).toISOString();
  }
}

function acknowledged(end: BranchEnd): boolean {
  return end.kind === "acknowledged";
}
