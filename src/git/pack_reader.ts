/**
 * Reads objects out of packs: through isomorphic-git while all packs together are small
 * enough to be held in memory, else through `git cat-file` (cat_file.ts). Where git is not
 * installed isomorphic-git reads large packs too.
 *
 * `git repack -ad` replaces packs beside our reads. A read that fails or finds nothing looks
 * at the list of packs again and, where it changed, is made once more, a bounded number of times.
 */
import type { FsClient, PromiseFsClient } from "isomorphic-git";
import { getLogger } from "@logtape/logtape";
import { LayerdError, messageOf } from "../core/errors.ts";
import type { ObjectId } from "../core/ids.ts";
import { PACK_IN_MEMORY_BYTES_MAX } from "../core/limits.ts";
import { errorCode, type FileSystem } from "../system/file_system.ts";
import { CatFile } from "./cat_file.ts";
import type { RepositoryLayout } from "./gate.ts";
import { nodeError } from "./node_error.ts";
import { isObjectType, objectId } from "./object_codec.ts";
import type { ObjectType } from "../core/log_record.ts";
import type { GitObject } from "./repository.ts";

const logger = getLogger(["layerd", "git"]);

/** Lists of packs that one read looks through before it believes that an object is missing. */
const LOOKS_MAX = 8;
/** Where the packs of all object directories seem to be for isomorphic-git. */
const VIRTUAL_GIT_DIR = "/packs";

/** The packs at one moment, with what isomorphic-git remembers of them. */
interface PackList {
  /** Path of each file by its name; the same pack in two directories is one. */
  readonly files: ReadonlyMap<string, string>;
  readonly packBytes: number;
  /** Directories' stat data: the list is read again when they change. */
  readonly signature: string;
  /** isomorphic-git's cache; it never evicts, so it goes with the list. */
  readonly cache: Record<string, unknown>;
  readonly view: PromiseFsClient["promises"];
  /** The view as isomorphic-git takes it, once it was asked for. */
  client: FsClient | null;
}

export class PackReader {
  readonly #fs: FileSystem;
  readonly #packDirs: readonly string[];
  readonly #elsewhere: () => ReadonlySet<string>;
  readonly #contents: CatFile;
  readonly #headers: CatFile;
  #list: PackList | null = null;
  #gitIsMissing = false;

  /** `elsewhere`: packs that their reader need not look into, by name. */
  constructor(
    fs: FileSystem,
    layout: RepositoryLayout,
    elsewhere: () => ReadonlySet<string> = () => new Set(),
  ) {
    this.#fs = fs;
    this.#elsewhere = elsewhere;
    this.#packDirs = [layout.objectsDir, ...layout.alternates].map((dir) => `${dir}/pack`);
    this.#contents = new CatFile(layout, "batch");
    this.#headers = new CatFile(layout, "batch-check");
  }

  /** The object, or null where no pack holds it. Throws `git_error` on damage. */
  async read(oid: ObjectId): Promise<GitObject | null> {
    const object = await this.#retried((list) => this.#readFrom(list, oid));
    if (object !== null && objectId(object.type, object.body) !== oid) {
      throw new LayerdError("git_error", `Object ${oid} is damaged in its pack`);
    }
    return object;
  }

