/**
 * The bytes of `packed-refs`, parsed once and then immutable. The format, as git's
 * `refs/packed-backend.c` reads and writes it:
 *
 *   # pack-refs with: peeled fully-peeled sorted \n      (optional; traits, then any spaces)
 *   <40 hex> SP <ref name> LF                            (one a ref, names in byte order)
 *   ^<40 hex> LF                                         (what the tag in the line above peels to)
 *
 * R1. Names are compared as bytes. In JavaScript's string order git's binary search would
 *     miss refs whose names leave the basic multilingual plane.
 * R2. A file is read whole and checked whole (line form, order) before anything of it is
 *     believed; a file that says nothing of `sorted` or lies about it is sorted here.
 * R3. rewrite() copies the ranges between its edits and decodes nothing, so that one edit
 *     among 100,000 refs costs the copy of the bytes. Peeled lines and traits are kept: a
 *     missing peeled line under `fully-peeled` hides the tag's target from git.
 * R4. The spaces after the traits carry no meaning (git and libgit2 accept them); their
 *     number is what makes each file's size differ (size_pad.ts).
 */
import { LayerdError } from "../core/errors.ts";
import { type ObjectId, parseObjectId, type RefName } from "../core/ids.ts";
import { compareRefNames, validRefName } from "./ref_names.ts";

const LF = 0x0a;
const SPACE = 0x20;
const CARET = 0x5e;
const HASH = 0x23;
const OID_LENGTH = 40;
const HEADER_START = "# pack-refs with:";
const TRAITS_OF_A_NEW_FILE = ["peeled", "fully-peeled", "sorted"];

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true });

const IS_HEX = new Uint8Array(256);
for (const digit of "0123456789abcdefABCDEF") IS_HEX[digit.charCodeAt(0)] = 1;

/** What one line (or two) of the file says of a ref. */
export interface PackedEntry {
  readonly oid: ObjectId;
  /** For an annotated tag the object that it leads to in the end, else null. */
  readonly peeled: ObjectId | null;
}

export class PackedRefs {
  /** What a repository without the file has. */
  static readonly EMPTY: PackedRefs = new PackedRefs(
    new Uint8Array(0),
    0,
    TRAITS_OF_A_NEW_FILE,
  );

  /** The whole file: header, pad and records; another order where the file was not sorted. */
  readonly bytes: Uint8Array;
  readonly #start: number;
  readonly #traits: readonly string[];

  private constructor(bytes: Uint8Array, start: number, traits: readonly string[]) {
    this.bytes = bytes;
    this.#start = start;
    this.#traits = traits;
  }

  /** Throws `git_error`, naming the file, for anything that git would not write. */
  static parse(bytes: Uint8Array, path: string): PackedRefs {
    const { traits, start } = parseHeader(bytes, path);
    if (scan(bytes, start, path)) return new PackedRefs(bytes, start, traits);
    return new PackedRefs(sortRecords(bytes, start, path), start, traits);
  }

  get(ref: string): PackedEntry | null {
    const key = encoder.encode(ref);
    const at = this.#lowerBound(key);
    return this.#isAt(at, key) ? this.#entryAt(at) : null;
  }

  has(ref: string): boolean {
    const key = encoder.encode(ref);
    return this.#isAt(this.#lowerBound(key), key);
  }

  /** Refs whose names start with `prefix`, in byte order; names that git refuses are left out. */
  *entries(prefix: string): Generator<readonly [ref: RefName, oid: ObjectId]> {
    const { from, to } = this.range(prefix);
    yield* this.entriesBetween(from, to);
  }

