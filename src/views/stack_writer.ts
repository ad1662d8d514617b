/** Changes of stacks: each is one committed transaction on {@link STACKS_REF}. */
import {
  LEASE_MS_DEFAULT,
  LOCK_TIMEOUT_MS_DEFAULT,
  PREPARE_TIMEOUT_MS_DEFAULT,
} from "../core/limits.ts";
import type { RepositoryName } from "../core/ids.ts";
import { objectId } from "../git/object_codec.ts";
import type { LayerChange } from "../transactions/layer_change.ts";
import type { LocalTransactionManager } from "../transactions/local_manager.ts";
import type { BeginRequest } from "../transactions/manager.ts";
import type { StagingContext } from "../transactions/staging_checks.ts";
import { encodeStack, type Stack, stackNotFound, stackPath, STACKS_REF } from "./stack.ts";

export class StackWriter {
  readonly #transactions: Pick<LocalTransactionManager, "commitStaged">;

  constructor(transactions: Pick<LocalTransactionManager, "commitStaged">) {
    this.#transactions = transactions;
  }

  /** Makes the stack, or makes it anew. */
  async put(repository: RepositoryName, stack: Stack): Promise<void> {
    const bytes = encodeStack(stack);
    await this.#change(repository, `Put stack ${stack.name}`, async (change) => [
      ...(change.exists ? [] : [change.reset({ kind: "unborn" })]),
      await change.place(stackPath(stack.name), {
        mode: "100644",
        oid: objectId("blob", bytes),
        content: { kind: "bytes", bytes },
      }),
    ]);
  }

  /** Throws `stack_not_found`. */
  async remove(repository: RepositoryName, name: string): Promise<void> {
    await this.#change(repository, `Remove stack ${name}`, async (change) => {
      const path = stackPath(name);
      if (await change.file(path) === null) throw stackNotFound(repository, name);
      return [await change.remove(path)];
    });
  }

  async #change(
    name: RepositoryName,
    message: string,
    work: (change: LayerChange) => Promise<ReturnType<LayerChange["reset"]>[]>,
  ): Promise<void> {
    await this.#transactions.commitStaged(requestOf(message), async (context: StagingContext) => {
      const repository = context.repository(name);
      context.requireWritable(repository);
      const base = await context.touch(repository, STACKS_REF, "exclusive");
      const change = context.changes.change(repository, STACKS_REF, base);
      const undos = await work(change);
      for (const undo of undos) context.changes.note(undo);
      return undos.length;
    });
  }
}

function requestOf(message: string): BeginRequest {
  return {
    message,
    author: null,
    isolation: "locking",
    locks: [],
    lockTimeoutMs: LOCK_TIMEOUT_MS_DEFAULT,
    leaseMs: LEASE_MS_DEFAULT,
    prepareTimeoutMs: PREPARE_TIMEOUT_MS_DEFAULT,
    operationType: null,
    tenantId: null,
    labels: {},
    operations: [],
    commit: true,
    idempotency: null,
  };
}
