/**
 * Objects of one repository: its own and its alternates', loose and packed.
 *
 * S1. What read() answers has the hash that its id says. A damaged loose file is passed over
 *     where a pack or an alternate holds the object, as git does.
 * S2. What a transaction writes stands in a pack of our own object directory that native gc
 *     leaves alone until its refs have moved, also where git has the same object elsewhere.
 * S3. Small transactions' objects share a kept pack a group (kept_packs.ts) and are durable
 *     through the log record until makeDurable(). A large transaction's pack is durable at
 *     once, and kept by a `.keep` and by links in `layerd/pending/` until then.
 */
import { LayerdError } from "../core/errors.ts";
import type { ObjectId } from "../core/ids.ts";
import {
  CACHE_ENTRY_BYTES,
  OBJECT_CACHE_BYTES_MAX,
  RECORDED_BYTES_PER_TRANSACTION_MAX,
  RECORDED_OBJECTS_PER_TRANSACTION_MAX,
} from "../core/limits.ts";
import type { ObjectType, PackedObject, WrittenObjects } from "../core/log_record.ts";
import type { Clock } from "../system/clock.ts";
import { errorCode, type FileSystem } from "../system/file_system.ts";
import type { Random } from "../system/random.ts";
import type { RepositoryLayout } from "./gate.ts";
import { KeptPackFiles } from "./kept_pack_files.ts";
import { KeptPacks } from "./kept_packs.ts";
import { loosePath, readLoose, readLooseHeader, sweepTemporaries } from "./loose_objects.ts";
import { LruMap } from "./lru_map.ts";
import type { MadeDurable } from "./made_durable.ts";
import { EMPTY_TREE_ID, objectId } from "./object_codec.ts";
import { OwnPacks } from "./own_packs.ts";
import { packObject, unpackBody } from "./pack_format.ts";
import { PackReader } from "./pack_reader.ts";
import { WriteWatch } from "./write_watch.ts";
import type { GitObject, NewObject, ObjectStore, WrittenBy } from "./repository.ts";

