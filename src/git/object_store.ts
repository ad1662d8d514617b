/**
 * Objects of one repository: its own and its alternates', loose and packed.
 *
 * S1. What read() answers has the hash that its id says. A damaged loose file is passed over
 *     where a pack or an alternate holds the object, as git does.
 * S2. write() leaves each object complete in our own object directory. "Already there" was
 *     read and checked once by this process; where an object stands in a pack or an
 *     alternate only, a loose copy is written, so that nobody else's gc can take it.
 * S3. Loose objects are durable through the log record until makeDurable(); packs are
 *     durable at once and kept by links in `layerd/pending/` until then.
 */
import { Buffer } from "node:buffer";
import { getLogger } from "@logtape/logtape";
import { LayerdError } from "../core/errors.ts";
import type { ObjectId } from "../core/ids.ts";
import {
  LOOSE_BYTES_PER_TRANSACTION_MAX,
  LOOSE_OBJECTS_PER_TRANSACTION_MAX,
  OBJECT_SYNCS_MAX,
  VERIFIED_OBJECTS_MAX,
} from "../core/limits.ts";
import type { LooseFile, WrittenObjects } from "../core/log_record.ts";
import { errorCode, type FileSystem } from "../system/file_system.ts";
import type { Random } from "../system/random.ts";
import type { RepositoryLayout } from "./gate.ts";
import {
  loosePath,
  LooseWriter,
  readLoose,
  readLooseFile,
  readLooseHeader,
  sweepTemporaries,
} from "./loose_objects.ts";
import { LruMap } from "./lru_map.ts";
import { decodeLoose, EMPTY_TREE_ID, encodeLoose, objectId } from "./object_codec.ts";
import { PackReader } from "./pack_reader.ts";
import { linkUnlessThere, writePack } from "./pack_writer.ts";
import type { GitObject, NewObject, ObjectStore, ObjectType } from "./repository.ts";

const logger = getLogger(["layerd", "git"]);
const PACK_SUFFIXES = ["pack", "idx"] as const;

export class RepositoryObjects implements ObjectStore {
  readonly #fs: FileSystem;
  readonly #layout: RepositoryLayout;
  readonly #random: Random;
  readonly #directories: readonly string[];
  readonly #loose: LooseWriter;
  readonly #packs: PackReader;
  /** Loose objects of our own directory that were read and checked, or written, here. */
  readonly #verified = new LruMap<ObjectId, true>(VERIFIED_OBJECTS_MAX, () => 1);

  constructor(fs: FileSystem, layout: RepositoryLayout, random: Random) {
    this.#fs = fs;
    this.#layout = layout;
    this.#random = random;
    this.#directories = [layout.objectsDir, ...layout.alternates];
    const unique = random.bytes(6).toHex();
    this.#loose = new LooseWriter(fs, layout.objectsDir, layout.shared, `${unique}_`);
    this.#packs = new PackReader(fs, layout);
  }

