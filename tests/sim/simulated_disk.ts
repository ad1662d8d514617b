/**
 * The simulated disk: inodes and names, each as programs see them and as the disk holds
 * them. Snapshots are cheap: an inode is copied when it is changed after one.
 *
 * D1. What programs see is the cached state; what a power loss leaves is the durable one and
 *     any part of what was done since (file_content.ts, name_journal.ts).
 * D2. Inode numbers are handed out lowest first and used again, as ext4 does; an inode's
 *     identity here is its id, which is not.
 * D3. Modes, owners and times are durable at once: nothing of layerd rests on them.
 */
import type { FileKind } from "../../src/system/file_system.ts";
import type { SeededRandom } from "../harness/random.ts";
import { FileContent } from "./file_content.ts";
import { type DiskKind, type NameChange, NameJournal } from "./name_journal.ts";

export const ROOT_ID = 1;

export interface Inode {
  readonly id: number;
  readonly number: number;
  readonly kind: FileKind;
  mode: number;
  uid: number;
  gid: number;
  modifiedMs: number;
  /** Names that programs see. */
  links: number;
  /** Of a file. */
  content: FileContent;
  /** Of a directory: what programs see, and what the disk holds. */
  entries: Map<string, number>;
  durableEntries: Map<string, number>;
  /** Of a symbolic link. */
  readonly target: string;
}

export type PowerLoss = "all_lost" | "all_kept" | "some_lost";

export class SimulatedDisk {
  readonly kind: DiskKind;
  readonly #inodes: Map<number, Inode>;
  readonly #journal: NameJournal;
  /** Inodes that no snapshot shares. */
  #own = new Set<number>();
  #lastId: number;
  #numbers: Set<number>;
  /** Files that are open by a program: they keep their number. */
  readonly #open = new Map<number, number>();
  /** Bytes that the files may take together; null for no limit. */
  capacityBytes: number | null = null;

  constructor(kind: DiskKind, from?: SimulatedDisk) {
    this.kind = kind;
    this.#journal = new NameJournal(kind, from === undefined ? undefined : from.#journal);
    this.#inodes = new Map(from === undefined ? [] : from.#inodes);
    this.#lastId = from === undefined ? 0 : from.#lastId;
    this.#numbers = new Set(from === undefined ? [] : from.#numbers);
    this.capacityBytes = from?.capacityBytes ?? null;
    if (from === undefined) this.create({ kind: "directory", mode: 0o755, nowMs: 0 });
  }

  /** This disk as it is; both go on independently. */
  snapshot(): SimulatedDisk {
    this.#own = new Set();
    return new SimulatedDisk(this.kind, this);
  }

  inode(id: number): Inode {
    const inode = this.#inodes.get(id);
    if (inode === undefined) throw new Error(`BUG: no inode ${id} in the simulated disk`);
    return inode;
  }

