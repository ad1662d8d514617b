/**
 * Packs of large transactions: version 2, whole objects without deltas, with an index of
 * version 2 (formats: git's gitformat-pack).
 *
 * P1. Content that stands in a file is streamed, never whole in memory, and its hash is
 *     compared with its id on the way.
 * P2. Both files are written aside (`tmp_pack_*`, `tmp_idx_*`), fsynced, then hard-linked
 *     into `layerd/pending/` and last into `objects/pack/`: the `.pack` first, since git
 *     takes a pack for complete once its `.idx` is there. Directories are fsynced.
 * P3. A `.keep` stands beside the pack from before git sees it, so that no native
 *     `repack -ad` takes what no ref reaches yet. Whoever removes it all the same finds the
 *     bytes kept by the pending links. Both go at a checkpoint.
 */
import { createHash } from "node:crypto";
import { constants, crc32, createDeflate, deflateSync } from "node:zlib";
import { LayerdError } from "../core/errors.ts";
import type { ObjectId } from "../core/ids.ts";
import type { FileHandle, FileSystem } from "../system/file_system.ts";
import { objectHeader, objectId } from "./object_codec.ts";
import { linkUnlessThere, makePackDirectory } from "./pack_directory.ts";
import { encodeIndex, entryHeader, type IndexEntry, packStart } from "./pack_format.ts";
import type { NewObject } from "./repository.ts";
import { sharedMode, type SharedRepository } from "./shared_permissions.ts";

const CHUNK_BYTES = 1024 * 1024;

export interface PackPlace {
  readonly fileSystem: FileSystem;
  readonly objectsDir: string;
  readonly pendingDir: string;
  readonly shared: SharedRepository;
  /** Puts a `.keep` beside the pack of this name. */
  readonly keep: (name: string) => void;
}

/**
 * Writes the objects as one pack; answers its name, which no pack has had (kept_packs.ts, K1).
 * `unique` makes it so. Durable when resolved.
 */
export async function writePack(
  place: PackPlace,
  objects: readonly NewObject[],
  unique: string,
): Promise<string> {
  const { fileSystem: fs, objectsDir, pendingDir } = place;
  const packDir = `${objectsDir}/pack`;
  makePackDirectory(fs, packDir, place.shared);
  const temporaryPack = `${packDir}/tmp_pack_${unique}`;
  const temporaryIndex = `${packDir}/tmp_idx_${unique}`;
  try {
    const { entries, checksum } = await writePackFile(fs, temporaryPack, objects);
    await writeIndexFile(fs, temporaryIndex, entries, checksum);
    const name = `pack-${createHash("sha1").update(checksum).update(unique).digest("hex")}`;
    const files = [[temporaryPack, "pack"], [temporaryIndex, "idx"]] as const;
    for (const [temporary] of files) {
      fs.chmod(temporary, sharedMode(place.shared, "file", fs.lstat(temporary).mode & 0o444));
    }
    place.keep(name);
    for (const directory of [pendingDir, packDir]) {
      for (const [temporary, kind] of files) {
        linkUnlessThere(fs, temporary, `${directory}/${name}.${kind}`);
      }
      await fs.syncDirectory(directory);
    }
    await fs.syncDirectory(objectsDir);
    return name;
  } finally {
    for (const path of [temporaryPack, temporaryIndex]) {
      if (fs.lstatIfAny(path) !== null) fs.unlink(path);
    }
  }
}

async function writePackFile(
  fs: FileSystem,
  path: string,
  objects: readonly NewObject[],
): Promise<{ readonly entries: readonly IndexEntry[]; readonly checksum: Uint8Array }> {
  const handle = fs.open(path, { write: true, createNew: true });
  try {
    const output = new PackOutput(handle);
    output.write(packStart(objects.length));
    const entries: IndexEntry[] = [];
    for (const object of objects) {
      const offset = output.offset;
      output.beginEntry();
      await writeEntry(fs, output, object);
      entries.push({ oid: object.oid, offset, crc: output.entryCrc });
    }
    const checksum = output.checksum();
    output.write(checksum);
    output.flush();
    await handle.sync();
    return { entries, checksum };
  } finally {
    handle.close();
  }
}

/** Gathers small writes; counts the offset, the pack's hash and each entry's CRC. */
class PackOutput {
  readonly #handle: FileHandle;
  readonly #hash = createHash("sha1");
  #buffer: Uint8Array[] = [];
  #buffered = 0;
  #flushed = 0;
  entryCrc = 0;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  get offset(): number {
    return this.#flushed + this.#buffered;
  }

  beginEntry(): void {
    this.entryCrc = 0;
  }

  write(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.entryCrc = crc32(bytes, this.entryCrc);
    this.#buffer.push(bytes);
    this.#buffered += bytes.length;
    if (this.#buffered >= CHUNK_BYTES) this.flush();
  }

  flush(): void {
    const whole = new Uint8Array(this.#buffered);
    let at = 0;
    for (const bytes of this.#buffer) {
      whole.set(bytes, at);
      at += bytes.length;
    }
    this.#handle.writeAt(whole, this.#flushed);
    this.#flushed += whole.length;
    this.#buffer = [];
    this.#buffered = 0;
  }

  /** Of everything written before. */
  checksum(): Uint8Array {
    return this.#hash.copy().digest();
  }
}

async function writeEntry(fs: FileSystem, output: PackOutput, object: NewObject): Promise<void> {
  if ("body" in object) {
    checkHash(object.oid, objectId(object.type, object.body), "its bytes");
    output.write(entryHeader(object.type, object.body.length));
    output.write(deflateSync(object.body, { level: constants.Z_BEST_SPEED }));
    return;
  }
  output.write(entryHeader(object.type, object.size));
  const hash = createHash("sha1").update(objectHeader(object.type, object.size));
  const deflate = createDeflate({ level: constants.Z_BEST_SPEED });
  const deflated = (async () => {
    for await (const chunk of deflate) output.write(chunk);
  })();
  try {
    for (const chunk of chunksOf(fs, object.file)) {
      hash.update(chunk);
      if (!deflate.write(chunk)) {
        // A failed stream never drains; its error then ends the wait.
        const drained = new Promise<void>((resolve) => deflate.once("drain", () => resolve()));
        await Promise.race([drained, deflated]);
      }
    }
    deflate.end();
  } catch (error) {
    deflate.destroy();
    await deflated.catch(() => undefined);
    throw error;
  }
  await deflated;
  checkHash(object.oid, hash.digest("hex"), object.file);
}

function checkHash(expected: ObjectId, actual: string, source: string): void {
  if (actual === expected) return;
  throw new LayerdError("io_error", `Blob ${expected} is not what ${source} holds (${actual})`);
}

function* chunksOf(fs: FileSystem, path: string): Generator<Uint8Array> {
  const handle = fs.open(path, { read: true });
  try {
    for (let position = 0;;) {
      // A fresh buffer each time: the stream keeps the one before until it is compressed.
      const buffer = new Uint8Array(CHUNK_BYTES);
      const count = handle.readAt(buffer, position);
      if (count === 0) return;
      position += count;
      yield buffer.subarray(0, count);
    }
  } finally {
    handle.close();
  }
}

async function writeIndexFile(
  fs: FileSystem,
  path: string,
  entries: readonly IndexEntry[],
  packChecksum: Uint8Array,
): Promise<void> {
  const bytes = encodeIndex(entries, packChecksum);
  fs.writeNewFile(path, bytes);
  await fs.syncFile(path);
}