  async header(
    oid: ObjectId,
  ): Promise<{ readonly type: ObjectType; readonly size: number } | null> {
    return await this.#retried(async (list) => {
      if (this.#readsThroughGit(list)) {
        const answer = await this.#headers.ask(oid);
        if (answer.kind === "found") return { type: answer.type, size: answer.size };
        if (answer.kind === "missing") return null;
        this.#noteMissingGit();
      }
      const object = await this.#readInMemory(list, oid);
      return object === null ? null : { type: object.type, size: object.body.length };
    });
  }

  async close(): Promise<void> {
    await Promise.all([this.#contents.close(), this.#headers.close()]);
    this.#list = null;
  }

  async #retried<T>(look: (list: PackList) => Promise<T | null>): Promise<T | null> {
    let list = this.#current();
    for (let tries = 1;; tries += 1) {
      let failure: unknown = null;
      try {
        const found = list.packBytes === 0 ? null : await look(list);
        if (found !== null) return found;
      } catch (error) {
        failure = error;
      }
      // gc beside our folds can take the next list away as it took this one.
      const fresh = this.#reread(list);
      if (fresh === list || tries === LOOKS_MAX) {
        if (failure !== null) throw failure;
        return null;
      }
      list = fresh;
    }
  }

  async #readFrom(list: PackList, oid: ObjectId): Promise<GitObject | null> {
    if (this.#readsThroughGit(list)) {
      const answer = await this.#contents.ask(oid);
      if (answer.kind === "found") return { type: answer.type, body: answer.body };
      if (answer.kind === "missing") return null;
      this.#noteMissingGit();
    }
    return await this.#readInMemory(list, oid);
  }

  async #readInMemory(list: PackList, oid: ObjectId): Promise<GitObject | null> {
    try {
      // Loaded by the first repository with packs: a start need not wait for it.
      const { isomorphicClient, readObject } = await import("./isomorphic_client.ts");
      list.client ??= isomorphicClient(list.view);
      const { type, object } = await readObject({
        fs: list.client,
        cache: list.cache,
        gitdir: VIRTUAL_GIT_DIR,
        oid,
        format: "content",
      });
      if (type === undefined || !isObjectType(type) || !(object instanceof Uint8Array)) {
        throw new LayerdError("git_error", `Object ${oid} has the unknown type ${type}`);
      }
      return { type, body: new Uint8Array(object) };
    } catch (error) {
      if (error instanceof LayerdError) throw error;
      if (error instanceof Error && "code" in error && error.code === "NotFoundError") return null;
      const text = `Object ${oid} cannot be read from its pack: ${messageOf(error)}`;
      throw new LayerdError("git_error", text, {}, error);
    }
  }

  #readsThroughGit(list: PackList): boolean {
    return list.packBytes > PACK_IN_MEMORY_BYTES_MAX && !this.#gitIsMissing;
  }

  #noteMissingGit(): void {
    this.#gitIsMissing = true;
    logger.warn("git cannot be used to read packs of {packs}: they are read into memory", {
      packs: this.#packDirs,
    });
  }

  /** The list as last read, or read again where a directory's stat data changed. */
  #current(): PackList {
    const signature = this.#signature();
    if (this.#list?.signature === signature) return this.#list;
    const fresh = this.#readList(signature);
    // Kept packs come and go with every group: what is known of the others stays.
    const same = this.#list !== null && namesAlike(this.#list, fresh);
    this.#list = same && this.#list ? { ...this.#list, signature } : fresh;
    return this.#list;
  }

  /** The same list where its names did not change, else a new one without old caches. */
  #reread(list: PackList): PackList {
    const fresh = this.#readList(this.#signature());
    if (namesAlike(list, fresh)) return list;
    this.#list = fresh;
    return fresh;
  }

  #signature(): string {
    return this.#packDirs.map((directory) => {
      const info = this.#fs.lstatIfAny(directory);
      return info === null ? "-" : `${info.inode}:${info.modifiedMs}`;
    }).join(" ");
  }

  #readList(signature: string): PackList {
    const files = new Map<string, string>();
    const elsewhere = this.#elsewhere();
    let packBytes = 0;
    for (const directory of this.#packDirs) {
      const names = this.#namesIn(directory);
      for (const name of names) {
        if (!name.endsWith(".idx") || files.has(name)) continue;
        if (elsewhere.has(name.slice(0, -".idx".length))) continue;
        const pack = name.replace(/idx$/, "pack");
        const info = names.has(pack) ? this.#fs.lstatIfAny(`${directory}/${pack}`) : null;
        if (info === null) continue;
        files.set(name, `${directory}/${name}`);
        files.set(pack, `${directory}/${pack}`);
        packBytes += info.size;
      }
    }
    const view = packView(this.#fs, files);
    return { files, packBytes, signature, cache: {}, view, client: null };
  }

  #namesIn(directory: string): Set<string> {
    try {
      return new Set(this.#fs.readDirectory(directory).map((entry) => entry.name));
    } catch (error) {
      const code = errorCode(error);
      if (code === "ENOENT" || code === "ENOTDIR") return new Set();
      throw error;
    }
  }
}

function namesAlike(one: PackList, other: PackList): boolean {
  return one.files.size === other.files.size &&
    [...one.files].every(([name, path]) => other.files.get(name) === path);
}

/** The packs, and nothing else, as isomorphic-git wants to see a file system. */
function packView(
  fs: FileSystem,
  files: ReadonlyMap<string, string>,
): PromiseFsClient["promises"] {
  const packDir = `${VIRTUAL_GIT_DIR}/objects/pack`;
  const absent = (path: string): Promise<never> => Promise.reject(nodeError("ENOENT", path));
  const refused = (path: string): Promise<never> => Promise.reject(nodeError("EROFS", path));
  return {
    // deno-lint-ignore require-await -- a failure must be a rejection
    readFile: async (path: string) => {
      const place = path.startsWith(`${packDir}/`) && files.get(path.slice(packDir.length + 1));
      if (!place) throw nodeError("ENOENT", path);
      try {
        return fs.readFile(place);
      } catch (error) {
        throw nodeError(errorCode(error) ?? "EIO", place);
      }
    },
    readdir: (path: string) => path === packDir ? Promise.resolve([...files.keys()]) : absent(path),
    stat: absent,
    lstat: absent,
    readlink: absent,
    writeFile: refused,
    mkdir: refused,
    rmdir: refused,
    unlink: refused,
    symlink: refused,
  };
}
