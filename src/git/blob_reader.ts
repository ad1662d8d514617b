/**
 * Contents and sizes of blobs for those who show them. Blobs are immutable and named by their
 * content, so what is kept is never wrong; that an object is still in the repository is for
 * ObjectStore to say, which keeps nothing of what native git wrote.
 */
import type { ObjectId } from "../core/ids.ts";
import {
  BLOB_CACHE_BYTES_MAX,
  BLOB_SIZES_MAX,
  CACHE_ENTRY_BYTES,
  CACHED_BLOB_BYTES_MAX,
} from "../core/limits.ts";
import type { ObjectType } from "../core/log_record.ts";
import { LruMap } from "./lru_map.ts";

/** Blobs as they are shown. Nobody may write to what it answers. */
export interface BlobReader {
  /** Null where the repository does not have the blob. */
  content(oid: ObjectId): Promise<Uint8Array | null>;
  /** Null where the repository does not have the object. */
  size(oid: ObjectId): Promise<number | null>;
}

/** What it reads of the repository's ObjectStore. */
interface Objects {
  read(oid: ObjectId): Promise<{ readonly type: ObjectType; readonly body: Uint8Array } | null>;
  header(oid: ObjectId): Promise<{ readonly size: number } | null>;
}

export class CachedBlobReader implements BlobReader {
  readonly #objects: Objects;
  readonly #contents = new LruMap<ObjectId, Uint8Array>(
    BLOB_CACHE_BYTES_MAX,
    (bytes) => bytes.length + CACHE_ENTRY_BYTES,
  );
  readonly #sizes = new LruMap<ObjectId, number>(BLOB_SIZES_MAX, () => 1);

  constructor(objects: Objects) {
    this.#objects = objects;
  }

  async content(oid: ObjectId): Promise<Uint8Array | null> {
    const known = this.#contents.get(oid);
    if (known !== undefined) return known;
    const object = await this.#objects.read(oid);
    if (object?.type !== "blob") return null;
    if (object.body.length <= CACHED_BLOB_BYTES_MAX) this.#contents.set(oid, object.body);
    return object.body;
  }

  async size(oid: ObjectId): Promise<number | null> {
    const known = this.#sizes.get(oid);
    if (known !== undefined) return known;
    const header = await this.#objects.header(oid);
    if (header === null) return null;
    this.#sizes.set(oid, header.size);
    return header.size;
  }
}