  /** Where the records of names starting with `prefix` lie in {@link bytes}. */
  range(prefix: string): { readonly from: number; readonly to: number } {
    const key = encoder.encode(prefix);
    const after = key.slice();
    // No name holds the byte 0xff, so the prefix with its last byte raised ends the range.
    after[after.length - 1] = (after[after.length - 1] ?? 0) + 1;
    return { from: this.#lowerBound(key), to: this.#lowerBound(after) };
  }

  /** The records between two offsets that both are starts of records (or the end). */
  *entriesBetween(from: number, to: number): Generator<readonly [ref: RefName, oid: ObjectId]> {
    for (let at = from; at < to; at = this.recordAfter(at)) {
      const ref = this.#nameAt(at);
      if (ref !== null) yield [ref, this.#oidAt(at)];
    }
  }

  /** Start of the record behind the one that starts at `at`. */
  recordAfter(at: number): number {
    const end = this.bytes.indexOf(LF, at + OID_LENGTH) + 1;
    return this.bytes[end] === CARET ? end + OID_LENGTH + 2 : end;
  }

  /** Start of the record that holds the byte at `position` (at or after `floor`). */
  recordStart(floor: number, position: number): number {
    let start = position;
    while (start > floor && this.bytes[start - 1] !== LF) start--;
    if (start <= floor || this.bytes[start] !== CARET) return start;
    start--;
    while (start > floor && this.bytes[start - 1] !== LF) start--;
    return start;
  }

  /**
   * This file with some refs set or (null) removed. `pad` is told the size without pad and
   * answers how many spaces to add.
   */
  rewrite(
    changes: ReadonlyMap<RefName, PackedEntry | null>,
    pad: (size: number) => number,
  ): PackedRefs {
    const pieces: Uint8Array[] = [];
    let copied = this.#start;
    const sorted = [...changes].sort(([a], [b]) => compareRefNames(a, b));
    for (const [ref, entry] of sorted) {
      const key = encoder.encode(ref);
      const at = this.#lowerBound(key);
      pieces.push(this.bytes.subarray(copied, at));
      if (entry !== null) pieces.push(encodeRecord(ref, entry));
      copied = this.#isAt(at, key) ? this.recordAfter(at) : at;
    }
    pieces.push(this.bytes.subarray(copied));
    const traits = this.#traits.includes("sorted") ? this.#traits : [...this.#traits, "sorted"];
    const header = `${HEADER_START} ${traits.join(" ")} `;
    const size = pieces.reduce((sum, piece) => sum + piece.length, header.length + 1);
    const line = encoder.encode(`${header}${" ".repeat(pad(size))}\n`);
    return new PackedRefs(concatenate([line, ...pieces]), line.length, traits);
  }

  /** Start of the first record whose name is not below `key`. */
  #lowerBound(key: Uint8Array): number {
    let low = this.#start;
    let high = this.bytes.length;
    while (low < high) {
      const middle = this.recordStart(low, (low + high) >>> 1);
      if (this.#compareNameAt(middle, key) < 0) low = this.recordAfter(middle);
      else high = middle;
    }
    return low;
  }

  #isAt(at: number, key: Uint8Array): boolean {
    return at < this.bytes.length && this.#compareNameAt(at, key) === 0;
  }

  #compareNameAt(at: number, key: Uint8Array): number {
    const name = at + OID_LENGTH + 1;
    for (let i = 0; i < key.length; i++) {
      const byte = this.bytes[name + i] ?? LF;
      // A line feed sorts below every byte of a name: the shorter name comes first.
      if (byte !== key[i]) return byte === LF ? -1 : byte - (key[i] ?? 0);
    }
    return this.bytes[name + key.length] === LF ? 0 : 1;
  }

  #entryAt(at: number): PackedEntry {
    const end = this.bytes.indexOf(LF, at + OID_LENGTH) + 1;
    const peeled = this.bytes[end] === CARET ? this.#hexAt(end + 1) : null;
    return { oid: this.#oidAt(at), peeled };
  }

  #nameAt(at: number): RefName | null {
    const name = at + OID_LENGTH + 1;
    try {
      return validRefName(
        strictDecoder.decode(this.bytes.subarray(name, this.bytes.indexOf(LF, name))),
      );
    } catch (error) {
      // Not UTF-8: such a name cannot stand in JSON, so layerd does not list it.
      if (error instanceof TypeError) return null;
      throw error;
    }
  }

  #oidAt(at: number): ObjectId {
    return this.#hexAt(at);
  }

  #hexAt(at: number): ObjectId {
    return parseObjectId(decoder.decode(this.bytes.subarray(at, at + OID_LENGTH)).toLowerCase());
  }
}

