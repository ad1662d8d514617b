/** Puts the parts of this room together: the refs of one repository that this daemon owns. */
import { invariant, LayerdError } from "../core/errors.ts";
import type { ObjectId, RefName } from "../core/ids.ts";
import type { RefEdit } from "../core/ref_edit.ts";
import type { Clock } from "../system/clock.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { RepositoryLayout } from "./gate.ts";
import { FilesLockedRefs } from "./locked_refs.ts";
import { LooseAbsence } from "./loose_absence.ts";
import { LooseRefs } from "./loose_refs.ts";
import { looseEdit, stageLoosePublication } from "./loose_publication.ts";
import { LoosenedRefs } from "./loosened_refs.ts";
import type { OwnerFile } from "./owner.ts";
import { PackedRefsFile, type PackedState } from "./packed_refs_file.ts";
import { type PublicationParts, stagePublication } from "./publication.ts";
import { RefFiles } from "./ref_files.ts";
import { RefLocks } from "./ref_locks.ts";
import { PromiseRefs } from "./promise_refs.ts";
import { pinRefs } from "./ref_pins.ts";
import { FilesRefReader } from "./ref_reader.ts";
import { LayerWatcher } from "./ref_watch.ts";
import { Reflog, type ReflogNote } from "./reflog.ts";
import type {
  LayerWatch,
  LockedRefs,
  LockOutcome,
  ObjectStore,
  RefPublisher,
  RefReader,
  StagedPublication,
} from "./repository.ts";
import { SizePad } from "./size_pad.ts";
import type { WriteWatch } from "./write_watch.ts";
import { WorkTrees } from "./work_trees.ts";

/** When a ref that moves alone is published as a loose file (loose_publication.ts). */
export interface LoosePublicationBounds {
  /** From this size of packed-refs on. */
  readonly fromBytes: number;
  /** How many layers may be loose at a time. */
  readonly refsMax: number;
}

export interface OpenRefsOptions {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly layout: Pick<RepositoryLayout, "commonDir" | "bare" | "shared">;
  /** `<common dir>/layerd/owner`, under this process's flock. */
  readonly owner: OwnerFile;
  /** For the peeled lines of annotated tags. */
  readonly objects: Pick<ObjectStore, "read" | "header">;
  readonly writes: WriteWatch;
  /** The value of `core.logAllRefUpdates` as it is now, null where it is not set. */
  readonly logAllRefUpdates: () => string | null;
  readonly loosePublication: LoosePublicationBounds;
}

export interface OpenRefs {
  readonly refs: RefReader;
  readonly publisher: RefPublisher;
  /** Reports changes of layer refs that this process did not make; see ref_watch.ts. */
  watchLayers(report: (change: RefEdit) => void): LayerWatch;
}

export function openRefs(options: OpenRefsOptions): OpenRefs {
  const { fileSystem, clock, layout, owner } = options;
  const { commonDir } = layout;
  const pad = new SizePad(clock);
  const file = new PackedRefsFile(fileSystem, clock, commonDir, pad);
  const files = new RefFiles(fileSystem, clock, layout);
  const loose = new LooseRefs(fileSystem, commonDir);
  const workTrees = new WorkTrees(fileSystem, layout);
  const locks = new RefLocks({ fileSystem, clock, commonDir, owner, loose, files });
  const { logAllRefUpdates } = options;
  const reflog = new Reflog({ fileSystem, files, workTrees, layout, logAllRefUpdates });
  const watchers = new Set<LayerWatcher>();
  const publisher = new FilesRefPublisher({
    fileSystem,
    commonDir,
    objects: options.objects,
    writes: options.writes,
    file,
    files,
    undurable: new Set(),
    locks,
    loose,
    pad,
    reflog,
    published: (published) => {
      for (const watcher of watchers) watcher.published(published);
    },
    loosened: new LoosenedRefs(loose, locks, options.loosePublication.refsMax),
    looseFromBytes: options.loosePublication.fromBytes,
  });
  return {
    refs: new FilesRefReader(
      loose,
      new LooseAbsence(fileSystem, clock, loose),
      file,
      workTrees,
    ),
    publisher,
    watchLayers: (report) => {
      const watcher = new LayerWatcher(
        { fileSystem, clock, loose, file, report },
        (closed) => watchers.delete(closed),
      );
      watchers.add(watcher);
      return watcher;
    },
  };
}

interface PublisherParts extends PublicationParts {
  readonly writes: WriteWatch;
  readonly looseFromBytes: number;
}

