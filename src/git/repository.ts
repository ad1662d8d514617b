/**
 * One repository that passed the gate and that this daemon owns. Composition of this
 * room's parts; what the transactions room uses of a repository stands here.
 *
 * Everything that can be a cheap system call is synchronous (see system/file_system.ts);
 * object reads are not, since they may go to packs or to `git cat-file`.
 */
import type { ObjectId, RefName, RepositoryId, RepositoryName } from "../core/ids.ts";
import type { ObjectType, WrittenObjects } from "../core/log_record.ts";
import type { RefEdit } from "../core/ref_edit.ts";
import type { Identity } from "../core/transaction_document.ts";
import type { FileMode } from "../core/operations.ts";
import type { BlobReader } from "./blob_reader.ts";
import type { MadeDurable } from "./made_durable.ts";

export interface GitObject {
  readonly type: ObjectType;
  readonly body: Uint8Array;
}

/** An object that a transaction makes: its bytes, or a spooled file that holds them raw. */
export type NewObject =
  | { readonly oid: ObjectId; readonly type: ObjectType; readonly body: Uint8Array }
  | {
    readonly oid: ObjectId;
    readonly type: "blob";
    readonly file: string;
    readonly size: number;
  };

/** What a transaction wrote, and the transaction that needs it (its id). */
export interface WrittenBy {
  readonly holder: string;
  readonly written: WrittenObjects;
}

/** Objects of one repository. Missing is null; damaged is thrown as `git_error`. */
export interface ObjectStore {
  read(oid: ObjectId): Promise<GitObject | null>;
  /** Type and size without keeping the content. */
  header(oid: ObjectId): Promise<{ readonly type: ObjectType; readonly size: number } | null>;
  /**
   * Makes the objects ready to be placed: a small transaction's are encoded for its record, a
   * large one's become a durable pack of its own.
   */
  write(objects: readonly NewObject[]): Promise<WrittenObjects>;
  /**
   * Puts what transactions wrote where git finds it, complete or not at all, in at most one
   * new pack that native gc leaves alone. Not yet durable. Repeatable. Stays until the holder
   * releases it and a checkpoint has made it durable.
   */
  place(all: readonly WrittenBy[]): void;
  /** The transaction is over: its refs have moved, or never will. */
  release(holder: string): void;
  /** Between groups: folds small packs where many have gathered. */
  tidyPacks(): void;
  /** After a publication: puts back what somebody removed by hand. Cheap where all is there. */
  restoreMissing(all: readonly WrittenObjects[]): void;
  /**
   * Checkpoint: makes everything placed durable and gives to git what nobody holds. A recorded
   * object that is not among the answer's has to be placed again first.
   */
  makeDurable(): Promise<MadeDurable>;
  /** The repository is served no longer: makes all durable and gives all of it to git. */
  surrender(): Promise<void>;
  /** The transaction ended without a decision: gives up what kept its pack. */
  discard(written: WrittenObjects): void;
  /** Recovery: takes over the packs of a dead process; torn ones go. */
  adopt(): void;
  /**
   * Recovery: removes what a dead process was writing, and the pending links of packs that no
   * record of the log names (`pending`: those that one does).
   */
  sweep(pending: ReadonlySet<string>): void;
  /** Makes objects that others wrote durable (syncfs); before a decision relies on them. */
  syncAll(): Promise<void>;
}

/** Refs as they were at one instant: immutable, shared between transactions. */
export interface RefSnapshot {
  get(ref: RefName): ObjectId | null;
  /** Refs under a prefix (ends with "/"), sorted by their bytes. */
  entries(prefix: string): Iterable<readonly [ref: RefName, oid: ObjectId]>;
}

export interface RefReader {
  /** What git would see now: loose first, then packed; symbolic refs followed. Damaged refs throw `git_error`. */
  read(ref: RefName): ObjectId | null;
  /**
   * Refs of the common directory at this instant: all, or those under a prefix (ends with
   * "/"). It costs a look at every loose ref there, so a prefix keeps it from growing with
   * the user's branches; a snapshot of a prefix answers for nothing else.
   */
  snapshot(prefix?: string): RefSnapshot;
  /** Branches that HEAD of a work tree points at, or that one is rebasing or bisecting. */
  checkedOut(): ReadonlySet<RefName>;
}

