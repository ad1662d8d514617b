/**
 * What happened to names since they were last durable: a list of operations, each of which
 * is on the disk as a whole or not at all (a rename changes two names).
 *
 * J1. An operation that is kept keeps every earlier one that changed one of its names: a
 *     disk never shows the rename of a file that was not created.
 * J2. `adversarial`: a directory's sync keeps the operations on that directory and nothing
 *     else; a crash keeps any set of the rest. `journaled` (ext4): any sync keeps all that
 *     came before, a crash keeps a prefix.
 */
import type { SeededRandom } from "../harness/random.ts";

export type DiskKind = "journaled" | "adversarial";

/** A name in a directory comes to mean an inode, or nothing. */
export interface NameChange {
  readonly directory: number;
  readonly name: string;
  readonly inode: number | null;
}

export interface NameOperation {
  readonly sequence: number;
  readonly changes: readonly NameChange[];
}

export class NameJournal {
  readonly kind: DiskKind;
  #operations: readonly NameOperation[];
  #sequence: number;

  constructor(kind: DiskKind, from?: NameJournal) {
    this.kind = kind;
    this.#operations = from === undefined ? [] : from.#operations;
    this.#sequence = from === undefined ? 0 : from.#sequence;
  }

  get isEmpty(): boolean {
    return this.#operations.length === 0;
  }

  add(changes: readonly NameChange[]): void {
    this.#sequence += 1;
    this.#operations = [...this.#operations, { sequence: this.#sequence, changes }];
  }

  /** The operations that a sync of a directory (null: of a file) makes durable. */
  coveredBy(directory: number | null): ReadonlySet<number> {
    if (this.kind === "journaled") return new Set(this.#operations.map((one) => one.sequence));
    return this.#closure((operation) =>
      operation.changes.some((change) => change.directory === directory)
    );
  }

  all(): ReadonlySet<number> {
    return new Set(this.#operations.map((one) => one.sequence));
  }

  /** Takes these operations out; answers their changes in order. */
  take(sequences: ReadonlySet<number>): NameChange[] {
    const taken = this.#operations.filter((one) => sequences.has(one.sequence));
    this.#operations = this.#operations.filter((one) => !sequences.has(one.sequence));
    return taken.flatMap((one) => one.changes);
  }

  /** The changes that a power loss keeps. */
  surviving(random: SeededRandom, survives: number): NameChange[] {
    if (this.kind === "adversarial") {
      return this.take(this.#closure(() => random.chance(survives)));
    }
    const count = this.#operations.length;
    const kept = survives === 0 ? 0 : survives === 1 ? count : random.integer(0, count);
    return this.#operations.slice(0, kept).flatMap((one) => one.changes);
  }

  /** J1. */
  #closure(wanted: (operation: NameOperation) => boolean): Set<number> {
    const kept = new Set<number>();
    const names = new Set<string>();
    for (const operation of this.#operations.toReversed()) {
      const keys = operation.changes.map(({ directory, name }) => `${directory} ${name}`);
      if (!wanted(operation) && !keys.some((key) => names.has(key))) continue;
      kept.add(operation.sequence);
      for (const key of keys) names.add(key);
    }
    return kept;
  }
}