class FilesRefPublisher implements RefPublisher {
  readonly #parts: PublisherParts;
  readonly #promises: PromiseRefs;
  /** packed-refs as read or renamed under the packed-refs.lock that is held now. */
  #base: PackedState | null = null;
  /** The same as its stat vouches for it: enough to compare with, not to write back. */
  #glanced: PackedState | null = null;

  constructor(parts: PublisherParts) {
    this.#parts = {
      ...parts,
      published: (published) => {
        if (published.where === "packed") {
          this.#base = published.after;
          this.#glanced = null;
        }
        parts.published(published);
      },
    };
    this.#promises = new PromiseRefs({
      loose: parts.loose,
      locks: parts.locks,
      packed: () => (this.#base ?? this.#readBase()).packed,
      glance: () => parts.file.current().packed,
      publish: async (edits) => {
        const staged = await stagePublication(
          this.#parts,
          this.#base ?? this.#readBase(),
          edits,
          null,
        );
        staged.publish();
        await staged.settle();
      },
    });
  }

  lockRefs(refs: readonly RefName[], holder: string): LockOutcome {
    return this.#parts.locks.lockRefs(refs, holder);
  }

  unlockRefs(refs: readonly RefName[]): void {
    this.#parts.locks.unlockRefs(refs);
  }

  lockPackedRefs(): LockOutcome {
    this.#forgetBase();
    return this.#parts.locks.lockPackedRefs();
  }

  unlockPackedRefs(): void {
    this.#forgetBase();
    this.#parts.locks.unlockPackedRefs();
  }

  readLocked(): LockedRefs {
    // Reading 7 MB (100,000 refs) for a ref that moves alone would cost more than moving it.
    const proved = this.#parts.file.proved();
    this.#glanced = proved !== null && this.#isLarge(proved) ? proved : null;
    const { packed } = this.#glanced ?? this.#readBase();
    return new FilesLockedRefs(packed, this.#parts.loose, this.#parts.locks);
  }

  stillHeld(refs: readonly RefName[]): boolean {
    return this.#parts.locks.stillHeld(refs);
  }

  stage(
    edits: readonly RefEdit[],
    reflog: ReflogNote,
    made: ReadonlySet<ObjectId> = new Set(),
  ): Promise<StagedPublication> {
    return this.#parts.writes.duringLong(() => {
      const known = this.#base ?? this.#glanced ?? this.#readBase();
      const alone = this.#isLarge(known) ? looseEdit(this.#parts, edits, made) : null;
      return alone === null
        ? stagePublication(this.#parts, this.#baseOf(known), edits, reflog)
        : stageLoosePublication(this.#parts, known, alone, reflog);
    });
  }

  async pin(refs: readonly RefName[]): Promise<void> {
    const { packed } = this.#readBase();
    await this.#parts.file.makeDurable();
    await pinRefs(this.#parts, packed, refs);
  }

  keepObjects(promise: string, oids: readonly ObjectId[]): Promise<void> {
    return this.#promises.keep(promise, oids);
  }

  endPromise(promise: string): void {
    this.#promises.end(promise);
  }

  findPromises(): readonly string[] {
    return this.#promises.find();
  }

  async tidy(): Promise<void> {
    const { locks } = this.#parts;
    if (this.#promises.ended.length > 0) {
      const held = locks.holdsPackedRefs;
      if (!held && this.lockPackedRefs().kind !== "locked") return;
      try {
        await this.#promises.drop();
      } finally {
        if (!held) this.unlockPackedRefs();
      }
    }
    locks.unlockStuck();
  }

  leftovers(): readonly string[] {
    const promises = this.#promises.ended.map((id) => `refs/layerd/${id}`);
    return [...promises, ...this.#parts.locks.stuck];
  }

  adoptLocks(): { readonly refs: readonly RefName[]; readonly packedRefs: boolean } {
    return this.#parts.locks.adoptLocks();
  }

  sweep(): void {
    this.#parts.files.sweep();
  }

  /** What may be written back; throws where it is not what values were compared with. */
  #baseOf(known: PackedState): PackedState {
    const base = this.#base ?? this.#readBase();
    if (base.packed === known.packed) return base;
    const path = this.#parts.file.path;
    throw new LayerdError("repository_locked", `${path} was written in spite of its lock`);
  }

  #isLarge({ packed }: PackedState): boolean {
    return packed.bytes.length >= this.#parts.looseFromBytes;
  }

  #forgetBase(): void {
    this.#base = null;
    this.#glanced = null;
  }

  #readBase(): PackedState {
    invariant(this.#parts.locks.holdsPackedRefs, "refs are read without packed-refs.lock");
    this.#base = this.#parts.file.reread();
    return this.#base;
  }
}
