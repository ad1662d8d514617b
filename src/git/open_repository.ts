/**
 * Opens a repository: the gate, then ownership, then the parts of this room put together.
 * What is opened must be closed: it holds the owner file's lock and may have git processes.
 */
import { LayerdError } from "../core/errors.ts";
import type { LogId, RepositoryId, RepositoryName } from "../core/ids.ts";
import { isObjectId, type ObjectId } from "../core/ids.ts";
import type { RefEdit } from "../core/ref_edit.ts";
import type { Identity } from "../core/transaction_document.ts";
import type { Clock } from "../system/clock.ts";
import { errorCode, type FileInfo, type FileSystem } from "../system/file_system.ts";
import type { Random } from "../system/random.ts";
import {
  checkFormat,
  checkLayout,
  findWorkTrees,
  type RepositoryLayout,
  resolveLayout,
} from "./gate.ts";
import { type BlobReader, CachedBlobReader } from "./blob_reader.ts";
import { GitConfig, readConfigWithIncludes } from "./git_config.ts";
import { RepositoryObjects } from "./object_store.ts";
import { type OpenRefs, openRefs } from "./open_refs.ts";
import { claimRepository, type OwnerClaim } from "./owner.ts";
import type {
  LayerWatch,
  RefPublisher,
  RefReader,
  Repository,
  RepositoryFinding,
  TreeReader,
} from "./repository.ts";
import { lookForDamage } from "./repository_findings.ts";
import { shallowCommits } from "./shallow.ts";
import { CachedTreeReader } from "./tree_reader.ts";

export interface OpenRepositoryOptions {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
  readonly name: RepositoryName;
  /** Absolute: a work tree, a bare repository or a linked work tree. */
  readonly path: string;
  readonly logId: LogId;
  readonly stateDirectory: string;
  readonly pid: number;
  readonly incarnation: number;
  /** Last LSN of the log. */
  readonly lastLsn: number;
  /** An operator decided that this daemon takes the repository over. */
  readonly adopt: boolean;
  /** The id that the log knows it by, or null where any will do. */
  readonly expected: RepositoryId | null;
}

/** Opens and owns a repository; throws `unsupported_repository` or `repository_owned`. */
export async function openRepository(options: OpenRepositoryOptions): Promise<Repository> {
  const { fileSystem, clock, random } = options;
  const layout = resolveLayout(fileSystem, options.path);
  checkLayout(fileSystem, layout, random);
  const claim = await claimRepository(fileSystem, layout, { ...options, nowMs: clock.now() });
  try {
    const repository = new OpenedRepository(options, layout, claim);
    await repository.objects.prepare();
    return repository;
  } catch (error) {
    await claim.release();
    throw error;
  }
}

class OpenedRepository implements Repository {
  readonly #fs: FileSystem;
  readonly #clock: Clock;
  readonly #layout: RepositoryLayout;
  readonly #claim: OwnerClaim;
  readonly #objects: RepositoryObjects;
  readonly #openRefs: OpenRefs;
  readonly #config: ConfigWatch;
  readonly name: RepositoryName;
  readonly id: RepositoryId;
  readonly path: string;
  readonly gitDir: string;
  readonly commonDir: string;
  readonly trees: TreeReader;
  readonly blobs: BlobReader;

