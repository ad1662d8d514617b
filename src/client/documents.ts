/** Answers of the wire contract, sections 3 and 4. Fields that a later daemon adds are ignored. */
import type { Json } from "../core/structured_value.ts";
import type { TransactionDocument, TransactionState } from "../core/transaction_document.ts";

export type { TransactionDocument, TransactionState };

export interface RepositoryDocument {
  readonly name: string;
  readonly path: string;
  readonly git_dir: string;
  readonly common_dir: string;
  readonly head: string | null;
  readonly layers: number;
  readonly status: "healthy" | "suspicious" | "corrupted" | "unknown";
}

export interface LayerDocument {
  readonly name: string;
  readonly ref: string;
  readonly commit: string;
  readonly updated_at: string | null;
}

export interface FileEntry {
  readonly path: string;
  readonly mode: string;
  readonly oid: string;
  readonly size: number;
}

export interface TreeDocument {
  readonly layer: string;
  readonly commit: string | null;
  readonly files: readonly FileEntry[];
}

/** Either `content` (valid UTF-8) or `content_base64`. */
export interface FileDocument extends FileEntry {
  readonly content?: string;
  readonly content_base64?: string;
}

export interface CommitDocument {
  readonly oid: string;
  readonly parents: readonly string[];
  readonly message: string;
  readonly author: { readonly name: string; readonly email: string };
  readonly committed_at: string;
  readonly transaction_id: string | null;
}

export interface LockDocument {
  readonly transaction_id: string;
  readonly mode: "shared" | "exclusive";
  readonly since: string;
}

export interface LocksDocument {
  readonly locks: readonly {
    readonly repository: string;
    readonly layer: string;
    readonly holders: readonly LockDocument[];
    readonly waiters: readonly LockDocument[];
  }[];
  readonly waits_for: readonly { readonly from: string; readonly to: string }[];
}

export interface ChangeDocument {
  readonly repository: string;
  readonly layer: string;
  readonly path: string;
  readonly status: "added" | "modified" | "deleted";
  readonly old_oid: string | null;
  readonly new_oid: string | null;
}

export interface FindingDocument {
  readonly code: string;
  readonly detail: string;
  readonly repository: string;
  readonly ref: string | null;
}

export interface HealthDocument {
  readonly status: "ok" | "degraded" | "failing";
  readonly version: string;
  readonly api_version: 1;
  readonly pid: number;
  readonly uptime_ms: number;
  readonly transactions: {
    readonly active: number;
    readonly in_doubt: number;
    readonly failed: number;
  };
  readonly wal: {
    readonly bytes: number;
    readonly segments: number;
    readonly last_lsn: number;
    readonly checkpoint_lsn: number;
  };
  readonly repositories: readonly {
    readonly name: string;
    readonly status: RepositoryDocument["status"];
    readonly findings: readonly FindingDocument[];
  }[];
}

export interface EventDocument {
  readonly id: string;
  readonly type: string;
  readonly at: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** What `begin` and one-shot commit take. Every field has a default in the daemon. */
export interface BeginBody {
  readonly message?: string;
  readonly author?: { readonly name: string; readonly email: string };
  readonly isolation?: "locking" | "optimistic";
  readonly locks?: readonly {
    readonly repository: string;
    readonly layer: string;
    readonly mode: "shared" | "exclusive";
  }[];
  readonly lock_timeout_ms?: number;
  readonly lease_ms?: number;
  readonly prepare_timeout_ms?: number;
  readonly tenant_id?: string;
  /** What it is for; participants are told. */
  readonly operation_type?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** `auto` takes an estimate, and is refused where two-phase commit does not suit it. */
  readonly pattern?: "two_phase_commit" | "auto";
  readonly consistency?: "strong" | "eventual";
  readonly duration_estimate_ms?: number;
  readonly operations?: readonly OperationBody[];
  readonly commit?: boolean;
}

/** What `undo` takes. */
export interface UndoBody {
  readonly message?: string;
  readonly author?: { readonly name: string; readonly email: string };
  readonly lock_timeout_ms?: number;
}

interface OnLayer {
  readonly repository: string;
  readonly layer: string;
  readonly expect?: { readonly commit: string | null };
}

interface PutFile extends OnLayer {
  readonly op: "put_file";
  readonly path: string;
  readonly mode?: "100644" | "100755" | "120000";
}

/** An operation as it is sent; the daemon checks every name in it. */
export type OperationBody =
  | OnLayer & { readonly op: "create_layer"; readonly from?: string }
  | PutFile & { readonly content: string }
  | PutFile & { readonly content_base64: string }
  | PutFile & { readonly oid: string }
  | OnLayer & { readonly op: "patch_file"; readonly path: string; readonly merge_patch: unknown }
  | OnLayer & { readonly op: "delete_file"; readonly path: string }
  | OnLayer & { readonly op: "move_file"; readonly from: string; readonly to: string }
  | OnLayer & { readonly op: "merge_layer"; readonly from: string }
  | OnLayer & { readonly op: "delete_layer" }
  | {
    readonly op: "update_ref";
    readonly repository: string;
    readonly ref: string;
    readonly new: string | null;
    readonly expect?: string | null;
  }
  | {
    readonly op: "verify";
    readonly repository: string;
    readonly layer: string;
    readonly commit: string | null;
  }
  | {
    readonly op: "verify";
    readonly repository: string;
    readonly ref: string;
    readonly commit: string | null;
  }
  | {
    readonly op: "sql";
    readonly participant: string;
    readonly statements: readonly { readonly text: string; readonly params?: readonly Json[] }[];
  }
  | { readonly op: "http"; readonly participant: string; readonly payload: Json };

/** Where a read looks: inside a transaction, at a commit, or (neither) at git's state now. */
export interface ReadPoint {
  readonly transaction?: string;
  readonly at?: string;
}

export interface Page {
  readonly limit?: number;
  readonly cursor?: string;
}