  async read(oid: ObjectId): Promise<GitObject | null> {
    let damaged: string | null = null;
    for (const directory of this.#directories) {
      const found = readLoose(this.#fs, directory, oid);
      if (found === "damaged") damaged ??= loosePath(directory, oid);
      else if (found !== "missing") return found;
    }
    const packed = await this.#packs.read(oid);
    if (packed !== null) return packed;
    if (oid === EMPTY_TREE_ID) return { type: "tree", body: new Uint8Array(0) };
    if (damaged !== null) throw damagedObject(oid, damaged);
    // git may have unpacked it between the two looks.
    const late = readLoose(this.#fs, this.#layout.objectsDir, oid);
    return late === "missing" || late === "damaged" ? null : late;
  }

  async header(
    oid: ObjectId,
  ): Promise<{ readonly type: ObjectType; readonly size: number } | null> {
    let damaged: string | null = null;
    for (const directory of this.#directories) {
      const found = readLooseHeader(this.#fs, directory, oid);
      if (found === "damaged") damaged ??= loosePath(directory, oid);
      else if (found !== "missing") return found;
    }
    const packed = await this.#packs.header(oid);
    if (packed !== null) return packed;
    if (oid === EMPTY_TREE_ID) return { type: "tree", size: 0 };
    if (damaged !== null) throw damagedObject(oid, damaged);
    const late = readLooseHeader(this.#fs, this.#layout.objectsDir, oid);
    return late === "missing" || late === "damaged" ? null : late;
  }

  async write(objects: readonly NewObject[]): Promise<WrittenObjects> {
    const unique = [...new Map(objects.map((object) => [object.oid, object])).values()];
    const bytes = unique.reduce((sum, object) => sum + sizeOf(object), 0);
    if (
      unique.length <= LOOSE_OBJECTS_PER_TRANSACTION_MAX && bytes <= LOOSE_BYTES_PER_TRANSACTION_MAX
    ) {
      return { kind: "loose", files: unique.map((object) => this.#writeLoose(object)) };
    }
    const place = {
      fileSystem: this.#fs,
      objectsDir: this.#layout.objectsDir,
      pendingDir: this.#pendingDir,
      shared: this.#layout.shared,
    };
    const name = await writePack(place, unique, this.#random.bytes(6).toHex());
    return { kind: "pack", name };
  }

  // deno-lint-ignore require-await -- a failure must be a rejection
  async restore(written: WrittenObjects): Promise<void> {
    if (written.kind === "pack") return this.#relinkPack(written.name);
    for (const file of written.files) {
      const there = readLooseFile(this.#fs, this.#layout.objectsDir, file.oid);
      // The record's bytes were checked with its frame: the same bytes need no inflating.
      if (there !== null && Buffer.compare(there, file.bytes) === 0) continue;
      if (there === null || decodeLoose(file.oid, there) === null) this.#putLoose(file);
    }
  }

  // deno-lint-ignore require-await -- a failure must be a rejection
  async restoreMissing(written: WrittenObjects): Promise<void> {
    if (written.kind === "pack") return this.#relinkPack(written.name);
    for (const file of written.files) {
      // One that gc packed meanwhile is written again: harmless, and cheaper than to look.
      if (!this.#hasLoose(file.oid)) this.#putLoose(file);
    }
  }

  async makeDurable(written: readonly WrittenObjects[]): Promise<void> {
    const files = new Map<ObjectId, LooseFile>();
    const packs = new Set<string>();
    for (const one of written) {
      if (one.kind === "pack") packs.add(one.name);
      else for (const file of one.files) files.set(file.oid, file);
    }
    if (files.size > OBJECT_SYNCS_MAX) await this.#makeAllDurable([...files.values()]);
    else if (files.size > 0) {
      for (const file of files.values()) await this.#makeOneDurable(file);
      await this.#fs.syncDirectory(this.#layout.objectsDir);
    }
    for (const name of packs) await this.#makePackDurable(name);
  }

  discard(written: WrittenObjects): void {
    if (written.kind === "pack") this.#dropPending(written.name);
  }

  sweep(pending: ReadonlySet<string>): void {
    sweepTemporaries(this.#fs, this.#layout.objectsDir);
    for (const { name } of this.#fs.readDirectory(this.#pendingDir)) {
      const pack = name.replace(/\.(pack|idx)$/, "");
      if (!pending.has(pack)) this.#dropPending(pack);
    }
  }

  async syncAll(): Promise<void> {
    const synced = new Set<number>();
    for (const directory of this.#directories) {
      const { device } = this.#fs.stat(directory);
      if (synced.has(device)) continue;
      synced.add(device);
      await this.#fs.syncFileSystem(directory);
    }
  }

  /** Ends the processes that read packs. */
  async close(): Promise<void> {
    await this.#packs.close();
  }

  get #pendingDir(): string {
    return `${this.#layout.commonDir}/layerd/pending`;
  }

  #writeLoose(object: NewObject): LooseFile {
    const body = "body" in object ? object.body : this.#fs.readFile(object.file);
    if (objectId(object.type, body) !== object.oid) {
      throw new LayerdError("io_error", `Object ${object.oid} is not what its bytes hash to`);
    }
    const file = { oid: object.oid, bytes: encodeLoose(object.type, body) };
    if (!this.#isSound(object.oid)) this.#putLoose(file);
    return file;
  }

  /** Whether our own loose file is there and was checked, now or before. */
  #isSound(oid: ObjectId): boolean {
    if (this.#verified.get(oid)) return this.#hasLoose(oid);
    const found = readLoose(this.#fs, this.#layout.objectsDir, oid);
    if (found === "missing") return false;
    if (found === "damaged") {
      const path = loosePath(this.#layout.objectsDir, oid);
      logger.warn("Replaced the damaged object {path}", { path });
      return false;
    }
    this.#verified.set(oid, true);
    return true;
  }

  #hasLoose(oid: ObjectId): boolean {
    return this.#fs.lstatIfAny(loosePath(this.#layout.objectsDir, oid)) !== null;
  }

  #putLoose(file: LooseFile): void {
    this.#loose.write(file.oid, file.bytes);
    this.#verified.set(file.oid, true);
  }

  async #makeOneDurable(file: LooseFile): Promise<void> {
    try {
      await this.#loose.sync(file.oid);
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
      if (await this.#syncIfPacked([file.oid])) return;
      this.#putLoose(file);
      await this.#loose.sync(file.oid);
    }
  }

  async #makeAllDurable(files: readonly LooseFile[]): Promise<void> {
    for (const file of files) {
      if (this.#hasLoose(file.oid)) continue;
      if (await this.#packs.header(file.oid) === null) this.#putLoose(file);
    }
    await this.#fs.syncFileSystem(this.#layout.objectsDir);
  }

  /** git packed it meanwhile: whether git has synced that pack depends on its settings. */
  async #syncIfPacked(oids: readonly ObjectId[]): Promise<boolean> {
    for (const oid of oids) if (await this.#packs.header(oid) === null) return false;
    await this.#fs.syncFileSystem(this.#layout.objectsDir);
    return true;
  }

  #packPaths(name: string) {
    return PACK_SUFFIXES.map((suffix) => ({
      pending: `${this.#pendingDir}/${name}.${suffix}`,
      place: `${this.#layout.objectsDir}/pack/${name}.${suffix}`,
    }));
  }

  /** Puts the pack back where git dropped it. Without its pending link a checkpoint passed. */
  #relinkPack(name: string): void {
    const files = this.#packPaths(name);
    if (files.some(({ pending }) => this.#fs.lstatIfAny(pending) === null)) return;
    for (const { pending, place } of files) linkUnlessThere(this.#fs, pending, place);
  }

  async #makePackDurable(name: string): Promise<void> {
    this.#relinkPack(name);
    await this.#fs.syncDirectory(`${this.#layout.objectsDir}/pack`);
    this.#dropPending(name);
  }

  #dropPending(name: string): void {
    for (const { pending } of this.#packPaths(name)) {
      if (this.#fs.lstatIfAny(pending) !== null) this.#fs.unlink(pending);
    }
  }
}

function sizeOf(object: NewObject): number {
  return "body" in object ? object.body.length : object.size;
}

function damagedObject(oid: ObjectId, path: string): LayerdError {
  return new LayerdError("git_error", `Object ${oid} is damaged: see ${path}`);
}
