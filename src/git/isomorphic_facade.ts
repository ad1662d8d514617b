/**
 * The file system that isomorphic-git sees: staged objects in memory first, the repository's
 * objects beneath, and the refs it was given. It reads and writes nothing itself; objects
 * come through the ObjectStore, so alternates, large packs and `gc` beside us are taken care of.
 *
 * V1. Nothing that isomorphic-git writes reaches the repository. Objects become staged
 *     objects, what it writes under `refs/` becomes captured refs, and anything else is EROFS.
 * V2. It sees the refs it was given and those it wrote, no others: a call works on one
 *     snapshot. `index`, `packed-refs` and packs do not exist.
 * V3. A loose object is handed out as a stored (not compressed) zlib stream: isomorphic-git
 *     inflates and checks it again, and compressing it would be the dearest part.
 * V4. Errors carry Node's codes, which isomorphic-git's control flow depends on.
 *
 * Give each use its own facade and its own `cache`: isomorphic-git's cache never evicts.
 */
import { deflateSync } from "node:zlib";
import type { FsClient, PromiseFsClient } from "isomorphic-git";
import { LayerdError } from "../core/errors.ts";
import { isObjectId, type ObjectId, type RefName } from "../core/ids.ts";
import { errorCode, type FileSystem } from "../system/file_system.ts";
import type { RepositoryLayout } from "./gate.ts";
import { isomorphicClient } from "./isomorphic_client.ts";
import { nodeError } from "./node_error.ts";
import { decodeLoose, objectHeader } from "./object_codec.ts";
import type { GitObject, NewObject, ObjectStore } from "./repository.ts";

/** `gitdir` for isomorphic-git's calls; no path of the machine. */
export const FACADE_GIT_DIR = "/repository";

/** Files of the common directory that isomorphic-git may read. */
const READABLE_FILES = new Set(["config", "shallow"]);
const LOOSE_OBJECT = /^objects\/([0-9a-f]{2})\/([0-9a-f]{38})$/;

export interface FacadeParts {
  readonly fileSystem: FileSystem;
  readonly layout: Pick<RepositoryLayout, "commonDir">;
  readonly objects: Pick<ObjectStore, "read" | "header">;
  /** What the refs are for this use. */
  readonly refs: ReadonlyMap<RefName, ObjectId>;
  /** Objects that a transaction has made and not written yet. */
  readonly staged: readonly NewObject[];
}

/** What a path below the facade's git directory is. */
type Place =
  | { readonly kind: "object"; readonly oid: ObjectId }
  | { readonly kind: "ref"; readonly name: string }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "absent" };

export class RepositoryFacade {
  readonly #parts: FacadeParts;
  readonly #staged = new Map<ObjectId, NewObject>();
  readonly #made = new Map<ObjectId, NewObject>();
  readonly #refs: Map<string, string>;
  readonly #captured = new Map<string, ObjectId | null>();
  /** Hand this to isomorphic-git as `fs`, with `gitdir: FACADE_GIT_DIR`. */
  readonly fs: FsClient;

  constructor(parts: FacadeParts) {
    this.#parts = parts;
    this.#refs = new Map([...parts.refs].map(([ref, oid]) => [ref, `${oid}\n`]));
    for (const object of parts.staged) this.#staged.set(object.oid, object);
    this.fs = isomorphicClient(this.#client());
  }

  /** Objects that isomorphic-git wrote. */
  get objects(): readonly NewObject[] {
    return [...this.#made.values()];
  }

  /** Refs that isomorphic-git wrote, null for those it removed. */
  get refs(): ReadonlyMap<string, ObjectId | null> {
    return this.#captured;
  }

  #client(): PromiseFsClient["promises"] {
    const refused = (path: string): Promise<never> => Promise.reject(nodeError("EROFS", path));
    return {
      readFile: (path: string, options?: unknown) => this.#readFile(path, options),
      // deno-lint-ignore require-await -- a failure must be a rejection
      writeFile: async (path: string, data: Uint8Array | string) => this.#writeFile(path, data),
      // deno-lint-ignore require-await -- a failure must be a rejection
      unlink: async (path: string) => this.#unlink(path),
      // deno-lint-ignore require-await -- a failure must be a rejection
      readdir: async (path: string) => this.#readdir(path),
      stat: (path: string) => this.#stat(path),
      lstat: (path: string) => this.#stat(path),
      readlink: (path: string): Promise<never> => Promise.reject(nodeError("EINVAL", path)),
      // Directories have no being of their own here.
      mkdir: () => Promise.resolve(),
      rmdir: () => Promise.resolve(),
      symlink: (_target: string, path: string) => refused(path),
      chmod: (path: string) => refused(path),
    };
  }

  #placeOf(path: string): Place {
    if (!path.startsWith(`${FACADE_GIT_DIR}/`)) return { kind: "absent" };
    const inside = path.slice(FACADE_GIT_DIR.length + 1);
    const match = inside.match(LOOSE_OBJECT);
    const oid = `${match?.[1] ?? ""}${match?.[2] ?? ""}`;
    if (match && isObjectId(oid)) return { kind: "object", oid };
    if (inside.startsWith("refs/") || inside === "HEAD") return { kind: "ref", name: inside };
    if (READABLE_FILES.has(inside)) {
      return { kind: "file", path: `${this.#parts.layout.commonDir}/${inside}` };
    }
    return { kind: "absent" };
  }

