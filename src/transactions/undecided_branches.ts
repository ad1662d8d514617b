/**
 * Branches that were asked and are not decided: of transactions that wait for votes, and of
 * promises.
 */
import type { Branch } from "../core/branch.ts";
import type { ParticipantName, TransactionId } from "../core/ids.ts";
import type { LogRecord } from "../core/log_record.ts";
import type { PreparedEntry } from "./prepared_transactions.ts";

export class UndecidedBranches {
  readonly #branches = new Map<string, Branch>();

  add(branches: readonly Branch[]): void {
    for (const branch of branches) this.#branches.set(branch.key, branch);
  }

  /** Whether it stood here. */
  remove({ key }: Branch): boolean {
    return this.#branches.delete(key);
  }

  has(key: string): boolean {
    return this.#branches.has(key);
  }

  hasOf(participant: ParticipantName): boolean {
    return [...this.#branches.values()].some((branch) => branch.participant === participant);
  }

  of(id: TransactionId): Branch[] {
    return [...this.#branches.values()].filter(({ context }) => context.transactionId === id);
  }

  /**
   * What a checkpoint must go on saying. Not of the promises given: their `prepared` record
   * says it, and an `asked` after it would presume their abort.
   */
  records(promises: readonly PreparedEntry[], at: string): LogRecord[] {
    const promised = new Set(
      promises.flatMap(({ record }) => record.branches ?? []).map(({ key }) => key),
    );
    const waiting = [...this.#branches.values()].filter(({ key }) => !promised.has(key));
    return waiting.map((branch) => ({
      kind: "asked",
      decision: "rolled_back",
      at,
      branches: [branch],
    }));
  }
}
