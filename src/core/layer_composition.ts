/**
 * What a stack of layers looks like as one: which layer each file comes from, and for files
 * that merge, each key. Pure: it is given names and values and knows no format.
 *
 * P1. Precedence: of two layers the one that stands later is higher, and wins.
 * P2. `replace`: the highest layer's file is the file. `deep`: objects merge by key; every
 *     other value, lists too, is replaced as a whole by the highest layer that has the key.
 * P3. A file `.wh.NAME` removes what lower layers have at NAME beside it, file or directory
 *     (as in OCI images). A key whose value is the string {@link REMOVED} removes the key.
 * P4. A file hides a lower directory of that name, and a directory a lower file.
 * P5. Nothing vanishes silently: what is hidden is named in the origins.
 */
import { matchesGlob } from "./glob.ts";
import { keyText, objectValue, type Value } from "./structured_value.ts";

/** Value of a key that a layer removes from those below. */
export const REMOVED = "layerd:remove";
/** Beginning of the name of a file that removes another. */
export const WHITEOUT = ".wh.";

export type MergeStrategy = "replace" | "deep";

export interface MergeRule {
  readonly glob: string;
  readonly strategy: MergeStrategy;
}

/** The first rule whose glob matches decides; without one a file is replaced. */
export function strategyOf(rules: readonly MergeRule[], path: string): MergeStrategy {
  return rules.find(({ glob }) => matchesGlob(glob, path))?.strategy ?? "replace";
}

/** Where a file of the view comes from: highest layer first. */
export interface Stacked<T> {
  readonly path: string;
  readonly from: readonly T[];
}

/** One layer's file. */
export interface LayerFile {
  readonly path: string;
}

/** Stacks the layers' files, lowest layer first; answers paths in order. */
export function stackFiles<T extends LayerFile>(layers: readonly (readonly T[])[]): Stacked<T>[] {
  const found = new Map<string, T[]>();
  /** Files and removals of the layers above: nothing below shows at or under these. */
  const covered = new Set<string>();
  /** Directories of the layers above: nothing below is a file there. */
  const directories = new Set<string>();
  for (const layer of [...layers].reverse()) {
    for (const file of layer) {
      if (whiteoutOf(file.path) !== null || isCovered(file.path, covered)) continue;
      if (directories.has(file.path)) continue;
      const from = found.get(file.path);
      if (from === undefined) found.set(file.path, [file]);
      else from.push(file);
    }
    // Also what is hidden itself hides: the view of some layers, under another layer, is the
    // view of all of them.
    for (const { path } of layer) {
      const removed = whiteoutOf(path);
      if (removed !== null) {
        covered.add(removed);
        continue;
      }
      covered.add(`${path}/`);
      for (const above of directoriesOf(path)) directories.add(above);
    }
  }
  return [...found].map(([path, from]) => ({ path, from }))
    .sort((one, other) => one.path < other.path ? -1 : 1);
}

/**
 * What of a layer decides about one path, besides whether it has any file below it: files at
 * the path and at the directories above, and whatever removes one of these.
 */
export function pathsDeciding(path: string): string[] {
  return [...directoriesOf(path), path].flatMap((one) => {
    const at = one.lastIndexOf("/") + 1;
    return [one, `${one.slice(0, at)}${WHITEOUT}${one.slice(at)}`];
  });
}

/** The path that a file removes, or null for one that removes nothing. */
export function whiteoutOf(path: string): string | null {
  const at = path.lastIndexOf("/") + 1;
  const name = path.slice(at);
  if (!name.startsWith(WHITEOUT) || name.length === WHITEOUT.length) return null;
  return path.slice(0, at) + name.slice(WHITEOUT.length);
}

/** `a/` in the set covers what is below `a`; `a` covers `a` as well. */
function isCovered(path: string, covered: ReadonlySet<string>): boolean {
  if (covered.has(path)) return true;
  return directoriesOf(path).some((above) => covered.has(above) || covered.has(`${above}/`));
}

function directoriesOf(path: string): string[] {
  const found: string[] = [];
  for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) {
    found.push(path.slice(0, at));
  }
  return found;
}

/** What one layer has to say about a key. */
export interface Contribution<L> {
  readonly layer: L;
  readonly value: Value;
}

/** Where a key comes from. */
export interface KeyOrigin<L> {
  readonly key: string;
  readonly layer: L;
  readonly line: number | null;
  /** Whether the layer removes it. */
  readonly removed: boolean;
  /** What lower layers say at the key, highest first. */
  readonly hides: readonly { readonly layer: L; readonly line: number | null }[];
}

export interface Composed<L> {
  readonly value: Value;
  /** Of every key that is no object of merged keys, in order. */
  readonly origins: readonly KeyOrigin<L>[];
}

/** Merges what layers say about one file, highest first; there is at least one. */
export function composeValues<L>(contributions: readonly Contribution<L>[]): Composed<L> {
  const origins: KeyOrigin<L>[] = [];
  const value = composed(contributions, [], origins);
  return { value: value ?? objectValue(new Map()), origins };
}

function composed<L>(
  contributions: readonly Contribution<L>[],
  path: readonly string[],
  origins: KeyOrigin<L>[],
): Value | null {
  const [highest] = contributions;
  if (highest === undefined) throw new Error("BUG: a key that no layer has");
  if (highest.value.kind !== "object") {
    origins.push(originOf(path, contributions));
    return isRemoval(highest.value) ? null : highest.value;
  }
  // Objects down to the first layer that says something else, which hides what is below it.
  const end = contributions.findIndex(({ value }) => value.kind !== "object");
  const merging = end < 0 ? contributions : contributions.slice(0, end);
  const hidden = end < 0 ? [] : contributions.slice(end);
  if (hidden.length > 0) origins.push(originOf(path, [highest, ...hidden]));
  const members = new Map<string, Value>();
  // The lowest layer's order, then what each higher one adds.
  const keys = new Set(
    [...merging].reverse().flatMap(({ value }) =>
      value.kind === "object" ? [...value.members.keys()] : []
    ),
  );
  for (const key of keys) {
    const saying = merging.flatMap(({ layer, value }) => {
      const member = value.kind === "object" ? value.members.get(key) : undefined;
      return member === undefined ? [] : [{ layer, value: member }];
    });
    const member = composed(saying, [...path, key], origins);
    if (member !== null) members.set(key, member);
  }
  return objectValue(members, highest.value);
}

function originOf<L>(
  path: readonly string[],
  [highest, ...lower]: readonly Contribution<L>[],
): KeyOrigin<L> {
  if (highest === undefined) throw new Error("BUG: a key that no layer has");
  return {
    key: keyText(path),
    layer: highest.layer,
    line: highest.value.line,
    removed: isRemoval(highest.value),
    hides: lower.map(({ layer, value }) => ({ layer, line: value.line })),
  };
}

function isRemoval(value: Value): boolean {
  return value.kind === "scalar" && value.type === "string" && value.text === REMOVED;
}