  async #readFile(path: string, options: unknown): Promise<Uint8Array | string> {
    const bytes = await this.#bytesAt(path);
    return wantsText(options) ? new TextDecoder().decode(bytes) : bytes;
  }

  async #bytesAt(path: string): Promise<Uint8Array> {
    const place = this.#placeOf(path);
    switch (place.kind) {
      case "object": {
        const object = await this.#object(place.oid);
        if (object !== null) return storedStream(object);
        break;
      }
      case "ref": {
        const text = this.#refs.get(place.name);
        if (text !== undefined) return new TextEncoder().encode(text);
        break;
      }
      case "file":
        return this.#readThrough(place.path);
      case "absent":
        break;
    }
    throw nodeError("ENOENT", path);
  }

  #readThrough(path: string): Uint8Array {
    try {
      return this.#parts.fileSystem.readFile(path);
    } catch (error) {
      throw nodeError(errorCode(error) ?? "EIO", path);
    }
  }

  async #object(oid: ObjectId): Promise<GitObject | null> {
    const staged = this.#staged.get(oid);
    if (staged === undefined) return await this.#parts.objects.read(oid);
    const body = "body" in staged ? staged.body : this.#parts.fileSystem.readFile(staged.file);
    return { type: staged.type, body };
  }

  #writeFile(path: string, data: Uint8Array | string): void {
    const place = this.#placeOf(path);
    if (place.kind === "object") this.#capture(place.oid, data);
    else if (place.kind === "ref") this.#captureRef(place.name, data);
    else throw nodeError("EROFS", path);
  }

  #capture(oid: ObjectId, data: Uint8Array | string): void {
    const object = typeof data === "string" ? null : decodeLoose(oid, data);
    if (object === null) {
      throw new LayerdError("git_error", `isomorphic-git wrote a damaged object ${oid}`);
    }
    const made: NewObject = { oid, type: object.type, body: object.body };
    this.#staged.set(oid, made);
    this.#made.set(oid, made);
  }

  #captureRef(name: string, data: Uint8Array | string): void {
    const text = typeof data === "string" ? data : new TextDecoder().decode(data);
    const oid = text.trim();
    if (!name.startsWith("refs/") || !isObjectId(oid)) throw nodeError("EROFS", name);
    this.#refs.set(name, text);
    this.#captured.set(name, oid);
  }

  #unlink(path: string): void {
    const place = this.#placeOf(path);
    if (place.kind !== "ref") throw nodeError("EROFS", path);
    if (!this.#refs.delete(place.name)) throw nodeError("ENOENT", path);
    this.#captured.set(place.name, null);
  }

  /** Refs are the only directories that can be listed. */
  #readdir(path: string): string[] {
    const prefix = `${path.slice(FACADE_GIT_DIR.length + 1)}/`;
    const names = new Set<string>();
    for (const ref of this.#refs.keys()) {
      if (ref.startsWith(prefix)) names.add(ref.slice(prefix.length).split("/")[0] ?? "");
    }
    if (names.size > 0) return [...names].sort();
    if (path === `${FACADE_GIT_DIR}/objects/pack`) return [];
    throw nodeError(this.#refs.has(prefix.slice(0, -1)) ? "ENOTDIR" : "ENOENT", path);
  }

  async #stat(path: string) {
    const place = this.#placeOf(path);
    if (place.kind === "object") {
      const there = this.#staged.has(place.oid) ||
        await this.#parts.objects.header(place.oid) !== null;
      if (!there) throw nodeError("ENOENT", path);
      return statOf("file", 0);
    }
    if (path === FACADE_GIT_DIR || this.#isRefDirectory(path)) return statOf("directory", 0);
    return statOf("file", (await this.#bytesAt(path)).length);
  }

  #isRefDirectory(path: string): boolean {
    const prefix = `${path.slice(FACADE_GIT_DIR.length + 1)}/`;
    return [...this.#refs.keys()].some((ref) => ref.startsWith(prefix));
  }
}

function wantsText(options: unknown): boolean {
  if (typeof options === "string") return true;
  return typeof options === "object" && options !== null && "encoding" in options &&
    options.encoding !== undefined;
}

function storedStream({ type, body }: GitObject): Uint8Array {
  const header = objectHeader(type, body.length);
  const whole = new Uint8Array(header.length + body.length);
  whole.set(header);
  whole.set(body, header.length);
  return deflateSync(whole, { level: 0 });
}

function statOf(kind: "file" | "directory", size: number) {
  return {
    size,
    mode: kind === "file" ? 0o100644 : 0o040755,
    mtimeMs: 0,
    ctimeMs: 0,
    uid: 0,
    gid: 0,
    dev: 0,
    ino: 0,
    isFile: () => kind === "file",
    isDirectory: () => kind === "directory",
    isSymbolicLink: () => false,
  };
}