/** What taking lock files came to. A blocked or conflicting call has taken nothing. */
export type LockOutcome =
  | { readonly kind: "locked" }
  /** A `.lock` of somebody else is in the way. */
  | {
    readonly kind: "blocked";
    readonly path: string;
    readonly ageMs: number;
    /** The ref, or null for `packed-refs.lock`. */
    readonly ref: RefName | null;
    /** The transaction of ours that holds it, or null for native git. */
    readonly holder: string | null;
  }
  /** A ref's directory cannot be made because a ref of that name exists. */
  | { readonly kind: "name_conflict"; readonly ref: RefName; readonly other: string };

/** Refs read under ref locks and `packed-refs.lock`. */
export interface LockedRefs {
  /** Throws `git_error` on a damaged ref; a symbolic ref throws `git_error` too. */
  value(ref: RefName): ObjectId | null;
  /** Says which refs will be asked for, so that many of them cost one look at each directory. */
  lookAt(refs: readonly RefName[]): void;
  /**
   * The name that a ref to be created collides with (a prefix or a descendant, loose, packed
   * or an entry of somebody's `.lock`), or null. `gone`: refs that edits ahead in the same
   * group remove. Locks of our own do not count.
   */
  nameConflict(ref: RefName, gone: ReadonlySet<RefName>): string | null;
}

/** Refs to move once the decision is durable. */
export interface StagedPublication {
  /** The rename: readers see all the edits or none. Synchronous on purpose. */
  publish(): void;
  /** Makes the publication durable, prunes empty directories, appends reflogs. */
  settle(): Promise<void>;
  /** Forgets it: nothing was decided. */
  discard(): void;
}

/**
 * Moves refs of one repository. Calling sequence:
 *
 *   lockRefs(refs) -> lockPackedRefs() -> readLocked() -> stage(edits)
 *     -> stillHeld() -> [the log decides] -> publish() -> settle()
 *     -> [the log says applied] -> unlockRefs(), unlockPackedRefs()
 *
 * Every step before the decision may be undone by discard() and the unlocks. Lock files
 * are hard links to the owner file; a lock that is not ours is never removed.
 */
export interface RefPublisher {
  /** Takes `<ref>.lock` for each, in sorted order; all or none. `holder` is kept in memory. */
  lockRefs(refs: readonly RefName[], holder: string): LockOutcome;
  unlockRefs(refs: readonly RefName[]): void;
  lockPackedRefs(): LockOutcome;
  unlockPackedRefs(): void;
  /** Requires packed-refs.lock. */
  readLocked(): LockedRefs;
  /** Whether the locks of these refs and, where taken, packed-refs.lock are still our links (inode). */
  stillHeld(refs: readonly RefName[]): boolean;
  /**
   * Folds loose files of these refs into packed-refs with their old values, then writes the
   * new packed-refs aside, durable. Fails for want of space here. Waits where the file's size
   * and second would repeat (GIT-SAFETY 2.8).
   */
  stage(
    edits: readonly RefEdit[],
    reflog: { readonly committer: Identity; readonly atMs: number; readonly message: string },
  ): Promise<StagedPublication>;
  /**
   * Writes the refs' current values as loose files under their locks and makes files, lock
   * links and directories durable: native deletion cannot remove a loose ref under our lock.
   * An absent ref cannot be pinned; its lock link is made durable.
   */
  pin(refs: readonly RefName[]): Promise<void>;
  /**
   * Keeps objects that a promise relies on from native gc, by refs of ours, until endPromise();
   * durable when resolved. Requires packed-refs.lock.
   */
  keepObjects(promise: string, oids: readonly ObjectId[]): Promise<void>;
  /** The promise is over: the next tidy() removes its refs. */
  endPromise(promise: string): void;
  /** Recovery: promises that have refs here. Requires packed-refs.lock. */
  findPromises(): readonly string[];
  /**
   * Removes what is over and stands still: refs of ended promises, locks and staged files of ours
   * that could not be unlinked before. Takes packed-refs.lock where it is not held. What cannot
   * be removed now stays in leftovers().
   */
  tidy(): Promise<void>;
  /** Files and refs of ours that wait for tidy(). */
  leftovers(): readonly string[];
  /** Recovery: every lock link of ours that stands in the repository now. Registers them under `holder` null. */
  adoptLocks(): { readonly refs: readonly RefName[]; readonly packedRefs: boolean };
  /** Recovery: removes temporary files of ours that no process uses any more. */
  sweep(): void;
}

