/**
 * A tree object as its bytes and where its entries begin. Entries are found by binary
 * search and changed by splicing bytes, so that one change in a directory of 100,000
 * entries costs a copy, not a sort; entries that are not touched keep their bytes, also
 * those with modes or names that we would never write.
 *
 * Git's order: names compared as bytes, a directory's name as if it ended with "/".
 * Trees of broken tools that are out of order are searched from the start.
 */
import { LayerdError } from "../core/errors.ts";
import type { ObjectId } from "../core/ids.ts";
import type { TreeEntry } from "./repository.ts";

const OID_BYTES = 20;
const SPACE = 0x20;
const SLASH = 0x2f;
const ZERO = 0x30;
/** `4` of `40000`, or `0` of the `040000` that some old tools wrote. */
const TREE_MODE = /^0?40000$/;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Whether an entry is a directory. */
export function isTreeMode(mode: string): boolean {
  return TREE_MODE.test(mode);
}

/** An entry to put into a tree, or null to remove what has this name. */
export interface TreeSplice {
  readonly name: string;
  readonly entry: TreeEntry | null;
}

export class ParsedTree {
  readonly body: Uint8Array;
  /** Where each entry begins, and the end of the last one. */
  readonly #offsets: Uint32Array;
  readonly #sorted: boolean;

  private constructor(body: Uint8Array, offsets: Uint32Array, sorted: boolean) {
    this.body = body;
    this.#offsets = offsets;
    this.#sorted = sorted;
  }

  static readonly empty = new ParsedTree(new Uint8Array(0), new Uint32Array(1), true);