function parseHeader(
  bytes: Uint8Array,
  path: string,
): { readonly traits: readonly string[]; readonly start: number } {
  if (bytes[0] !== HASH) {
    return { traits: bytes.length === 0 ? TRAITS_OF_A_NEW_FILE : [], start: 0 };
  }
  const end = bytes.indexOf(LF);
  const line = decoder.decode(bytes.subarray(0, end < 0 ? bytes.length : end));
  if (end < 0 || !line.startsWith(HEADER_START)) throw damaged(path, 0, "a bad header line");
  const traits = line.slice(HEADER_START.length).split(" ").filter((trait) => trait !== "");
  return { traits, start: end + 1 };
}

/** Checks the form of every line; whether the names rise. */
function scan(bytes: Uint8Array, start: number, path: string): boolean {
  let rising = true;
  let before = -1;
  for (let at = start; at < bytes.length;) {
    const end = lineEnd(bytes, at, path);
    if (!isHex(bytes, at) || bytes[at + OID_LENGTH] !== SPACE || end <= at + OID_LENGTH + 1) {
      throw damaged(path, at, "an unexpected line");
    }
    const name = at + OID_LENGTH + 1;
    if (before >= 0) {
      const order = compareLines(bytes, before, name);
      if (order === 0) throw damaged(path, at, "one ref twice");
      if (order > 0) rising = false;
    }
    before = name;
    at = end + 1;
    if (bytes[at] !== CARET) continue;
    if (lineEnd(bytes, at, path) !== at + OID_LENGTH + 1 || !isHex(bytes, at + 1)) {
      throw damaged(path, at, "a bad peeled line");
    }
    at += OID_LENGTH + 2;
  }
  return rising;
}

function lineEnd(bytes: Uint8Array, at: number, path: string): number {
  const end = bytes.indexOf(LF, at);
  if (end < 0) throw damaged(path, at, "a line without an end");
  return end;
}

function isHex(bytes: Uint8Array, at: number): boolean {
  for (let i = at; i < at + OID_LENGTH; i++) {
    if (IS_HEX[bytes[i] ?? 0] !== 1) return false;
  }
  return true;
}

function compareLines(bytes: Uint8Array, a: number, b: number): number {
  for (let i = 0;; i++) {
    const left = bytes[a + i] ?? LF;
    const right = bytes[b + i] ?? LF;
    if (left === LF || right === LF) return left === right ? 0 : left === LF ? -1 : 1;
    if (left !== right) return left - right;
  }
}

function sortRecords(bytes: Uint8Array, start: number, path: string): Uint8Array {
  const records: { readonly name: number; readonly record: Uint8Array }[] = [];
  for (let at = start; at < bytes.length;) {
    let end = bytes.indexOf(LF, at) + 1;
    if (bytes[end] === CARET) end += OID_LENGTH + 2;
    records.push({ name: at + OID_LENGTH + 1, record: bytes.subarray(at, end) });
    at = end;
  }
  records.sort((a, b) => compareLines(bytes, a.name, b.name));
  const sorted = concatenate([bytes.subarray(0, start), ...records.map(({ record }) => record)]);
  // Names that stood apart may be equal; scan() of the sorted bytes finds them.
  scan(sorted, start, path);
  return sorted;
}

function encodeRecord(ref: RefName, { oid, peeled }: PackedEntry): Uint8Array {
  return encoder.encode(`${oid} ${ref}\n${peeled === null ? "" : `^${peeled}\n`}`);
}

function concatenate(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

function damaged(path: string, at: number, what: string): LayerdError {
  return new LayerdError("git_error", `${path} is damaged: ${what} at byte ${at}`);
}