/** A finding of a health check. */
export interface RepositoryFinding {
  readonly code: string;
  readonly detail: string;
  readonly severity: "suspicious" | "corrupted" | "unknown";
  readonly ref: string | null;
}

/** Native changes of layers (ref_watch.ts), from the moment it is made until close(). */
export interface LayerWatch {
  /** Looks now and reports what changed. */
  look(): void;
  close(): void;
}

export interface Repository {
  readonly name: RepositoryName;
  readonly id: RepositoryId;
  /** As the client gave it, absolute. */
  readonly path: string;
  readonly gitDir: string;
  /** The repository's identity: canonical path of its common directory. */
  readonly commonDir: string;
  readonly objects: ObjectStore;
  readonly refs: RefReader;
  readonly publisher: RefPublisher;
  readonly trees: TreeReader;
  readonly blobs: BlobReader;
  /** What HEAD says: a full ref, or a commit id when detached, or null when unreadable. */
  head(): string | null;
  /** `user.name` and `user.email` of the repository's configuration, or null. */
  identity(): Identity | null;
  /** Looks at `config` again where its stat changed; throws `unsupported_repository`. */
  recheck(): void;
  /** Quick look for damage and leftovers. */
  findings(): Promise<RepositoryFinding[]>;
  /** Commits whose parents are not here on purpose: the edge of a shallow clone. */
  shallowCommits(): ReadonlySet<ObjectId>;
  /** Work-tree paths (main and linked) that belong to it, canonical. */
  workTrees(): readonly string[];
  /** Reports changes of layer refs that this daemon did not make, until closed. */
  watchLayers(report: (change: RefEdit) => void): LayerWatch;
  /** Records in `layerd/position` that the log reached `lsn`; durable when resolved. */
  recordPosition(lsn: number): Promise<void>;
  /**
   * Releases ownership cleanly (position says so) where its objects are durable, else as
   * closeUnreleased() does. Gives back locks that recovery needs no more.
   */
  close(): Promise<void>;
  /**
   * Stops serving it where the log has something that it lacks: nothing tells other daemons
   * that they may have it.
   */
  closeUnreleased(): Promise<void>;
  /** close(), then removes `<common dir>/layerd`. */
  forget(): Promise<void>;
}

/** A file or directory in a tree. */
export interface TreeEntry {
  readonly mode: string;
  readonly oid: ObjectId;
}

/** A change to one path of a tree: an entry to put, or null to remove. */
export type TreeChange = ReadonlyMap<
  string,
  { readonly mode: FileMode; readonly oid: ObjectId } | null
>;

/** Trees of commits, with a cache of parsed trees. Paths are `/`-separated, relative. */
export interface TreeReader {
  /** The root tree of a commit; throws `git_error` when the commit is missing or damaged. */
  rootOf(commit: ObjectId): Promise<ObjectId>;
  /** Notes the root of a commit that was just made, which then needs no reading. */
  noteRoot(commit: ObjectId, root: ObjectId): void;
  /** The entry at a path (file, directory, link or submodule), or null. */
  lookup(root: ObjectId, path: string): Promise<TreeEntry | null>;
  /** Names in one directory ("" is the root), or null where no directory is. */
  directory(root: ObjectId, path: string): Promise<ReadonlyMap<string, TreeEntry> | null>;
  /** All files below the root, in git's order. */
  files(root: ObjectId): AsyncIterable<{ readonly path: string } & TreeEntry>;
  /**
   * The new root and the new tree objects after applying changes; directories that become
   * empty vanish. `null` root: start from the empty tree.
   */
  rewrite(
    root: ObjectId | null,
    changes: TreeChange,
  ): Promise<{ readonly root: ObjectId; readonly objects: readonly NewObject[] }>;
  /** Differences between two roots (null: empty), files only, sorted by path bytes. */
  diff(
    before: ObjectId | null,
    after: ObjectId | null,
  ): Promise<
    readonly {
      readonly path: string;
      readonly before: TreeEntry | null;
      readonly after: TreeEntry | null;
    }[]
  >;
}

/** Who a commit is by and when. */
export interface Signature extends Identity {
  /** Seconds since the epoch. */
  readonly atSeconds: number;
}

export interface CommitFields {
  readonly tree: ObjectId;
  readonly parents: readonly ObjectId[];
  readonly author: Signature;
  readonly committer: Signature;
  readonly message: string;
}

/** One entry of a layer's history as the contract shows it. */
export interface HistoryEntry {
  readonly oid: ObjectId;
  readonly fields: CommitFields;
}
