/**
 * Packs of large transactions: version 2, whole objects without deltas, with an index of
 * version 2 (formats: git's gitformat-pack).
 *
 * P1. Content that stands in a file is streamed, never whole in memory, and its hash is
 *     compared with its id on the way.
 * P2. Both files are written aside (`tmp_pack_*`, `tmp_idx_*`), fsynced, then hard-linked
 *     into `layerd/pending/` and last into `objects/pack/`: the `.pack` first, since git
 *     takes a pack for complete once its `.idx` is there. Directories are fsynced.
 * P3. The pending links keep the bytes when `git repack -ad` drops the pack because no ref
 *     reaches it yet; they go at a checkpoint.
 */
import { createHash } from "node:crypto";
import { constants, crc32, createDeflate, deflateSync } from "node:zlib";
import { LayerdError } from "../core/errors.ts";
import type { ObjectId } from "../core/ids.ts";
import { errorCode, type FileHandle, type FileSystem } from "../system/file_system.ts";
import { objectHeader, objectId } from "./object_codec.ts";
import type { NewObject, ObjectType } from "./repository.ts";
import { sharedMode, type SharedRepository, shareWithGroup } from "./shared_permissions.ts";

const CHUNK_BYTES = 1024 * 1024;
const TYPE_NUMBERS: Readonly<Record<ObjectType, number>> = { commit: 1, tree: 2, blob: 3, tag: 4 };
/** Offsets from here on stand in the index's second table. */
const LARGE_OFFSET = 2 ** 31;

export interface PackPlace {
  readonly fileSystem: FileSystem;
  readonly objectsDir: string;
  readonly pendingDir: string;
  readonly shared: SharedRepository;
}

interface PackedEntry {
  readonly oid: ObjectId;
  readonly offset: number;
  readonly crc: number;
}

/** Writes the objects as one pack; answers its name (`pack-<checksum>`). Durable when resolved. */
export async function writePack(
  place: PackPlace,
  objects: readonly NewObject[],
  unique: string,
): Promise<string> {
  const { fileSystem: fs, objectsDir, pendingDir } = place;
  const packDir = `${objectsDir}/pack`;
  makePackDirectory(place, packDir);
  const temporaryPack = `${packDir}/tmp_pack_${unique}`;
  const temporaryIndex = `${packDir}/tmp_idx_${unique}`;
  try {
    const { entries, checksum } = await writePackFile(fs, temporaryPack, objects);
    await writeIndexFile(fs, temporaryIndex, entries, checksum);
    const name = `pack-${checksum.toHex()}`;
    const files = [[temporaryPack, "pack"], [temporaryIndex, "idx"]] as const;
    for (const [temporary] of files) {
      fs.chmod(temporary, sharedMode(place.shared, "file", fs.lstat(temporary).mode & 0o444));
    }
    for (const directory of [pendingDir, packDir]) {
      for (const [temporary, kind] of files) {
        linkUnlessThere(fs, temporary, `${directory}/${name}.${kind}`);
      }
      await fs.syncDirectory(directory);
    }
    return name;
  } finally {
    for (const path of [temporaryPack, temporaryIndex]) {
      if (fs.lstatIfAny(path) !== null) fs.unlink(path);
    }
  }
}

/** A pack's name is the hash of its content, so a file of that name is the same file. */
export function linkUnlessThere(fs: FileSystem, from: string, to: string): void {
  try {
    fs.link(from, to);
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
  }
}

function makePackDirectory({ fileSystem, shared }: PackPlace, packDir: string): void {
  try {
    fileSystem.makeDirectory(packDir);
    shareWithGroup(fileSystem, packDir, shared);
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
  }
}

async function writePackFile(
  fs: FileSystem,
  path: string,
  objects: readonly NewObject[],
): Promise<{ readonly entries: readonly PackedEntry[]; readonly checksum: Uint8Array }> {
  const handle = fs.open(path, { write: true, createNew: true });
  try {
    const output = new PackOutput(handle);
    const start = new Uint8Array(12);
    const view = new DataView(start.buffer);
    view.setUint32(0, 0x5041434b); // PACK
    view.setUint32(4, 2);
    view.setUint32(8, objects.length);
    output.write(start);
    const entries: PackedEntry[] = [];
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

/** Type and size: three bits of type and four of size, then seven bits of size a byte. */
function entryHeader(type: ObjectType, size: number): Uint8Array {
  const bytes = [(TYPE_NUMBERS[type] << 4) | (size % 16)];
  for (let rest = Math.floor(size / 16); rest > 0; rest = Math.floor(rest / 128)) {
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) | 0x80;
    bytes.push(rest % 128);
  }
  return Uint8Array.from(bytes);
}

async function writeIndexFile(
  fs: FileSystem,
  path: string,
  entries: readonly PackedEntry[],
  packChecksum: Uint8Array,
): Promise<void> {
  const bytes = encodeIndex(entries, packChecksum);
  fs.writeNewFile(path, bytes);
  await fs.syncFile(path);
}

/** Fan-out, ids, CRCs, offsets (and large ones), the pack's checksum, our own. */
function encodeIndex(entries: readonly PackedEntry[], packChecksum: Uint8Array): Uint8Array {
  const sorted = entries.toSorted((a, b) => (a.oid < b.oid ? -1 : 1));
  const large = sorted.filter((entry) => entry.offset >= LARGE_OFFSET);
  const idsAt = 8 + 256 * 4;
  const crcsAt = idsAt + sorted.length * 20;
  const offsetsAt = crcsAt + sorted.length * 4;
  const largeAt = offsetsAt + sorted.length * 4;
  const checksumAt = largeAt + large.length * 8;
  const bytes = new Uint8Array(checksumAt + 40);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0xff744f63);
  view.setUint32(4, 2);
  sorted.forEach((entry, index) => {
    const id = Uint8Array.fromHex(entry.oid);
    bytes.set(id, idsAt + index * 20);
    view.setUint32(crcsAt + index * 4, entry.crc);
    const place = entry.offset < LARGE_OFFSET ? entry.offset : LARGE_OFFSET + large.indexOf(entry);
    view.setUint32(offsetsAt + index * 4, place);
    // Each slot counts the ids up to its first byte; sorted, the last write is the count.
    view.setUint32(8 + (id[0] ?? 0) * 4, index + 1);
  });
  for (let slot = 1; slot < 256; slot += 1) {
    const before = view.getUint32(8 + (slot - 1) * 4);
    if (view.getUint32(8 + slot * 4) === 0) view.setUint32(8 + slot * 4, before);
  }
  large.forEach((entry, index) => view.setBigUint64(largeAt + index * 8, BigInt(entry.offset)));
  bytes.set(packChecksum, checksumAt);
  const own = createHash("sha1").update(bytes.subarray(0, checksumAt + 20)).digest();
  bytes.set(own, checksumAt + 20);
  return bytes;
}
