/**
 * Notices what native git does to layer refs, by looking: the stat of `packed-refs` and the
 * modification times of the directories below `refs/layers`, whenever it is told to. That is
 * one system call a directory while nothing happens.
 *
 * W1. A change is reported once, as `{ref, old, new}` from what was reported (or published)
 *     before to what is there now. Steps in between that no look saw are not reported.
 * W2. Publications of this process are taken over in the instant of their rename, so they are
 *     not reported; what native git had changed before them is.
 * W3. Folding or packing a ref moves it between files and not in value: no report.
 * W4. A damaged layer is no change of its value; the health check speaks of it.
 */
import { LAYER_REF_PREFIX, type ObjectId, type RefName } from "../core/ids.ts";
import type { RefEdit } from "../core/ref_edit.ts";
import type { Clock } from "../system/clock.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { LooseRef, LooseRefs } from "./loose_refs.ts";
import type { PackedRefs } from "./packed_refs.ts";
import type { PackedRefsFile, PackedState } from "./packed_refs_file.ts";
import type { LayerWatch } from "./repository.ts";

/** A directory that changed this lately may change again without its time telling. */
const RECENT_MS = 1_000;
const LAYERS_DIRECTORY = "refs/layers";

interface Parts {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly loose: LooseRefs;
  readonly file: PackedRefsFile;
  readonly report: (change: RefEdit) => void;
}

/** Layer refs as they were last looked at. */
interface Seen {
  readonly packed: PackedRefs;
  readonly loose: ReadonlyMap<RefName, LooseRef>;
  /** Directories below `refs/layers` with their times; null: look again whatever they say. */
  readonly directories: ReadonlyMap<string, number | null>;
}

/** Reports changes from the moment it is made until close(). */
export class LayerWatcher implements LayerWatch {
  readonly #parts: Parts;
  readonly #onClose: () => void;
  #seen: Seen;

  constructor(parts: Parts, onClose: (watcher: LayerWatcher) => void) {
    this.#parts = parts;
    this.#onClose = () => onClose(this);
    this.#seen = this.#readAll();
  }

  close(): void {
    this.#onClose();
  }

  look(): void {
    const { packed } = this.#parts.file.current();
    const looseChanged = this.#directoriesChanged();
    if (packed === this.#seen.packed && !looseChanged) return;
    // Loose files before packed-refs, as every reader of refs.
    this.#moveTo(looseChanged ? this.#readAll() : { ...this.#seen, packed });
  }

  /** Takes a publication of this process over (W2). */
  published(edits: readonly RefEdit[], before: PackedState, after: PackedState): void {
    if (this.#seen.packed !== before.packed) {
      this.#moveTo({ ...this.#seen, packed: before.packed });
    }
    let { loose } = this.#seen;
    if (edits.some(({ ref }) => loose.has(ref))) {
      const folded = new Set(edits.map(({ ref }) => ref));
      loose = new Map([...loose].filter(([ref]) => !folded.has(ref)));
    }
    for (const { ref, old } of edits) {
      if (!ref.startsWith(LAYER_REF_PREFIX)) continue;
      const known = valueIn(this.#seen, ref);
      if (known !== undefined && known !== old) this.#parts.report({ ref, old: known, new: old });
    }
    this.#seen = { ...this.#seen, packed: after.packed, loose };
  }

  #readAll(): Seen {
    const directories = this.#times();
    const loose = new Map(this.#parts.loose.walk(LAYERS_DIRECTORY));
    return { packed: this.#parts.file.current().packed, loose, directories };
  }

  #directoriesChanged(): boolean {
    for (const [directory, time] of this.#seen.directories) {
      if (time === null || this.#timeOf(directory) !== time) return true;
    }
    return false;
  }

  #times(): Map<string, number | null> {
    const recent = this.#parts.clock.now() - RECENT_MS;
    const times = new Map<string, number | null>();
    for (const directory of this.#parts.loose.directories(LAYERS_DIRECTORY)) {
      const time = this.#timeOf(directory);
      times.set(directory, time > recent ? null : time);
    }
    return times;
  }

  #timeOf(directory: string): number {
    return this.#parts.fileSystem.lstatIfAny(this.#parts.loose.pathOf(directory))?.modifiedMs ?? 0;
  }

  #moveTo(next: Seen): void {
    const before = this.#seen;
    this.#seen = next;
    const candidates = new Set([
      ...before.loose.keys(),
      ...next.loose.keys(),
      ...changedLayers(before.packed, next.packed),
    ]);
    for (const ref of candidates) {
      const old = valueIn(before, ref);
      const now = valueIn(next, ref);
      if (old === undefined || now === undefined || old === now) continue;
      this.#parts.report({ ref, old, new: now });
    }
  }
}

/** Undefined where the ref has no value that could be compared (damaged, symbolic). */
function valueIn(seen: Seen, ref: RefName): ObjectId | null | undefined {
  const loose = seen.loose.get(ref);
  if (loose === undefined) return seen.packed.get(ref)?.oid ?? null;
  return loose.kind === "value" ? loose.oid : undefined;
}

/**
 * Layers whose packed lines differ. Only what lies between the first and the last difference
 * is decoded: a change to one of 100,000 layers decodes a few.
 */
function changedLayers(before: PackedRefs, after: PackedRefs): RefName[] {
  if (before === after) return [];
  const old = before.range(LAYER_REF_PREFIX);
  const now = after.range(LAYER_REF_PREFIX);
  const shorter = Math.min(old.to - old.from, now.to - now.from);
  let head = 0;
  while (head < shorter && before.bytes[old.from + head] === after.bytes[now.from + head]) head++;
  if (head === old.to - old.from && head === now.to - now.from) return [];
  let tail = 0;
  while (
    tail < shorter - head && before.bytes[old.to - 1 - tail] === after.bytes[now.to - 1 - tail]
  ) tail++;
  const oldEntries = between(before, old.from, old.from + head, old.to - tail, old.to);
  const nowEntries = between(after, now.from, now.from + head, now.to - tail, now.to);
  const refs = new Set([...oldEntries.keys(), ...nowEntries.keys()]);
  return [...refs].filter((ref) => oldEntries.get(ref) !== nowEntries.get(ref));
}

/** The records that the bytes from `first` to `last` touch. */
function between(
  packed: PackedRefs,
  floor: number,
  first: number,
  last: number,
  end: number,
): Map<RefName, ObjectId> {
  const from = first >= end ? end : packed.recordStart(floor, first);
  const entries = new Map<RefName, ObjectId>();
  if (from >= end) return entries;
  // Up to the end of the record that the last byte lies in.
  const final = packed.recordStart(floor, Math.max(from, Math.min(last, end - 1)));
  for (const [ref, oid] of packed.entriesBetween(from, packed.recordAfter(final))) {
    entries.set(ref, oid);
  }
  return entries;
}
