/**
 * Schemas of answers, for the OpenAPI document. Answers are not run through them: they are
 * made by typed code, and the equalities below fail to compile where the two drift apart.
 */
import { z } from "zod";
import { TRANSACTION_STATES, type TransactionDocument } from "../core/transaction_document.ts";
import { refConflict } from "./problem.ts";
import type { Same } from "./same.ts";

const time = z.string().meta({ format: "date-time", description: "RFC 3339, milliseconds" });
const oid = z.string().meta({ pattern: "^[0-9a-f]{40}$" });
const identity = z.object({ name: z.string(), email: z.string() });
const lockMode = z.enum(["shared", "exclusive"]);
const healthLevel = z.enum(["healthy", "suspicious", "corrupted", "unknown"]);

const participant = z.object({
  name: z.string(),
  kind: z.enum(["git", "postgres", "http"]),
  vote: z.enum(["prepared", "read_only", "abort"]).nullable(),
  outcome: z.enum(["committed", "rolled_back", "in_doubt", "failed"]).nullable(),
});

const problemSummary = z.object({
  code: z.string(),
  detail: z.string(),
  conflicts: z.exactOptional(z.array(refConflict)),
  participants: z.exactOptional(z.array(z.object({ name: z.string(), reason: z.string() }))),
});

/** T of the wire contract. */
export const transaction = z.object({
  id: z.string(),
  state: z.enum(TRANSACTION_STATES),
  isolation: z.enum(["locking", "optimistic"]),
  message: z.string(),
  author: identity.nullable(),
  tenant_id: z.string().nullable(),
  labels: z.record(z.string(), z.string()),
  created_at: time,
  updated_at: time,
  lease_expires_at: time.nullable(),
  fencing_token: z.int(),
  operations: z.int().meta({ description: "How many operations are staged" }),
  savepoints: z.array(z.string()),
  locks: z.array(z.object({ repository: z.string(), layer: z.string(), mode: lockMode })),
  snapshot: z.array(z.object({
    repository: z.string(),
    layer: z.string(),
    commit: oid.nullable(),
  })),
  results: z.array(z.object({
    repository: z.string(),
    layer: z.string(),
    ref: z.string(),
    old: oid.nullable(),
    new: oid.nullable(),
  })),
  participants: z.array(participant),
  problem: problemSummary.nullable(),
}).meta({ id: "Transaction" });

true satisfies Same<z.output<typeof transaction>, TransactionDocument>;

export const transactionAnswer = z.object({ transaction });
export const transactionsAnswer = z.object({
  transactions: z.array(transaction),
  next_cursor: z.string().nullable(),
});

export const repository = z.object({
  name: z.string(),
  path: z.string(),
  git_dir: z.string(),
  common_dir: z.string(),
  head: z.string().nullable(),
  layers: z.int(),
  status: healthLevel,
}).meta({ id: "Repository" });

export const repositoryAnswer = z.object({ repository });
export const repositoriesAnswer = z.object({ repositories: z.array(repository) });

export const layersAnswer = z.object({
  layers: z.array(z.object({
    name: z.string(),
    ref: z.string(),
    commit: oid,
    updated_at: time.nullable(),
  })),
  next_cursor: z.string().nullable(),
});

const fileEntry = z.object({ path: z.string(), mode: z.string(), oid, size: z.int() });

export const treeAnswer = z.object({
  layer: z.string(),
  commit: oid.nullable(),
  files: z.array(fileEntry),
});

export const fileAnswer = fileEntry.extend({
  content: z.exactOptional(z.string().meta({ description: "Where the bytes are valid UTF-8" })),
  content_base64: z.exactOptional(z.string().meta({ contentEncoding: "base64" })),
});

export type FileAnswer = z.output<typeof fileAnswer>;

export const logAnswer = z.object({
  commits: z.array(z.object({
    oid,
    parents: z.array(oid),
    message: z.string(),
    author: identity,
    committed_at: time,
    transaction_id: z.string().nullable(),
  })),
});

const lockDocument = z.object({ transaction_id: z.string(), mode: lockMode, since: time });

export const locksAnswer = z.object({
  locks: z.array(z.object({
    repository: z.string(),
    layer: z.string(),
    holders: z.array(lockDocument),
    waiters: z.array(lockDocument),
  })),
  waits_for: z.array(z.object({ from: z.string(), to: z.string() })),
});

export const blobAnswer = z.object({ oid, size: z.int() });

export const diffAnswer = z.object({
  changes: z.array(z.object({
    repository: z.string(),
    layer: z.string(),
    path: z.string(),
    status: z.enum(["added", "modified", "deleted"]),
    old_oid: oid.nullable(),
    new_oid: oid.nullable(),
  })),
});

const finding = z.object({
  code: z.string(),
  detail: z.string(),
  repository: z.string(),
  ref: z.string().nullable(),
});

export const transactionHealthAnswer = z.object({
  health: healthLevel,
  findings: z.array(finding),
});

/** `GET /v1/health` */
export const healthAnswer = z.object({
  status: z.enum(["ok", "degraded", "failing"]),
  version: z.string(),
  api_version: z.literal(1),
  pid: z.int(),
  uptime_ms: z.int(),
  transactions: z.object({ active: z.int(), in_doubt: z.int(), failed: z.int() }),
  wal: z.object({
    bytes: z.int(),
    segments: z.int(),
    last_lsn: z.int(),
    checkpoint_lsn: z.int(),
  }),
  repositories: z.array(z.object({
    name: z.string(),
    status: healthLevel,
    findings: z.array(finding),
  })),
}).meta({ id: "Health" });

export type HealthDocument = z.output<typeof healthAnswer>;

/** `GET /v1/wal` */
export const walAnswer = z.object({
  bytes: z.int(),
  segments: z.int(),
  last_lsn: z.int(),
  durable_lsn: z.int(),
  checkpoint_lsn: z.int(),
  bytes_since_checkpoint: z.int(),
}).meta({ id: "Wal" });

export type WalDocument = z.output<typeof walAnswer>;

export const versionAnswer = z.object({ version: z.string(), api_version: z.literal(1) });
export const statusAnswer = z.object({ status: z.literal("ok") });
export const shutdownAnswer = z.object({ status: z.literal("draining") });