  constructor(options: OpenRepositoryOptions, layout: RepositoryLayout, claim: OwnerClaim) {
    const { fileSystem, clock, random } = options;
    this.#fs = fileSystem;
    this.#clock = clock;
    this.#layout = layout;
    this.#claim = claim;
    this.#objects = new RepositoryObjects(fileSystem, clock, layout, random);
    this.#config = new ConfigWatch(fileSystem, layout);
    this.#openRefs = openRefs({
      fileSystem,
      clock,
      layout,
      owner: claim,
      objects: this.#objects,
      writes: this.#objects.writes,
      logAllRefUpdates: () => this.#config.current().get("core.logallrefupdates"),
    });
    this.name = options.name;
    this.id = claim.repositoryId;
    this.path = options.path;
    this.gitDir = layout.gitDir;
    this.commonDir = layout.commonDir;
    this.trees = new CachedTreeReader(this.#objects);
    this.blobs = new CachedBlobReader(this.#objects);
  }

  get objects(): RepositoryObjects {
    return this.#objects;
  }

  get refs(): RefReader {
    return this.#openRefs.refs;
  }

  get publisher(): RefPublisher {
    return this.#openRefs.publisher;
  }

  head(): string | null {
    const path = `${this.gitDir}/HEAD`;
    try {
      if (this.#fs.lstatIfAny(path)?.kind === "symlink") return this.#fs.readLink(path);
      const text = new TextDecoder().decode(this.#fs.readFile(path)).trim();
      const ref = text.match(/^ref:\s*(refs\/\S+)$/)?.[1];
      return ref ?? (isObjectId(text) ? text : null);
    } catch (error) {
      if (errorCode(error) !== null) return null;
      throw error;
    }
  }

  identity(): Identity | null {
    const config = this.#config.current();
    const [name, email] = [config.get("user.name"), config.get("user.email")];
    return name === null || email === null ? null : { name, email };
  }

  recheck(): void {
    this.#config.recheck();
  }

  async findings(): Promise<RepositoryFinding[]> {
    try {
      this.recheck();
    } catch (error) {
      if (!(error instanceof LayerdError)) throw error;
      const reason = error.details.reason ?? error.code;
      return [{ code: reason, detail: error.message, severity: "corrupted", ref: null }];
    }
    return await lookForDamage({
      fileSystem: this.#fs,
      clock: this.#clock,
      layout: this.#layout,
      owner: this.#claim,
      objects: this.#objects,
      writes: this.#objects.writes,
      trees: this.trees,
      refs: this.refs,
      publisher: this.publisher,
    });
  }

  shallowCommits(): ReadonlySet<ObjectId> {
    return shallowCommits(this.#fs, this.commonDir);
  }

  workTrees(): readonly string[] {
    return findWorkTrees(this.#fs, this.#layout);
  }

  watchLayers(report: (change: RefEdit) => void): LayerWatch {
    return this.#openRefs.watchLayers(report);
  }

  recordPosition(lsn: number): Promise<void> {
    return this.#claim.recordPosition(lsn);
  }

  async close(): Promise<void> {
    if (!this.#objects.isDurable()) return await this.closeUnreleased();
    await this.#objects.close();
    await this.#claim.release();
  }

  async closeUnreleased(): Promise<void> {
    await this.#objects.close();
    await this.#claim.close();
  }

  async forget(): Promise<void> {
    await this.#objects.close();
    await this.#claim.forget();
  }
}

/** The repository's configuration, read again where the stat data of its files changed. */
class ConfigWatch {
  readonly #fs: FileSystem;
  readonly #layout: RepositoryLayout;
  #config = new GitConfig([]);
  /** Git reads a work tree's own settings only where `extensions.worktreeConfig` says so. */
  #readsOwn = false;
  /** Of the files that `#config` was read from. */
  #readAt = "";
  /** Of the files that passed the gate. */
  #checkedAt: string;

  constructor(fs: FileSystem, layout: RepositoryLayout) {
    this.#fs = fs;
    this.#layout = layout;
    this.#checkedAt = this.#look();
    this.current();
  }

  get #paths(): string[] {
    const shared = `${this.#layout.commonDir}/config`;
    return this.#readsOwn ? [shared, `${this.#layout.gitDir}/config.worktree`] : [shared];
  }

  current(): GitConfig {
    // What is read may say that there is a second file, or none any more.
    for (let looks = 0; looks < 2; looks += 1) {
      const signature = this.#look();
      if (signature === this.#readAt) break;
      this.#read(signature);
    }
    return this.#config;
  }

  /** Throws `unsupported_repository` where the configuration changed and says so now. */
  recheck(): void {
    const signature = this.#look();
    if (signature === this.#checkedAt) return;
    checkFormat(this.#fs, this.#layout);
    this.#checkedAt = signature;
  }

  #look(): string {
    return this.#paths.map((path) => {
      const info = this.#fs.lstatIfAny(path);
      return info === null ? "-" : stampOf(info);
    }).join(" ");
  }

  #read(signature: string): void {
    const [shared = "", own] = this.#paths;
    const { entries } = readConfigWithIncludes(this.#fs, shared);
    this.#readsOwn = new GitConfig(entries).isTrue("extensions.worktreeconfig");
    const rest = own === undefined ? [] : readConfigWithIncludes(this.#fs, own).entries;
    this.#config = new GitConfig([...entries, ...rest]);
    this.#readAt = signature;
  }
}

function stampOf({ device, inode, size, modifiedMs }: FileInfo): string {
  return `${device}:${inode}:${size}:${modifiedMs}`;
}
