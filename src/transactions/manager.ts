/** Transactions as the routes use them. */
import type {
  FilePath,
  LayerName,
  ObjectId,
  RepositoryName,
  SavepointName,
  TransactionId,
} from "../core/ids.ts";
import type { Operation } from "../core/operations.ts";
import type { LedgerFilter } from "../ledger/ledger.ts";
import type {
  Identity,
  Isolation,
  LockMode,
  TransactionDocument,
  TransactionState,
} from "../core/transaction_document.ts";

export interface LockRequest {
  readonly repository: RepositoryName;
  readonly layer: LayerName;
  readonly mode: LockMode;
}

/** A client's key with the hash of the parsed body it came with. */
export interface IdempotencyKey {
  /** `POST /v1/transactions`: keys are scoped to it. */
  readonly route: string;
  readonly key: string;
  readonly requestHash: string;
}

export interface BeginRequest {
  readonly message: string | null;
  readonly author: Identity | null;
  readonly isolation: Isolation;
  readonly locks: readonly LockRequest[];
  readonly lockTimeoutMs: number;
  readonly leaseMs: number;
  readonly prepareTimeoutMs: number;
  readonly tenantId: string | null;
  /** What participants are told that the transaction is for. */
  readonly operationType: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly operations: readonly Operation[];
  /** One-shot: stage, commit, and leave nothing open on failure. */
  readonly commit: boolean;
  readonly idempotency: IdempotencyKey | null;
}

/** Who undoes, and in which words; the rest is as a begin's. */
export interface UndoRequest {
  readonly message: string | null;
  readonly author: Identity | null;
  readonly lockTimeoutMs: number;
  readonly idempotency: IdempotencyKey | null;
}

export interface DiffEntry {
  readonly repository: string;
  readonly layer: string;
  readonly path: string;
  readonly status: "added" | "modified" | "deleted";
  readonly old_oid: string | null;
  readonly new_oid: string | null;
}

export interface Finding {
  readonly code: string;
  readonly detail: string;
  readonly repository: string;
  readonly ref: string | null;
}

export type Health = "healthy" | "suspicious" | "corrupted" | "unknown";

export interface LocksDocument {
  readonly locks: readonly {
    readonly repository: string;
    readonly layer: string;
    readonly holders: readonly LockDocument[];
    readonly waiters: readonly LockDocument[];
  }[];
  readonly waits_for: readonly { readonly from: string; readonly to: string }[];
}

export interface LockDocument {
  readonly transaction_id: string;
  readonly mode: LockMode;
  readonly since: string;
}

/**
 * Every call on a transaction renews its lease when it is accepted. Calls on one
 * transaction are served in order. All reject with LayerdError.
 */
export interface TransactionManager {
  /**
   * Answers once all locks are granted. With `commit` the answer is committed, or
   * `committing` when publication lags. `signal`: the client went away while waiting.
   */
  begin(request: BeginRequest, signal?: AbortSignal): Promise<TransactionDocument>;
  stage(
    id: TransactionId,
    operations: readonly Operation[],
    signal?: AbortSignal,
  ): Promise<TransactionDocument>;
  /** Spools an upload to disk; the blob can then be put by its id. */
  addBlob(
    id: TransactionId,
    body: ReadableStream<Uint8Array>,
  ): Promise<{ readonly oid: ObjectId; readonly size: number }>;
  prepare(id: TransactionId): Promise<TransactionDocument>;
  /** State `committing` in the answer means: decided, publication lags (202). */
  commit(id: TransactionId): Promise<TransactionDocument>;
  rollback(id: TransactionId): Promise<TransactionDocument>;
  /**
   * A new committed transaction that restores what a committed one changed; `write_conflict`
   * where any of it has changed since, and then nothing is undone.
   */
  undo(
    id: TransactionId,
    request: UndoRequest,
    signal?: AbortSignal,
  ): Promise<TransactionDocument>;
  heartbeat(id: TransactionId, leaseMs: number | null): Promise<TransactionDocument>;
  savepoint(id: TransactionId, name: SavepointName): Promise<TransactionDocument>;
  rollbackTo(id: TransactionId, name: SavepointName): Promise<TransactionDocument>;
  get(id: TransactionId): TransactionDocument;
  /** Resolves when the state is reached or any terminal one; else `timeout`. */
  waitFor(
    id: TransactionId,
    state: TransactionState | "terminal",
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<TransactionDocument>;
  /** Newest first, live and finished ones merged; ids below `before` only. */
  list(filter: LedgerFilter, limit: number, before: TransactionId | null): TransactionDocument[];
  diff(id: TransactionId): Promise<DiffEntry[]>;
  health(id: TransactionId): Promise<{ readonly health: Health; readonly findings: Finding[] }>;
  locks(repository: RepositoryName | null): LocksDocument;
  counts(): { readonly active: number; readonly in_doubt: number; readonly failed: number };
  /** New begins get `draining`; resolves when nothing is open or `timeoutMs` passed (then rolls back). */
  drain(timeoutMs: number): Promise<void>;
}

export interface LayerDocument {
  readonly name: string;
  readonly ref: string;
  readonly commit: string;
  /** Committer time of the tip, RFC 3339; null where the tip cannot be read. */
  readonly updated_at: string | null;
}

/** Where a read looks: git's state now, a commit, or inside a transaction. */
export interface ReadPoint {
  readonly repository: RepositoryName;
  readonly layer: LayerName;
  readonly transaction: TransactionId | null;
  readonly at: ObjectId | null;
}

export interface FileDocument {
  readonly path: string;
  readonly mode: string;
  readonly oid: string;
  readonly size: number;
}

/** Reads of layers. Without a transaction no lock is taken and nothing waits. */
export interface LayerReader {
  /** Layers in name order, names above `after` only. */
  layers(
    repository: RepositoryName,
    prefix: string,
    limit: number,
    after: string | null,
  ): Promise<{ readonly layers: LayerDocument[]; readonly more: boolean }>;
  tree(point: ReadPoint): Promise<{
    readonly layer: string;
    readonly commit: string | null;
    readonly files: FileDocument[];
  }>;
  file(
    point: ReadPoint,
    path: FilePath,
  ): Promise<FileDocument & { readonly bytes: Uint8Array }>;
  log(repository: RepositoryName, layer: LayerName, limit: number): Promise<
    readonly {
      readonly oid: string;
      readonly parents: readonly string[];
      readonly message: string;
      readonly author: Identity;
      readonly committed_at: string;
      readonly transaction_id: string | null;
    }[]
  >;
}
