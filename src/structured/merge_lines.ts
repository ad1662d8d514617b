/**
 * Three-way merge of text by lines, as strict as git's.
 *
 * L1. Changes of the two sides that touch or overlap conflict unless they are the same.
 *     Between them must stand an unchanged line that all three texts have once: whatever
 *     comparison is made finds that line, so none can put the two changes in one place.
 * L2. Where lines repeat there are several shortest comparisons, and git may take another one
 *     than we do: the first and the last of them must come to the same text.
 * L3. Bounded: texts whose comparison would cost too much are not merged.
 */
import { diffIndices } from "node-diff3";
import { TEXT_MERGE_PAIRS_MAX } from "../core/limits.ts";

export interface Texts {
  readonly base: string;
  readonly ours: string;
  readonly theirs: string;
}

/** Lines `start` to `end` of the base (from 0, end exclusive) replaced by others. */
interface Hunk {
  readonly start: number;
  readonly end: number;
  readonly lines: readonly string[];
}

interface Sided extends Hunk {
  readonly side: "ours" | "theirs" | "both";
}

/** The merged text, or why there is none. */
export function mergeLines(
  texts: Texts,
): string | { readonly reason: "content" | "too_large" } {
  const [base, ours, theirs] = [texts.base, texts.ours, texts.theirs].map(linesOf);
  if (base === undefined || ours === undefined || theirs === undefined) return "";
  if (Math.max(pairs(base, ours), pairs(base, theirs)) > TEXT_MERGE_PAIRS_MAX) {
    return { reason: "too_large" };
  }
  const forward = mergedLines(base, ours, theirs);
  const backward = mergedLines(base.toReversed(), ours.toReversed(), theirs.toReversed());
  const text = forward?.join("");
  if (text === undefined || text !== backward?.reverse().join("")) return { reason: "content" };
  return text;
}

function mergedLines(
  base: readonly string[],
  ours: readonly string[],
  theirs: readonly string[],
): string[] | null {
  const merged = inOrder(hunks(base, ours), hunks(base, theirs));
  if (!anchored(merged, [base, ours, theirs])) return null;
  const result: string[] = [];
  let at = 0;
  for (const { start, end, lines } of merged) {
    for (; at < start; at += 1) result.push(base[at] ?? "");
    result.push(...lines);
    at = end;
  }
  for (; at < base.length; at += 1) result.push(base[at] ?? "");
  return result;
}

/** Both sides' changes in order, those that are the same once. */
function inOrder(ours: readonly Hunk[], theirs: readonly Hunk[]): Sided[] {
  const result: Sided[] = [];
  let [mine, yours] = [0, 0];
  for (;;) {
    const [one, other] = [ours[mine], theirs[yours]];
    if (one === undefined && other === undefined) return result;
    if (one !== undefined && other !== undefined && sameHunk(one, other)) {
      result.push({ ...one, side: "both" });
      mine += 1;
      yours += 1;
    } else if (one !== undefined && (other === undefined || one.start < other.start)) {
      result.push({ ...one, side: "ours" });
      mine += 1;
    } else if (other !== undefined) {
      result.push({ ...other, side: "theirs" });
      yours += 1;
    }
  }
}

/**
 * Whether a line that is unique everywhere stands between changes of different sides; between
 * changes that overlap stands nothing.
 */
function anchored(merged: readonly Sided[], texts: readonly (readonly string[])[]): boolean {
  const base = texts[0] ?? [];
  const unique = texts.map(linesThatAreOnce);
  return merged.every((hunk, index) => {
    const next = merged[index + 1];
    if (next === undefined || (next.side === hunk.side && hunk.side !== "both")) return true;
    return base.slice(hunk.end, next.start).some((line) => unique.every((once) => once.has(line)));
  });
}

function linesThatAreOnce(lines: readonly string[]): Set<string> {
  const once = new Set<string>();
  const more = new Set<string>();
  for (const line of lines) {
    if (once.has(line)) more.add(line);
    once.add(line);
  }
  for (const line of more) once.delete(line);
  return once;
}

function sameHunk(one: Hunk, other: Hunk): boolean {
  return one.start === other.start && one.end === other.end &&
    one.lines.length === other.lines.length &&
    one.lines.every((line, index) => line === other.lines[index]);
}

function hunks(base: readonly string[], side: readonly string[]): Hunk[] {
  return diffIndices([...base], [...side]).map(({ buffer1: [start, length], buffer2Content }) => ({
    start,
    end: start + length,
    lines: buffer2Content,
  }));
}

/** Pairs of same lines, which is what comparing two texts costs. */
function pairs(one: readonly string[], other: readonly string[]): number {
  const counts = new Map<string, number>();
  for (const line of one) counts.set(line, (counts.get(line) ?? 0) + 1);
  let sum = 0;
  for (const line of other) sum += counts.get(line) ?? 0;
  return sum;
}

/** Lines with their ends, so that a last line without one is a line of its own. */
function linesOf(text: string): string[] {
  return text === "" ? [] : text.split(/(?<=\n)/);
}
