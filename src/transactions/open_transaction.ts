/**
 * One open transaction in memory: what was asked for at begin, where it stands, what it
 * holds and what it staged. Thousands are open at once, so nothing here is made before it
 * is needed, and no transaction owns a timer.
 *
 * O1. Calls run one after the other, in the order they came (inTurn).
 * O2. `state` changes only through the state machine of core/transaction_state.ts.
 * O3. While a call is accepted and unanswered the lease does not run.
 */
import {
  type FencingToken,
  layerOfRef,
  type ObjectId,
  type RefName,
  type RepositoryId,
  type TransactionId,
} from "../core/ids.ts";
import type { Branch } from "../core/branch.ts";
import type {
  Identity,
  Isolation,
  LockMode,
  ParticipantDocument,
  ProblemSummary,
  RefResult,
  TransactionDocument,
  TransactionState,
} from "../core/transaction_document.ts";
import { step, type TransactionEventKind } from "../core/transaction_state.ts";
import type { RefSnapshot, Repository } from "../git/repository.ts";
import type { SpooledBlob } from "./blob_spool.ts";
import type { IdempotencyKey } from "./manager.ts";
import { StagedChanges } from "./staged_changes.ts";

/** What begin fixes for the transaction's life. */
export interface TransactionHeader {
  readonly id: TransactionId;
  readonly fencingToken: FencingToken;
  readonly isolation: Isolation;
  readonly message: string;
  readonly author: Identity | null;
  readonly tenantId: string | null;
  readonly labels: Readonly<Record<string, string>>;
  /** RFC 3339. */
  readonly createdAt: string;
  readonly lockTimeoutMs: number;
  readonly prepareTimeoutMs: number;
  readonly operationType: string | null;
  readonly idempotency: IdempotencyKey | null;
}

/** A ref that the transaction has to do with. */
export interface RefPlace {
  readonly repository: Repository;
  readonly ref: RefName;
}

export interface HeldLock extends RefPlace {
  readonly mode: LockMode;
}

/** A ref with the value that the transaction sees. */
export interface TouchedRef extends RefPlace {
  readonly commit: ObjectId | null;
}

/** Refs of every repository at begin (optimistic isolation); shared by begins of one moment. */
export type SnapshotSet = ReadonlyMap<RepositoryId, RefSnapshot>;

export class OpenTransaction {
  readonly header: TransactionHeader;
  readonly changes = new StagedChanges();
  problem: ProblemSummary | null = null;
  /** Wall clock, milliseconds. */
  updatedAtMs: number;
  leaseMs: number;
  /** Monotonic milliseconds; meaningless while a call is served. */
  leaseDeadlineMs = Infinity;
  /** Wall clock, milliseconds; null without a lease. */
  leaseExpiresAtMs: number | null = null;
  snapshots: SnapshotSet | null = null;
  /** The commit that is under way: a second one gets its outcome. */
  committing: Promise<TransactionDocument> | null = null;
  /** Whether begin was asked for locks; then an optimistic commit never gives them back. */
  locksAtBegin = false;
  /** Where the refs move, once that is decided. */
  results: readonly RefResult[] = [];
  /** Where the refs will move once a prepared transaction is told to commit. */
  promised: readonly RefResult[] = [];
  /** Participants outside, once they were asked. */
  participants: readonly ParticipantDocument[] = [];
  /** Branches that a promise has prepared at participants. */
  promisedBranches: readonly Branch[] = [];
  /** How often participants were asked: a second attempt has other branches. */
  attempts = 0;
  /** Accepted calls that have no answer yet. */
  callsServed = 0;

  #state: TransactionState;
  readonly #locks = new Map<string, HeldLock>();
  readonly #touched = new Map<string, TouchedRef>();
  #uploads: Map<ObjectId, SpooledBlob> | null = null;
  #lastCall: Promise<unknown> | null = null;

  /** `state`: where it stands when it comes into memory; other than at begin after a restart. */
  constructor(
    header: TransactionHeader,
    leaseMs: number,
    nowMs: number,
    state: TransactionState = "initiated",
  ) {
    this.header = header;
    this.#state = state;
    this.leaseMs = leaseMs;
    this.updatedAtMs = nowMs;
  }

