/**
 * Transactions as the histories of layers tell them: each commit of ours names its
 * transaction in a trailer. Deletions and refs other than layers leave no such commit.
 *
 * H1. A trailer can be written by anybody, so that a row read back here is made durable before
 *     it is recorded (DurableCommits takes a row for a commit that is).
 */
import { LayerdError } from "../core/errors.ts";
import type { LedgerEntry } from "../ledger/ledger.ts";
import { LAYER_REF_PREFIX, parseTransactionId, toLsn } from "../core/ids.ts";
import type { ObjectId, RepositoryName } from "../core/ids.ts";
import type { RefResult, TransactionDocument } from "../core/transaction_document.ts";
import { readCommit } from "../git/history.ts";
import type { HistoryEntry, ObjectStore, RefReader } from "../git/repository.ts";
import { transactionOf } from "../transactions/commit_message.ts";

/** A repository as far as reading its histories goes. */
export interface ReadableRepository {
  readonly name: RepositoryName;
  readonly refs: RefReader;
  readonly objects: ObjectStore;
}

/** Of each layer at most so many commits are read. */
const COMMITS_PER_LAYER_MAX = 100_000;

/** Rows of all transactions whose commits stand in the layers; an unreadable layer ends early. */
export async function rowsFromHistories(
  repositories: readonly ReadableRepository[],
): Promise<LedgerEntry[]> {
  const told = new Map<string, { readonly entry: HistoryEntry; readonly results: RefResult[] }>();
  for (const repository of repositories) {
    await repository.objects.syncAll();
    for (const { id, entry, layers } of await commitsOf(repository)) {
      const known = told.get(id) ?? { entry, results: [] };
      told.set(id, known);
      const [layer] = layers;
      // A layer that was made from another one shares its history: which of them the commit
      // was made on cannot be told.
      if (layer === undefined || layers.length > 1) continue;
      const old = entry.fields.parents[0] ?? null;
      const ref = LAYER_REF_PREFIX + layer;
      known.results.push({ repository: repository.name, layer, ref, old, new: entry.oid });
    }
  }
  return [...told].map(([id, { entry, results }]) => ({
    lsn: toLsn(0),
    transaction: documentOf(id, entry, results),
    idempotency: null,
  }));
}

interface LayerCommit {
  readonly id: string;
  readonly entry: HistoryEntry;
  /** Layers whose first-parent history holds it. */
  readonly layers: string[];
}

/** The commits with a trailer. A merge brings in other layers' commits: not followed. */
async function commitsOf({ refs, objects }: ReadableRepository): Promise<LayerCommit[]> {
  const commits = new Map<ObjectId, LayerCommit>();
  for (const [ref, tip] of refs.snapshot(LAYER_REF_PREFIX).entries(LAYER_REF_PREFIX)) {
    const layer = ref.slice(LAYER_REF_PREFIX.length);
    let next: ObjectId | null = tip;
    for (let count = 0; next !== null && count < COMMITS_PER_LAYER_MAX; count += 1) {
      const entry: HistoryEntry | null = await readIfSound(objects, next);
      if (entry === null) break;
      const id = transactionOf(entry.fields.message);
      const known = commits.get(next);
      if (known !== undefined) known.layers.push(layer);
      else if (id !== null) commits.set(next, { id, entry, layers: [layer] });
      next = entry.fields.parents[0] ?? null;
    }
  }
  return [...commits.values()];
}

/** Null where the commit is missing or damaged, which object_doctor.ts reports. */
async function readIfSound(objects: ObjectStore, oid: ObjectId): Promise<HistoryEntry | null> {
  try {
    return await readCommit(objects, oid);
  } catch (error) {
    if (error instanceof LayerdError && error.code === "git_error") return null;
    throw error;
  }
}

function documentOf(
  id: string,
  { fields }: HistoryEntry,
  results: readonly RefResult[],
): TransactionDocument {
  const at = new Date(fields.committer.atSeconds * 1_000).toISOString();
  return {
    id: parseTransactionId(id),
    state: "committed",
    isolation: "locking",
    message: messageWithoutTrailer(fields.message),
    author: { name: fields.author.name, email: fields.author.email },
    tenant_id: null,
    labels: { rebuilt_from: "history" },
    created_at: at,
    updated_at: at,
    lease_expires_at: null,
    fencing_token: 0,
    operations: 0,
    savepoints: [],
    locks: [],
    snapshot: results.map(({ repository, layer, old }) => ({ repository, layer, commit: old })),
    results,
    participants: [],
    problem: null,
  };
}

function messageWithoutTrailer(message: string): string {
  return message.replace(/\n*Layerd-Transaction:[ \t]*\S+[ \t]*\n*$/, "");
}
