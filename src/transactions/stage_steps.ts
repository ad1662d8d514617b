/**
 * Work inside an open transaction: lists of operations, uploads, savepoints, reads. Each
 * runs in the transaction's turn.
 *
 * S1. A list is staged whole or not at all; locks that a refused list took stay.
 * S2. A refused list leaves the transaction active, but for a deadlock's victim.
 */
import { LayerdError } from "../core/errors.ts";
import type { ObjectId, RefName } from "../core/ids.ts";
import { OPERATIONS_PER_TRANSACTION_MAX } from "../core/limits.ts";
import type { Operation } from "../core/operations.ts";
import type { Repository } from "../git/repository.ts";
import type { ParticipantRegistry } from "../participants/registry.ts";
import type { Clock } from "../system/clock.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { RepositoryCatalog } from "./catalog.ts";
import { type CommitSteps, problemOf } from "./commit_steps.ts";
import type { LayerAccess } from "./layer_access.ts";
import { LayerChange } from "./layer_change.ts";
import { bytesOf } from "./file_bytes.ts";
import type { OpenTransaction } from "./open_transaction.ts";
import { repositoryError } from "./repository_errors.ts";
import { applyOperation } from "./staging.ts";
import type { StagingContext } from "./staging_checks.ts";

/** A long list lets other clients in after this long. */
const WORK_MS_MAX = 10;

export interface StageStepsParts {
  readonly clock: Clock;
  readonly catalog: Pick<RepositoryCatalog, "get" | "requireWritable">;
  readonly access: LayerAccess;
  readonly participants: () => ParticipantRegistry;
  readonly fileSystem: FileSystem;
  readonly steps: CommitSteps;
}

export class StageSteps {
  readonly #parts: StageStepsParts;

  constructor(parts: StageStepsParts) {
    this.#parts = parts;
  }

  /** Stages a list whole or not at all. */
  async stage(
    transaction: OpenTransaction,
    operations: readonly Operation[],
    signal: AbortSignal | null,
  ): Promise<void> {
    const { clock } = this.#parts;
    refuseTooMany(transaction.changes.operations + operations.length);
    let since = clock.monotonic();
    await this.whole(transaction, signal, async (context) => {
      for (const [index, operation] of operations.entries()) {
        await placing(index, () => applyOperation(context, operation));
        if (clock.monotonic() - since < WORK_MS_MAX) continue;
        await clock.sleep(0);
        since = clock.monotonic();
      }
      return operations.length;
    });
  }

  /** Runs work that stages and answers how much; takes all of it back where it fails. */
  async whole(
    transaction: OpenTransaction,
    signal: AbortSignal | null,
    work: (context: StagingContext) => Promise<number>,
  ): Promise<void> {
    const { changes } = transaction;
    const mark = changes.mark();
    try {
      changes.keep(await work(this.#context(transaction, signal)));
    } catch (error) {
      changes.undoTo(mark);
      throw this.#refusal(transaction, error);
    }
  }

  /** Opens the view of a layer as the transaction sees it, locked for reading. */
  async view(
    transaction: OpenTransaction,
    repository: Repository,
    ref: RefName,
  ): Promise<LayerChange> {
    try {
      const base = await this.#parts.access.touch(transaction, repository, ref, "shared", null);
      return transaction.changes.find(repository, ref) ??
        new LayerChange(repository.name, ref, base, repository.trees);
    } catch (error) {
      throw this.#refusal(transaction, error);
    }
  }

  #context(transaction: OpenTransaction, signal: AbortSignal | null): StagingContext {
    const { access, catalog } = this.#parts;
    const valuesAbove = remembered((repository: Repository) =>
      remembered((ref: RefName) => repository.refs.read(ref))
    );
    const headers = remembered((repository: Repository) =>
      remembered((oid: ObjectId) => repository.objects.header(oid))
    );
    return {
      changes: transaction.changes,
      repository: (name) => catalog.get(name),
      participant: (name) => this.#parts.participants().get(name),
      requireWritable: (repository) => catalog.requireWritable(repository),
      touch: (repository, ref, mode) => access.touch(transaction, repository, ref, mode, signal),
      checkedOut: remembered((repository) => repository.refs.checkedOut()),
      header: (repository, oid) => headers(repository)(oid),
      valueAbove: (repository, ref) => valuesAbove(repository)(ref),
      layers: (repository) => transaction.snapshots?.get(repository.id) ?? null,
      fileSystem: this.#parts.fileSystem,
      bytes: (repository, file) => bytesOf(this.#parts.fileSystem, repository, file),
      upload: (oid: ObjectId) => transaction.upload(oid),
    };
  }

  /** A deadlock's victim ends at once, so that the others can go on. */
  #refusal(transaction: OpenTransaction, error: unknown): LayerdError {
    const problem = repositoryError(error, namesOf(transaction));
    if (problem.code !== "deadlock") return problem;
    const document = this.#parts.steps.rollBack(transaction, problemOf(problem));
    return problem.with({ transaction: document });
  }
}

/** A refusal names the field as the decoder does: `operations[3].from`. */
async function placing(index: number, apply: () => Promise<void>): Promise<void> {
  try {
    await apply();
  } catch (error) {
    if (!(error instanceof LayerdError) || error.details.field === undefined) throw error;
    throw error.with({ field: `operations[${index}].${error.details.field}` });
  }
}

function refuseTooMany(operations: number): void {
  if (operations <= OPERATIONS_PER_TRANSACTION_MAX) return;
  throw new LayerdError(
    "invalid_request",
    `A transaction stages at most ${OPERATIONS_PER_TRANSACTION_MAX} operations`,
    { field: "operations", limit: OPERATIONS_PER_TRANSACTION_MAX },
  );
}

function namesOf(transaction: OpenTransaction): string {
  return [...transaction.changes.repositories].map(({ repository }) => repository.name).join(", ");
}

/** Asks once for each key. */
function remembered<Key, Value>(ask: (key: Key) => Value): (key: Key) => Value {
  const answers = new Map<Key, { readonly value: Value }>();
  return (key) => {
    const known = answers.get(key) ?? { value: ask(key) };
    answers.set(key, known);
    return known.value;
  };
}
