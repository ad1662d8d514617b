/** Puts the parts of this room together: the refs of one repository that this daemon owns. */
import { invariant } from "../core/errors.ts";
import type { ObjectId, RefName } from "../core/ids.ts";
import type { RefEdit } from "../core/ref_edit.ts";
import type { Clock } from "../system/clock.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { RepositoryLayout } from "./gate.ts";
import { FilesLockedRefs } from "./locked_refs.ts";
import { LooseAbsence } from "./loose_absence.ts";
import { LooseRefs } from "./loose_refs.ts";
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
    published: (edits, before, after) => {
      for (const watcher of watchers) watcher.published(edits, before, after);
    },
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
}

class FilesRefPublisher implements RefPublisher {
  readonly #parts: PublisherParts;
  readonly #promises: PromiseRefs;
  /** packed-refs as read or renamed under the packed-refs.lock that is held now. */
  #base: PackedState | null = null;

  constructor(parts: PublisherParts) {
    this.#parts = {
      ...parts,
      published: (edits, before, after) => {
        this.#base = after;
        parts.published(edits, before, after);
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
    this.#base = null;
    return this.#parts.locks.lockPackedRefs();
  }

  unlockPackedRefs(): void {
    this.#base = null;
    this.#parts.locks.unlockPackedRefs();
  }

  readLocked(): LockedRefs {
    const { packed } = this.#readBase();
    return new FilesLockedRefs(packed, this.#parts.loose, this.#parts.locks);
  }

  stillHeld(refs: readonly RefName[]): boolean {
    return this.#parts.locks.stillHeld(refs);
  }

  stage(edits: readonly RefEdit[], reflog: ReflogNote): Promise<StagedPublication> {
    return this.#parts.writes.duringLong(() =>
      stagePublication(this.#parts, this.#base ?? this.#readBase(), edits, reflog)
    );
  }

  pin(refs: readonly RefName[]): Promise<void> {
    return pinRefs(this.#parts, this.#readBase().packed, refs);
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
    const { files, locks } = this.#parts;
    files.discardStuck();
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
    const { files, locks } = this.#parts;
    const promises = this.#promises.ended.map((id) => `refs/layerd/${id}`);
    return [...promises, ...locks.stuck, ...files.stuck];
  }

  adoptLocks(): { readonly refs: readonly RefName[]; readonly packedRefs: boolean } {
    return this.#parts.locks.adoptLocks();
  }

  sweep(): void {
    this.#parts.files.sweep();
  }

  #readBase(): PackedState {
    invariant(this.#parts.locks.holdsPackedRefs, "refs are read without packed-refs.lock");
    this.#base = this.#parts.file.reread();
    return this.#base;
  }
}