  get id(): TransactionId {
    return this.header.id;
  }

  get state(): TransactionState {
    return this.#state;
  }

  /** Takes the state machine through these events; throws `invalid_transition`. */
  advance(...events: readonly TransactionEventKind[]): void {
    for (const kind of events) this.#state = step(this.#state, { kind }).state;
  }

  get locks(): Iterable<HeldLock> {
    return this.#locks.values();
  }

  get touched(): Iterable<TouchedRef> {
    return this.#touched.values();
  }

  /** Runs work after all earlier calls on this transaction, however they ended. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#lastCall === null ? work() : this.#lastCall.then(work, work);
    const settled = turn.then(() => undefined, () => undefined);
    this.#lastCall = settled;
    settled.then(() => {
      if (this.#lastCall === settled) this.#lastCall = null;
    });
    return turn;
  }

  lockOn(repository: Repository, ref: RefName): LockMode | null {
    return this.#locks.get(placeKey(repository.id, ref))?.mode ?? null;
  }

  noteLock(repository: Repository, ref: RefName, mode: LockMode): void {
    this.#locks.set(placeKey(repository.id, ref), { repository, ref, mode });
  }

  forgetLocks(): void {
    this.#locks.clear();
  }

  get holdsLocks(): boolean {
    return this.#locks.size > 0;
  }

  /** The value that the transaction saw of a ref; undefined before its first touch. */
  seen(repository: Repository, ref: RefName): ObjectId | null | undefined {
    return this.#touched.get(placeKey(repository.id, ref))?.commit;
  }

  noteSeen(repository: Repository, ref: RefName, commit: ObjectId | null): void {
    this.#touched.set(placeKey(repository.id, ref), { repository, ref, commit });
  }

  upload(oid: ObjectId): SpooledBlob | null {
    return this.#uploads?.get(oid) ?? null;
  }

  get hasUploads(): boolean {
    return this.#uploads !== null;
  }

  noteUpload(blob: SpooledBlob): void {
    this.#uploads ??= new Map();
    this.#uploads.set(blob.oid, blob);
  }

  /** Whether the repository is held by the transaction in any way. */
  touches(repositoryId: RepositoryId): boolean {
    for (const { repository } of this.#locks.values()) {
      if (repository.id === repositoryId) return true;
    }
    for (const { repository } of this.#touched.values()) {
      if (repository.id === repositoryId) return true;
    }
    return false;
  }

  /** The transaction as clients see it now. */
  document(): TransactionDocument {
    const { header } = this;
    return {
      id: header.id,
      state: this.#state,
      isolation: header.isolation,
      message: header.message,
      author: header.author,
      tenant_id: header.tenantId,
      labels: header.labels,
      created_at: header.createdAt,
      updated_at: timestamp(this.updatedAtMs),
      lease_expires_at: this.leaseExpiresAtMs === null ? null : timestamp(this.leaseExpiresAtMs),
      fencing_token: header.fencingToken,
      operations: this.changes.operations,
      savepoints: this.changes.savepoints,
      locks: [...this.#locks.values()].map(({ repository, ref, mode }) => ({
        repository: repository.name,
        layer: layerOfRef(ref) ?? ref,
        mode,
      })),
      snapshot: [...this.#touched.values()].map(({ repository, ref, commit }) => ({
        repository: repository.name,
        layer: layerOfRef(ref) ?? ref,
        commit,
      })),
      results: this.results,
      participants: this.participants,
      problem: this.problem,
    };
  }

  /** The transaction as it will be at its end. */
  endDocument(
    state: "committed" | "rolled_back",
    results: readonly RefResult[],
    problem: ProblemSummary | null,
    atMs: number,
  ): TransactionDocument {
    return {
      ...this.document(),
      state,
      updated_at: timestamp(atMs),
      lease_expires_at: null,
      locks: [],
      results,
      problem,
    };
  }
}

/** RFC 3339 with milliseconds. */
export function timestamp(ms: number): string {
  return new Date(ms).toISOString();
}

function placeKey(repositoryId: RepositoryId, ref: RefName): string {
  return `${repositoryId} ${ref}`;
}