  /** Finds the entries; throws `git_error` where the bytes are no tree. */
  static parse(body: Uint8Array, oid: ObjectId): ParsedTree {
    // The shortest entry is "1 x\0" and an id, so this is always enough.
    const offsets = new Uint32Array(Math.ceil(body.length / (OID_BYTES + 3)) + 1);
    let count = 0;
    let position = 0;
    while (position < body.length) {
      offsets[count] = position;
      count += 1;
      const nul = body.indexOf(0, position);
      const space = body.indexOf(SPACE, position);
      position = nul + 1 + OID_BYTES;
      if (nul < 0 || space < 0 || space > nul || position > body.length) {
        throw new LayerdError("git_error", `Tree ${oid} is damaged at its entry ${count}`);
      }
    }
    offsets[count] = body.length;
    const exact = offsets.slice(0, count + 1);
    return new ParsedTree(body, exact, new ParsedTree(body, exact, true).#isSorted());
  }

  get count(): number {
    return this.#offsets.length - 1;
  }

  /** Memory that it holds, for a bounded cache. */
  get byteLength(): number {
    return this.body.length + this.#offsets.byteLength;
  }

  /** The entry of a name, or null. */
  find(name: string): TreeEntry | null {
    const index = this.#indexOf(encoder.encode(name));
    return index === null ? null : this.entryAt(index);
  }

  entryAt(index: number): TreeEntry {
    const { space, nul } = this.#bounds(index);
    const mode = decoder.decode(this.body.subarray(this.#start(index), space));
    const oid = this.body.subarray(nul + 1, nul + 1 + OID_BYTES).toHex() as ObjectId;
    return { mode, oid };
  }

  /** The name as text; bytes that are not UTF-8 become replacement characters. */
  nameAt(index: number): string {
    return decoder.decode(this.#nameBytes(index));
  }

  /** Whether two entries are byte for byte the same. */
  sameEntry(index: number, other: ParsedTree, otherIndex: number): boolean {
    const mine = this.body.subarray(this.#start(index), this.#start(index + 1));
    const theirs = other.body.subarray(other.#start(otherIndex), other.#start(otherIndex + 1));
    return mine.length === theirs.length && mine.every((byte, at) => byte === theirs[at]);
  }

  /** Order of two entries in git's sense; 0 for the same name and kind. */
  compareEntries(index: number, other: ParsedTree, otherIndex: number): number {
    return compareNames(
      this.#nameBytes(index),
      this.#isDirectory(index),
      other.#nameBytes(otherIndex),
      other.#isDirectory(otherIndex),
    );
  }

  /** The tree with the splices applied; the receiver itself where nothing changes. */
  spliced(splices: readonly TreeSplice[]): ParsedTree {
    const edits = splices.flatMap((splice) => this.#editsFor(splice));
    if (edits.length === 0) return this;
    edits.sort((a, b) => a.from - b.from || a.until - b.until || compareEdits(a, b));
    return this.#apply(edits);
  }

  #editsFor({ name, entry }: TreeSplice): Edit[] {
    const bytes = encoder.encode(name);
    const index = this.#indexOf(bytes);
    if (entry === null) return index === null ? [] : [{ from: index, until: index + 1 }];
    const made = encodeEntry(bytes, entry);
    const directory = isTreeMode(entry.mode);
    const put = { bytes: made, name: bytes, directory };
    if (index === null) {
      const at = this.#insertionPoint(bytes, directory);
      return [{ from: at, until: at, put }];
    }
    if (equalBytes(made, this.body.subarray(this.#start(index), this.#start(index + 1)))) return [];
    if (this.#isDirectory(index) === directory) return [{ from: index, until: index + 1, put }];
    // A file becomes a directory or the reverse: its place may be another one.
    const at = this.#insertionPoint(bytes, directory);
    return [{ from: index, until: index + 1 }, { from: at, until: at, put }];
  }

  #apply(edits: readonly Edit[]): ParsedTree {
    const grown = edits.reduce((sum, edit) => {
      const gone = this.#start(edit.until) - this.#start(edit.from);
      return sum + (edit.put?.bytes.length ?? 0) - gone;
    }, 0);
    const added = edits.reduce(
      (sum, edit) => sum + (edit.put === undefined ? 0 : 1) - (edit.until - edit.from),
      0,
    );
    const body = new Uint8Array(this.body.length + grown);
    const offsets = new Uint32Array(this.count + added + 1);
    let read = 0;
    let written = 0;
    let length = 0;
    const keepUntil = (index: number) => {
      const start = this.#start(read);
      const shift = length - start;
      for (let at = read; at < index; at += 1) {
        offsets[written] = this.#start(at) + shift;
        written += 1;
      }
      const kept = this.body.subarray(start, this.#start(index));
      body.set(kept, length);
      length += kept.length;
      read = index;
    };
    for (const edit of edits) {
      keepUntil(edit.from);
      read = Math.max(read, edit.until);
      if (edit.put === undefined) continue;
      offsets[written] = length;
      written += 1;
      body.set(edit.put.bytes, length);
      length += edit.put.bytes.length;
    }
    keepUntil(this.count);
    offsets[written] = length;
    return new ParsedTree(body, offsets, this.#sorted);
  }

  #start(index: number): number {
    return this.#offsets[index] ?? this.body.length;
  }

  #bounds(index: number): { readonly space: number; readonly nul: number } {
    const end = this.#start(index + 1);
    const space = this.body.indexOf(SPACE, this.#start(index));
    return { space, nul: this.body.indexOf(0, Math.min(space, end)) };
  }

  #nameBytes(index: number): Uint8Array {
    const { space, nul } = this.#bounds(index);
    return this.body.subarray(space + 1, nul);
  }

  #isDirectory(index: number): boolean {
    const start = this.#start(index);
    const first = this.body[start];
    const second = this.body[start + 1];
    // 40000 or 040000; no other mode of five digits or with a leading zero begins so.
    return (first === 0x34 && this.body[start + 5] === SPACE) ||
      (first === ZERO && second === 0x34 && this.body[start + 6] === SPACE);
  }

  #isSorted(): boolean {
    for (let index = 1; index < this.count; index += 1) {
      if (this.compareEntries(index - 1, this, index) >= 0) return false;
    }
    return true;
  }

  /** A name stands once, as a file or as a directory, and these sort differently. */
  #indexOf(name: Uint8Array): number | null {
    if (!this.#sorted) {
      for (let index = 0; index < this.count; index += 1) {
        if (equalBytes(this.#nameBytes(index), name)) return index;
      }
      return null;
    }
    for (const directory of [false, true]) {
      const index = this.#insertionPoint(name, directory);
      if (index < this.count && equalBytes(this.#nameBytes(index), name)) return index;
    }
    return null;
  }

  /** The first entry that does not sort before the name. */
  #insertionPoint(name: Uint8Array, directory: boolean): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = compareNames(
        this.#nameBytes(middle),
        this.#isDirectory(middle),
        name,
        directory,
      );
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Replaces the entries `from` up to but without `until`. */
interface Edit {
  readonly from: number;
  readonly until: number;
  readonly put?: {
    readonly bytes: Uint8Array;
    readonly name: Uint8Array;
    readonly directory: boolean;
  };
}

/** Order of two insertions at the same place. */
function compareEdits(a: Edit, b: Edit): number {
  if (a.put === undefined || b.put === undefined) return 0;
  return compareNames(a.put.name, a.put.directory, b.put.name, b.put.directory);
}

function encodeEntry(name: Uint8Array, entry: TreeEntry): Uint8Array {
  const mode = encoder.encode(`${entry.mode} `);
  const bytes = new Uint8Array(mode.length + name.length + 1 + OID_BYTES);
  bytes.set(mode);
  bytes.set(name, mode.length);
  bytes.set(Uint8Array.fromHex(entry.oid), mode.length + name.length + 1);
  return bytes;
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at += 1) if (a[at] !== b[at]) return false;
  return true;
}

function compareNames(
  a: Uint8Array,
  aIsDirectory: boolean,
  b: Uint8Array,
  bIsDirectory: boolean,
): number {
  const shared = Math.min(a.length, b.length);
  for (let at = 0; at < shared; at += 1) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0);
    if (difference !== 0) return difference;
  }
  const next = (name: Uint8Array, directory: boolean) =>
    name.length > shared ? name[shared] ?? 0 : directory ? SLASH : 0;
  const difference = next(a, aIsDirectory) - next(b, bIsDirectory);
  return difference !== 0 ? difference : a.length - b.length;
}