  /** The inode, to be changed. */
  own(id: number): Inode {
    const inode = this.inode(id);
    if (this.#own.has(id)) return inode;
    const copy: Inode = {
      ...inode,
      content: new FileContent(inode.content),
      entries: new Map(inode.entries),
      durableEntries: new Map(inode.durableEntries),
    };
    this.#inodes.set(id, copy);
    this.#own.add(id);
    return copy;
  }

  create(
    { kind, mode, nowMs, target }: {
      readonly kind: FileKind;
      readonly mode: number;
      readonly nowMs: number;
      readonly target?: string;
    },
  ): number {
    this.#lastId += 1;
    const id = this.#lastId;
    this.#inodes.set(id, {
      id,
      number: this.#freeNumber(),
      kind,
      mode,
      uid: 0,
      gid: 0,
      modifiedMs: nowMs,
      links: 0,
      content: new FileContent(),
      entries: new Map(),
      durableEntries: new Map(),
      target: target ?? "",
    });
    this.#own.add(id);
    return id;
  }

  #freeNumber(): number {
    let number = 11;
    while (this.#numbers.has(number)) number += 1;
    this.#numbers.add(number);
    return number;
  }

  /** Changes names as one operation. */
  change(changes: readonly NameChange[], nowMs: number): void {
    const affected = new Set<number>();
    for (const { directory, name, inode } of changes) {
      const place = this.own(directory);
      place.modifiedMs = nowMs;
      const before = place.entries.get(name);
      if (before !== undefined) {
        this.own(before).links -= 1;
        affected.add(before);
      }
      if (inode === null) place.entries.delete(name);
      else {
        place.entries.set(name, inode);
        this.own(inode).links += 1;
      }
    }
    this.#journal.add(changes);
    for (const id of affected) this.#freeIfUnused(id);
  }

  opened(id: number): void {
    this.#open.set(id, (this.#open.get(id) ?? 0) + 1);
  }

  closed(id: number): void {
    const count = (this.#open.get(id) ?? 1) - 1;
    if (count > 0) this.#open.set(id, count);
    else this.#open.delete(id);
    this.#freeIfUnused(id);
  }

  #freeIfUnused(id: number): void {
    const inode = this.inode(id);
    if (inode.links === 0 && !this.#open.has(id)) this.#numbers.delete(inode.number);
  }

  usedBytes(): number {
    let sum = 0;
    for (const inode of this.#inodes.values()) if (inode.links > 0) sum += inode.content.size;
    return sum;
  }

  /** A sync begins: what it covers, to be made durable when it ends. */
  beginSync(id: number): { commit(): void; fail(): void } {
    const isFile = this.inode(id).kind === "file";
    const mark = this.inode(id).content.mark;
    const operations = this.#journal.coveredBy(isFile ? null : id);
    return {
      commit: () => {
        this.#keep(this.#journal.take(operations));
        if (isFile) this.own(id).content.commit(mark);
      },
      fail: () => {
        if (isFile) this.own(id).content.fail(mark);
      },
    };
  }

  /** A sync of everything. */
  beginSyncAll(): { commit(): void } {
    const marks = [...this.#inodes.values()].filter((one) => !one.content.isDurable)
      .map((one) => [one.id, one.content.mark] as const);
    const operations = this.#journal.all();
    return {
      commit: () => {
        this.#keep(this.#journal.take(operations));
        for (const [id, mark] of marks) this.own(id).content.commit(mark);
      },
    };
  }

  #keep(changes: readonly NameChange[]): void {
    for (const { directory, name, inode } of changes) {
      const { durableEntries } = this.own(directory);
      if (inode === null) durableEntries.delete(name);
      else durableEntries.set(name, inode);
    }
  }

  /** The disk after the machine lost power: only durable state, and a part of the rest. */
  afterPowerLoss(random: SeededRandom, loss: PowerLoss): SimulatedDisk {
    const disk = this.snapshot();
    const survives = loss === "all_lost"
      ? 0
      : loss === "all_kept"
      ? 1
      : random.pick([0.2, 0.5, 0.9]);
    disk.#keep(new NameJournal(this.kind, disk.#journal).surviving(random, survives));
    disk.#journal.take(disk.#journal.all());
    for (const { id, kind } of disk.#inodes.values()) {
      if (kind === "directory") {
        const directory = disk.own(id);
        directory.entries = new Map(directory.durableEntries);
      }
    }
    disk.#dropUnreachable();
    const fate = { survives, ordered: this.kind === "journaled" };
    for (const inode of [...disk.#inodes.values()]) {
      if (inode.kind !== "file" || inode.content.isDurable) continue;
      disk.own(inode.id).content = inode.content.crashed(random, fate);
    }
    return disk;
  }

  /** As a check of the file system does: counts links anew, forgets what has no name. */
  #dropUnreachable(): void {
    const links = new Map<number, number>([[ROOT_ID, 1]]);
    const visit = (id: number) => {
      for (const child of this.inode(id).entries.values()) {
        const count = links.get(child) ?? 0;
        links.set(child, count + 1);
        if (count === 0 && this.inode(child).kind === "directory") visit(child);
      }
    };
    visit(ROOT_ID);
    this.#numbers = new Set();
    for (const id of [...this.#inodes.keys()]) {
      const count = links.get(id);
      if (count === undefined) {
        this.#inodes.delete(id);
        continue;
      }
      const inode = this.own(id);
      inode.links = count;
      // Two files may have had one number, one after the other, and both be there now.
      if (this.#numbers.has(inode.number)) {
        this.#inodes.set(id, { ...inode, number: this.#freeNumber() });
      } else this.#numbers.add(inode.number);
    }
  }
}
