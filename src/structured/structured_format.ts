/**
 * A format of structured files. Parsing answers the value; rewriting changes the text as
 * little as it can, so that comments and order outside the change stay.
 *
 * F1. rewrite(text, target) answers text that parses to exactly `target`, or throws: its
 *     caller (edit_structured.ts) parses what came out and compares, always.
 * F2. What a format cannot hold without loss (duplicate keys, several documents, aliases
 *     beyond bounds) is {@link NotStructured}: such a file is text, never half understood.
 */
import type { Value } from "../core/structured_value.ts";

export interface StructuredFormat {
  readonly name: "JSON" | "YAML" | "TOML" | "INI";
  /** The value as the format can hold it (INI: every scalar a string). */
  adapt(value: Value): Value;
  /** Throws {@link NotStructured}. Text has no byte-order mark. */
  parse(text: string): Value;
  /** The text with as few changes as make its value `target`. */
  rewrite(text: string, target: Value): string;
  /** A new file of this value. */
  render(value: Value): string;
  /** Comments, each trimmed, for finding out whether an edit loses one. */
  comments(text: string): string[];
  /** Whether a line holds nothing but a comment. */
  isCommentLine(line: string): boolean;
}

/** The text is not what its name says, or holds more than the value model does. */
export class NotStructured extends Error {
  override readonly name = "NotStructured";
  /** From 1, where it is known. */
  readonly line: number | null;

  constructor(message: string, line: number | null = null, cause?: unknown) {
    super(line === null ? message : `${message} (line ${line})`, { cause });
    this.line = line;
  }
}

/** One change of a text. */
export interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** Applies changes that do not overlap; those at one place in the order given. */
export function spliced(text: string, splices: readonly Splice[]): string {
  const ordered = splices.map((splice, index) => ({ splice, index })).sort((one, other) =>
    one.splice.start - other.splice.start || one.splice.end - other.splice.end ||
    one.index - other.index
  );
  let result = "";
  let at = 0;
  for (const { splice: { start, end, text: instead } } of ordered) {
    if (start < at) throw new NotStructured("Changes overlap in the file");
    result += text.slice(at, start) + instead;
    at = end;
  }
  return result + text.slice(at);
}

/** Offsets of line starts, to tell lines and what stands above them. */
export class Lines {
  readonly text: string;
  readonly eol: "\n" | "\r\n";
  readonly #starts: readonly number[];

  constructor(text: string) {
    this.text = text;
    this.eol = text.includes("\r\n") ? "\r\n" : "\n";
    const starts = [0];
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
    this.#starts = starts;
  }

  /** Line of an offset, from 1. */
  at(offset: number): number {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#starts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return low + 1;
  }

  /** Where a line (from 1) begins. */
  start(line: number): number {
    return this.#starts[line - 1] ?? this.text.length;
  }

  /** A line without its end. */
  line(line: number): string {
    return this.text.slice(this.start(line), this.start(line + 1)).replace(/\r?\n$/, "");
  }

  /** Blanks at the beginning of a line. */
  indent(line: number): string {
    return /^[ \t]*/.exec(this.line(line))?.[0] ?? "";
  }

  /** Whether nothing but blanks stands between the line's start and the offset. */
  isFirst(offset: number): boolean {
    return this.text.slice(this.start(this.at(offset)), offset).trim() === "";
  }

  /** The comment lines directly above a line, topmost first. */
  lead(line: number, isComment: (line: string) => boolean): string[] {
    const found: string[] = [];
    for (let above = line - 1; above >= 1 && isComment(this.line(above)); above -= 1) {
      found.unshift(this.line(above).trim());
    }
    return found;
  }
}
