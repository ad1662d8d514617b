/**
 * The bytes of one simulated file: what programs read (cached) beside what the disk holds.
 *
 * F1. A write is durable only when a sync that began after it has ended; syncs that fail make
 *     nothing durable and mark what they should have written as clean, so that no later
 *     sync writes it either (as Linux does).
 * F2. After a crash each 512-byte sector holds any one of the contents that it had since it
 *     was last durable; the size is any that the file had. Bytes within the size that were
 *     never written are zeros.
 */
import type { SeededRandom } from "../harness/random.ts";

export const SECTOR_BYTES = 512;

interface Version {
  readonly sequence: number;
  /** The sector as the page cache held it after the write. */
  readonly bytes: Uint8Array;
  readonly clean: boolean;
}

interface SizeVersion {
  readonly sequence: number;
  readonly size: number;
  readonly clean: boolean;
}

/** How unsynced bytes fare in a crash. */
export interface DataFate {
  /** Of each unsynced sector version and size. */
  readonly survives: number;
  /** No size without the bytes that were written within it (`data=ordered`). */
  readonly ordered: boolean;
}

export class FileContent {
  #cached: Uint8Array;
  #size: number;
  #durable: Uint8Array;
  #sectors: Map<number, readonly Version[]>;
  #sizes: readonly SizeVersion[];
  #sequence: number;

  constructor(from?: FileContent) {
    this.#cached = from?.cached.slice() ?? new Uint8Array(0);
    this.#size = from?.size ?? 0;
    this.#durable = from === undefined ? new Uint8Array(0) : from.#durable;
    this.#sectors = new Map(from === undefined ? [] : from.#sectors);
    this.#sizes = from === undefined ? [] : from.#sizes;
    this.#sequence = from === undefined ? 0 : from.#sequence;
  }

  /** A file whose bytes are on the disk. */
  static durable(bytes: Uint8Array): FileContent {
    const content = new FileContent();
    content.#cached = content.#durable = bytes;
    content.#size = bytes.length;
    return content;
  }

  get size(): number {
    return this.#size;
  }

  get cached(): Uint8Array {
    return this.#cached.subarray(0, this.#size);
  }

  get isDurable(): boolean {
    return this.#sectors.size === 0 && this.#sizes.length === 0;
  }

  write(bytes: Uint8Array, position: number): void {
    const end = position + bytes.length;
    this.#grow(Math.max(end, this.#size));
    this.#cached.set(bytes, position);
    this.#noteSectors(position, end);
  }

  truncate(size: number): void {
    if (size < this.#size) this.#cached.fill(0, size, this.#size);
    this.#grow(size);
    if (size < this.#size) {
      this.#size = size;
      this.#noteSize();
    }
  }

  /** What a sync that begins now will make durable. */
  get mark(): number {
    return this.#sequence;
  }

  /** A sync that began at the mark has ended. */
  commit(mark: number): void {
    const size = this.#sizes.findLast((one) => one.sequence <= mark && !one.clean);
    const length = size?.size ?? this.#durable.length;
    let durable: Uint8Array | null = length === this.#durable.length ? null : resized(
      this.#durable,
      length,
    );
    for (const [sector, versions] of this.#sectors) {
      const version = versions.findLast((one) => one.sequence <= mark && !one.clean);
      if (version === undefined) continue;
      durable ??= this.#durable.slice();
      putSector(durable, sector, version.bytes);
      const later = versions.filter((one) => one.sequence > version.sequence);
      if (later.length === 0) this.#sectors.delete(sector);
      else this.#sectors.set(sector, later);
    }
    if (durable !== null) this.#durable = durable;
    if (size !== undefined) {
      this.#sizes = this.#sizes.filter((one) => one.sequence > size.sequence);
    }
  }

  /** A sync that began at the mark has failed (F1). */
  fail(mark: number): void {
    const dull = <T extends { sequence: number }>(one: T) =>
      one.sequence <= mark ? { ...one, clean: true } : one;
    for (const [sector, versions] of this.#sectors) this.#sectors.set(sector, versions.map(dull));
    this.#sizes = this.#sizes.map(dull);
  }

  /** The file after a power loss. */
  crashed(random: SeededRandom, fate: DataFate): FileContent {
    if (this.isDurable) return FileContent.durable(this.#durable);
    const sizes = [this.#durable.length, ...this.#sizes.map((one) => one.size)];
    const survives = () => random.chance(fate.survives);
    const size = survives() ? random.pick(sizes.slice(1).concat(this.#size)) : sizes[0] ?? 0;
    const whole = fate.ordered && size > this.#durable.length;
    const bytes = resized(this.#durable, size);
    for (const [sector, versions] of this.#sectors) {
      for (const { bytes: content } of versions) {
        if (whole || survives()) putSector(bytes, sector, content);
      }
    }
    return FileContent.durable(bytes);
  }

  #grow(size: number): void {
    if (size <= this.#size) return;
    if (size > this.#cached.length) {
      const capacity = Math.max(size, Math.min(this.#cached.length * 2, 1 << 20));
      this.#cached = resized(this.#cached, capacity);
    }
    this.#size = size;
    this.#noteSize();
  }

  #noteSize(): void {
    this.#sequence += 1;
    const now = { sequence: this.#sequence, size: this.#size, clean: false };
    this.#sizes = [...this.#sizes, now];
  }

  #noteSectors(from: number, to: number): void {
    this.#sequence += 1;
    const sequence = this.#sequence;
    const first = Math.floor(from / SECTOR_BYTES);
    const last = Math.ceil(to / SECTOR_BYTES);
    const copy = this.#cached.slice(
      first * SECTOR_BYTES,
      Math.min(last * SECTOR_BYTES, this.#size),
    );
    for (let sector = first; sector < last; sector += 1) {
      const at = (sector - first) * SECTOR_BYTES;
      const bytes = copy.subarray(at, at + SECTOR_BYTES);
      const before = this.#sectors.get(sector) ?? [];
      this.#sectors.set(sector, [...before, { sequence, bytes, clean: false }]);
    }
  }
}

function resized(bytes: Uint8Array, size: number): Uint8Array {
  const result = new Uint8Array(size);
  result.set(bytes.subarray(0, size));
  return result;
}

/** Puts what fits: a sector may stand beyond the size that was chosen. */
function putSector(file: Uint8Array, sector: number, bytes: Uint8Array): void {
  const at = sector * SECTOR_BYTES;
  if (at < file.length) file.set(bytes.subarray(0, file.length - at), at);
}
