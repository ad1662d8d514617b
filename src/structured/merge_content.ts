/**
 * Three-way merge of one file's content.
 *
 * C1. Text merges line by line; a structured file must besides come out as the merge of its
 *     keys, or it is made from that.
 * C2. Clean means nothing of either side is lost: what only one side changed is there, and
 *     so is every comment that the other side did not remove.
 * C3. Bytes that are no text, and texts too repetitive to compare in bounded time, conflict.
 */
import { mergeValues } from "../core/structured_merge.ts";
import { keyText, sameValue, type Value } from "../core/structured_value.ts";
import { mergeLines, type Texts } from "./merge_lines.ts";
import { NotStructured } from "./structured_format.ts";
import { edited, formatOf, readStructured, type StructuredFile } from "./structured_file.ts";

/** What one file was and what the two sides made of it; `base` is null where both added it. */
export interface Sides {
  readonly base: Uint8Array | null;
  readonly ours: Uint8Array;
  readonly theirs: Uint8Array;
}

export type ContentConflict = "binary" | "content" | "comments" | "too_large";

export type MergedContent =
  | { readonly kind: "clean"; readonly bytes: Uint8Array }
  | {
    readonly kind: "conflict";
    readonly reason: ContentConflict;
    /** Of a structured file: the keys that both sides changed. */
    readonly keys: readonly string[];
  };

/** Merges; `path` says by its name whether the file is structured. */
export function mergeContent(path: string, sides: Sides): MergedContent {
  const texts = textsOf(sides);
  if (texts === null) return { kind: "conflict", reason: "binary", keys: [] };
  const lines = mergeLines(texts);
  const files = structuredSides(path, sides);
  if (files === null) return typeof lines === "string" ? clean(lines) : conflict(lines.reason);
  return mergeKeys(files, typeof lines === "string" ? lines : null);
}

/** Merges a structured file by its keys; null where the name or a side says that it is none. */
export function mergeStructured(path: string, sides: Sides): MergedContent | null {
  const [texts, files] = [textsOf(sides), structuredSides(path, sides)];
  if (texts === null || files === null) return null;
  const lines = mergeLines(texts);
  return mergeKeys(files, typeof lines === "string" ? lines : null);
}

interface Files {
  readonly base: StructuredFile | null;
  readonly ours: StructuredFile;
  readonly theirs: StructuredFile;
}

function mergeKeys(files: Files, lines: string | null): MergedContent {
  const { base, ours, theirs } = files;
  const { value, conflicts } = mergeValues(base?.value ?? null, ours.value, theirs.value);
  if (conflicts.length > 0 || value === null) {
    return { kind: "conflict", reason: "content", keys: conflicts.map(keyText) };
  }
  if (lines !== null && holds(files, lines, value)) return clean(lines);
  for (const side of [ours, theirs]) {
    const bytes = editedOrNull(side, value);
    if (bytes === null) continue;
    const text = decoder.decode(bytes);
    if (keepsComments(files, text)) return { kind: "clean", bytes };
  }
  return conflict("comments");
}

/** Whether a text has the merged value. */
function holds({ ours }: Files, text: string, value: Value): boolean {
  try {
    return sameValue(readStructured(ours.format, encoder.encode(text)).value, value);
  } catch (error) {
    if (error instanceof NotStructured) return false;
    throw error;
  }
}

function editedOrNull(file: StructuredFile, value: Value): Uint8Array | null {
  try {
    return edited(file, value);
  } catch (error) {
    if (error instanceof NotStructured) return null;
    throw error;
  }
}

/** Whether each side's comments are there, as often as the other side left them. */
function keepsComments({ base, ours, theirs }: Files, text: string): boolean {
  const count = (one: string | null) => {
    const found = new Map<string, number>();
    if (one === null) return found;
    for (const comment of ours.format.comments(withoutMark(one))) {
      found.set(comment, (found.get(comment) ?? 0) + 1);
    }
    return found;
  };
  const [before, mine, yours, now] = [base?.text ?? null, ours.text, theirs.text, text].map(count);
  if (!before || !mine || !yours || !now) return false;
  for (const [side, other] of [[mine, yours], [yours, mine]] as const) {
    for (const [comment, times] of side) {
      const removed = Math.max((before.get(comment) ?? 0) - (other.get(comment) ?? 0), 0);
      if ((now.get(comment) ?? 0) < times - removed) return false;
    }
  }
  return true;
}

function structuredSides(path: string, { base, ours, theirs }: Sides): Files | null {
  const format = formatOf(path);
  if (format === null) return null;
  try {
    return {
      base: base === null ? null : readStructured(format, base),
      ours: readStructured(format, ours),
      theirs: readStructured(format, theirs),
    };
  } catch (error) {
    // A side that is not what its name says is text.
    if (error instanceof NotStructured) return null;
    throw error;
  }
}

function textsOf({ base, ours, theirs }: Sides): Texts | null {
  const texts = [base ?? new Uint8Array(), ours, theirs].map(textOf);
  const [o, a, b] = texts;
  if (typeof o !== "string" || typeof a !== "string" || typeof b !== "string") return null;
  return { base: o, ours: a, theirs: b };
}

/** Text as git tells it: UTF-8 here, and without NUL. */
function textOf(bytes: Uint8Array): string | null {
  if (bytes.includes(0)) return null;
  try {
    return decoder.decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}

function withoutMark(text: string): string {
  return text.startsWith("\ufeff") ? text.slice(1) : text;
}

function clean(text: string): MergedContent {
  return { kind: "clean", bytes: encoder.encode(text) };
}

function conflict(reason: ContentConflict): MergedContent {
  return { kind: "conflict", reason, keys: [] };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