export class RepositoryObjects implements ObjectStore {
  /** What writing refs comes to is noted here too. */
  readonly writes: WriteWatch;
  readonly #fs: FileSystem;
  readonly #layout: RepositoryLayout;
  readonly #random: Random;
  readonly #directories: readonly string[];
  readonly #files: KeptPackFiles;
  readonly #kept: KeptPacks;
  readonly #own: OwnPacks;
  readonly #packs: PackReader;
  #turns: Promise<void> = Promise.resolve();
  /** Calls that wait for the disk or for their turn. */
  #makingDurable = 0;
  /** Objects that were read from kept packs, by id: their content never changes. */
  readonly #recent = new LruMap<ObjectId, GitObject>(
    OBJECT_CACHE_BYTES_MAX,
    ({ body }) => body.length + CACHE_ENTRY_BYTES,
  );

  constructor(fs: FileSystem, clock: Clock, layout: RepositoryLayout, random: Random) {
    this.writes = new WriteWatch(fs, random, layout);
    this.#fs = fs;
    this.#layout = layout;
    this.#random = random;
    this.#directories = [layout.objectsDir, ...layout.alternates];
    this.#files = new KeptPackFiles(fs, clock, layout, random.bytes(6).toHex());
    this.#kept = new KeptPacks(this.#files);
    this.#own = new OwnPacks(fs, layout, this.#files);
    this.#packs = new PackReader(fs, layout, () => this.#kept.names());
  }

  /** Once, before anything is written. Requires the repository's `layerd/`. */
  prepare(): Promise<void> {
    return this.#files.prepare();
  }

  async read(oid: ObjectId): Promise<GitObject | null> {
    const kept = this.#readKept(oid);
    if (kept !== null) return kept;
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
    const kept = this.#kept.find(oid);
    if (kept !== null && this.#fs.lstatIfAny(kept.path) !== null) {
      return { type: kept.type, size: kept.size };
    }
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
      unique.length <= RECORDED_OBJECTS_PER_TRANSACTION_MAX &&
      bytes <= RECORDED_BYTES_PER_TRANSACTION_MAX
    ) {
      return { kind: "recorded", objects: unique.map((object) => this.#packed(object)) };
    }
    const name = await this.writes.duringLong(() =>
      this.#own.write(unique, this.#random.bytes(6).toHex())
    );
    return { kind: "pack", name };
  }

  place(all: readonly WrittenBy[]): void {
    const placements = all.flatMap(({ holder, written }) =>
      written.kind === "recorded" ? [{ holder, objects: written.objects }] : []
    );
    this.writes.during(() => this.#kept.place(placements));
    for (const { holder, written } of all) {
      if (written.kind === "pack") this.#own.hold(holder, written.name);
    }
  }

  release(holder: string): void {
    this.#kept.release(holder);
    this.#own.release(holder);
  }

  tidyPacks(): void {
    if (this.#makingDurable === 0) this.#kept.foldSmall();
  }

  restoreMissing(all: readonly WrittenObjects[]): void {
    for (const written of all) if (written.kind === "pack") this.#own.relink(written.name);
    this.#kept.restoreMissing(
      all.flatMap((written) => written.kind === "recorded" ? written.objects : []),
    );
  }

  makeDurable(): Promise<MadeDurable> {
    return this.#inTurn(async () => {
      await this.#own.makeDurable();
      return await this.#kept.makeDurable();
    });
  }

  surrender(): Promise<void> {
    return this.#inTurn(async () => {
      this.#own.releaseAll();
      await this.#own.makeDurable();
      await this.#kept.surrender();
      // What was removed must not come back once nobody looks after it.
      await this.#files.syncDirectories();
    });
  }

  isDurable(): boolean {
    return this.#kept.isDurable();
  }

  discard(written: WrittenObjects): void {
    if (written.kind === "pack") this.#own.drop(written.name);
  }

  adopt(): void {
    this.#kept.adopt();
  }

  sweep(pending: ReadonlySet<string>): void {
    sweepTemporaries(this.#fs, this.#layout.objectsDir);
    this.#own.sweep(pending);
    this.#files.sweepKeeps(pending);
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

  /** One at a time, and nothing folded beside it: what one has listed must be there. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    this.#makingDurable += 1;
    const done = this.#turns.then(work).finally(() => this.#makingDurable -= 1);
    this.#turns = done.then(() => undefined, () => undefined);
    return done;
  }

  #packed(object: NewObject): PackedObject {
    const body = "body" in object ? object.body : this.#fs.readFile(object.file);
    if (objectId(object.type, body) !== object.oid) {
      throw new LayerdError("io_error", `Object ${object.oid} is not what its bytes hash to`);
    }
    return packObject(object.oid, object.type, body);
  }

  /** From one of our kept packs; null where none holds it, or somebody removed that pack. */
  #readKept(oid: ObjectId): GitObject | null {
    const place = this.#kept.find(oid);
    if (place === null) return null;
    const cached = this.#recent.get(oid);
    if (cached !== undefined) return cached;
    let bytes: Uint8Array;
    try {
      bytes = this.#readRange(place.path, place.start, place.length);
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
      return null;
    }
    const body = unpackBody(bytes);
    if (objectId(place.type, body) !== oid) throw damagedObject(oid, place.path);
    const object = { type: place.type, body };
    this.#recent.set(oid, object);
    return object;
  }

  #readRange(path: string, start: number, length: number): Uint8Array {
    const handle = this.#fs.open(path, { read: true });
    try {
      const bytes = new Uint8Array(length);
      let read = 0;
      while (read < length) {
        const count = handle.readAt(bytes.subarray(read), start + read);
        if (count === 0) break;
        read += count;
      }
      return bytes.subarray(0, read);
    } finally {
      handle.close();
    }
  }
}

function sizeOf(object: NewObject): number {
  return "body" in object ? object.body.length : object.size;
}

function damagedObject(oid: ObjectId, path: string): LayerdError {
  return new LayerdError("git_error", `Object ${oid} is damaged: see ${path}`);
}
