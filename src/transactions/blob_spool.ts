/**
 * Uploaded blobs of open transactions, in files: `<spool directory>/<transaction>/<n>`.
 * A file holds the raw bytes; git's id needs the length first, so a complete file is read
 * once more to be hashed. Nothing here outlives its transaction, and nothing here is
 * durable: what a commit needs is written as git objects when the commit is built.
 */
import { join } from "@std/path";
import { createHash } from "node:crypto";
import { LayerdError, messageOf } from "../core/errors.ts";
import { type ObjectId, parseObjectId, type TransactionId } from "../core/ids.ts";
import { BLOB_BYTES_MAX } from "../core/limits.ts";
import type { Clock } from "../system/clock.ts";
import { errorCode, type FileHandle, type FileSystem } from "../system/file_system.ts";

const CHUNK_BYTES = 256 * 1024;
const PRIVATE_DIRECTORY = 0o700;
const PRIVATE_FILE = 0o600;

/** A complete upload. */
export interface SpooledBlob {
  readonly oid: ObjectId;
  readonly file: string;
  readonly size: number;
}

export class BlobSpool {
  readonly #directory: string;
  readonly #files: FileSystem;
  readonly #clock: Clock;
  #counter = 0;

  constructor(directory: string, fileSystem: FileSystem, clock: Clock) {
    this.#clock = clock;
    this.#directory = directory;
    this.#files = fileSystem;
  }

  /** Removes what an earlier process left: no unprepared transaction survives its daemon. */
  sweep(): void {
    if (this.#files.lstatIfAny(this.#directory) === null) return;
    for (const entry of this.#files.readDirectory(this.#directory)) {
      if (entry.kind === "directory") this.#removeTree(join(this.#directory, entry.name));
    }
  }

  /** Writes a body to disk and names it; leaves nothing behind where that fails. */
  async receive(id: TransactionId, body: ReadableStream<Uint8Array>): Promise<SpooledBlob> {
    const file = join(this.#directoryOf(id), String(++this.#counter));
    try {
      const handle = this.#openNew(id, file);
      try {
        const size = await receiveInto(handle, body);
        return { oid: await hashFile(handle, size, this.#clock), file, size };
      } finally {
        handle.close();
      }
    } catch (error) {
      this.discard({ file });
      this.#removeIfEmpty(this.#directoryOf(id));
      throw uploadError(error);
    }
  }

  read(blob: { readonly file: string }): Uint8Array {
    return this.#files.readFile(blob.file);
  }

  /** Removes one upload; harmless where it is gone. */
  discard(blob: { readonly file: string }): void {
    if (this.#files.lstatIfAny(blob.file) !== null) this.#files.unlink(blob.file);
  }

  /** Removes all uploads of a transaction; harmless where there are none. */
  discardAll(id: TransactionId): void {
    const directory = this.#directoryOf(id);
    if (this.#files.lstatIfAny(directory) !== null) this.#removeTree(directory);
  }

  #directoryOf(id: TransactionId): string {
    return join(this.#directory, id);
  }

  #openNew(id: TransactionId, file: string): FileHandle {
    for (const directory of [this.#directory, this.#directoryOf(id)]) {
      if (this.#files.lstatIfAny(directory) === null) {
        this.#files.makeDirectory(directory, PRIVATE_DIRECTORY);
      }
    }
    return this.#files.open(file, { read: true, write: true, createNew: true, mode: PRIVATE_FILE });
  }

  #removeIfEmpty(directory: string): void {
    const isThere = this.#files.lstatIfAny(directory) !== null;
    if (isThere && this.#files.readDirectory(directory).length === 0) {
      this.#files.removeDirectory(directory);
    }
  }

  #removeTree(directory: string): void {
    for (const entry of this.#files.readDirectory(directory)) {
      this.#files.unlink(join(directory, entry.name));
    }
    this.#files.removeDirectory(directory);
  }
}

async function receiveInto(
  handle: FileHandle,
  body: ReadableStream<Uint8Array>,
): Promise<number> {
  let size = 0;
  for await (const chunk of body) {
    if (size + chunk.length > BLOB_BYTES_MAX) {
      throw new LayerdError(
        "payload_too_large",
        `A blob is at most ${BLOB_BYTES_MAX} bytes`,
        { limit: BLOB_BYTES_MAX },
      );
    }
    handle.writeAt(chunk, size);
    size += chunk.length;
  }
  return size;
}

async function hashFile(handle: FileHandle, size: number, clock: Clock): Promise<ObjectId> {
  const hash = createHash("sha1").update(`blob ${size}\0`);
  const buffer = new Uint8Array(Math.min(CHUNK_BYTES, Math.max(size, 1)));
  for (let at = 0; at < size;) {
    const read = handle.readAt(buffer, at);
    if (read === 0) throw new LayerdError("io_error", "A spooled upload became shorter");
    hash.update(buffer.subarray(0, read));
    at += read;
    // A gigabyte hashed in one go would keep every other client waiting; a resolved promise
    // would not let them in, a timer does.
    if (at % (16 * CHUNK_BYTES) === 0) await clock.sleep(0);
  }
  return parseObjectId(hash.digest("hex"));
}

function uploadError(error: unknown): LayerdError {
  if (error instanceof LayerdError) return error;
  const code = errorCode(error);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new LayerdError("no_space", "No space is left for the upload", {}, error);
  }
  if (code !== null) {
    return new LayerdError("io_error", `The upload cannot be kept: ${messageOf(error)}`, {}, error);
  }
  return new LayerdError("invalid_request", `The upload broke off: ${messageOf(error)}`, {}, error);
}
