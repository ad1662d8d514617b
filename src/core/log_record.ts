/**
 * Records of the write-ahead log, as values. Their bytes are {@link encodeRecord}'s
 * business (log_record_codec.ts); what recovery makes of them is recovery_plan.ts's.
 *
 * What a record means, and which force is a barrier:
 *
 * | record             | forced before                        | says                                   |
 * |--------------------|--------------------------------------|----------------------------------------|
 * | incarnation        | the daemon serves                    | a daemon started                       |
 * | fencing_range      | a token of the range is handed out   | tokens up to here may be in use        |
 * | repository_added   | the answer                           | a repository is served under a name    |
 * | repository_removed | the answer                           | it no longer is                        |
 * | commit             | the first rename (the commit point)  | the transaction is committed           |
 * | prepared           | the vote                             | it can only end by commit or rollback  |
 * | rolled_back        | the answer, for a prepared one only  | it ended without effect                |
 * | asked              | participants are asked to prepare    | these branches may be prepared         |
 * | branch_failed      | it is told no more                   | a branch ended otherwise than decided  |
 * | ended              | never: without it they are told again| these branches acknowledged            |
 * | applied            | locks go, anybody is told            | its refs in this repository are durable|
 * | failed             | the answer                           | a ref contradicts the decision         |
 * | resolved           | the answer                           | an operator closed it                  |
 * | checkpoint         | segments are deleted                 | what is before `redoLsn` is elsewhere  |
 */
import type { Branch, Decision } from "./branch.ts";
import type { Lsn, ObjectId, RepositoryId, RepositoryName, TransactionId } from "./ids.ts";
import type { RefConflict } from "./errors.ts";
import type { RefCheck, RefEdit } from "./ref_edit.ts";
import type { TransactionDocument } from "./transaction_document.ts";

export const OBJECT_TYPES = ["blob", "tree", "commit", "tag"] as const;
export type ObjectType = typeof OBJECT_TYPES[number];

/** An object as it stands in a pack: the zlib stream of its body, so that redo only copies it. */
export interface PackedObject {
  readonly oid: ObjectId;
  readonly type: ObjectType;
  /** Bytes of the body, before compression. */
  readonly size: number;
  readonly bytes: Uint8Array;
}

/** What a transaction wrote into one repository's object store. */
export type WrittenObjects =
  /** Their bytes; they stand in a kept pack (git/kept_packs.ts) until a checkpoint. */
  | { readonly kind: "recorded"; readonly objects: readonly PackedObject[] }
  /** A pack of its own, durable already, hard-linked under `layerd/pending/<name>.{pack,idx}`. */
  | { readonly kind: "pack"; readonly name: string };

/** A transaction's part in one repository. */
export interface RepositoryPart {
  readonly repositoryId: RepositoryId;
  readonly repository: RepositoryName;
  readonly edits: readonly RefEdit[];
  readonly checks: readonly RefCheck[];
  readonly objects: WrittenObjects;
}

/** A client's key for one finished request. `route` scopes it; `requestHash` is of the parsed body. */
export interface IdempotencyEntry {
  readonly route: string;
  readonly key: string;
  readonly requestHash: string;
  readonly transactionId: TransactionId;
  /** RFC 3339, milliseconds. */
  readonly createdAt: string;
}

/** Objects that a promise relies on and did not write, in one repository. */
export interface ReliedObjects {
  readonly repositoryId: RepositoryId;
  readonly objects: readonly ObjectId[];
}

export type LogRecord =
  | {
    readonly kind: "incarnation";
    readonly incarnation: number;
    readonly startedAt: string;
    readonly version: string;
  }
  | { readonly kind: "fencing_range"; readonly upTo: number }
  | {
    readonly kind: "repository_added";
    readonly repositoryId: RepositoryId;
    readonly repository: RepositoryName;
    readonly path: string;
  }
  | { readonly kind: "repository_removed"; readonly repositoryId: RepositoryId }
  | {
    readonly kind: "commit";
    /** As it is once every part is applied: state `committed`, results filled in. */
    readonly transaction: TransactionDocument;
    readonly parts: readonly RepositoryPart[];
    readonly idempotency: IdempotencyEntry | null;
    /** Who else has to be told; absent where all of it is in Git. */
    readonly branches?: readonly Branch[];
  }
  | {
    readonly kind: "prepared";
    readonly transaction: TransactionDocument;
    readonly parts: readonly RepositoryPart[];
    readonly idempotency: IdempotencyEntry | null;
    /** Kept by refs of ours while the promise stands, and looked for again at its commit. */
    readonly reliesOn: readonly ReliedObjects[];
    readonly branches?: readonly Branch[];
  }
  | { readonly kind: "rolled_back"; readonly transaction: TransactionDocument }
  | {
    readonly kind: "asked";
    /** Presumed abort: rolled back. Committed in what a checkpoint appends again. */
    readonly decision: Decision;
    /** RFC 3339. */
    readonly at: string;
    readonly branches: readonly Branch[];
  }
  | { readonly kind: "branch_failed"; readonly key: string; readonly reason: string }
  | { readonly kind: "ended"; readonly keys: readonly string[] }
  | {
    readonly kind: "applied";
    readonly transactionId: TransactionId;
    readonly repositoryId: RepositoryId;
  }
  | {
    readonly kind: "failed";
    readonly transactionId: TransactionId;
    readonly repositoryId: RepositoryId;
    readonly reason: string;
    readonly conflicts: readonly RefConflict[];
  }
  | {
    readonly kind: "resolved";
    readonly transactionId: TransactionId;
    readonly participant: string;
    readonly outcome: "committed" | "rolled_back";
    readonly reason: string;
  }
  | {
    readonly kind: "checkpoint";
    /** Records below this LSN are needed no more; the open ones were appended again above it. */
    readonly redoLsn: Lsn;
  };

/** A record with its place in the log. */
export interface LoggedRecord {
  readonly lsn: Lsn;
  readonly record: LogRecord;
}
