/** JSON and JSONC: comments and trailing commas are read in both, since editors write both. */
import {
  createScanner,
  type Node,
  type ParseError,
  parseTree,
  printParseErrorCode,
} from "jsonc-parser";
import { STRUCTURED_DEPTH_MAX } from "../core/limits.ts";
import type { ObjectValue, Value } from "../core/structured_value.ts";
import { sameValue } from "../core/structured_value.ts";
import {
  Lines,
  NotStructured,
  type Splice,
  spliced,
  type StructuredFormat,
} from "./structured_format.ts";

/** Characters of a list of scalars that is written on one line. */
const SHORT_LIST_MAX = 60;

/** Of jsonc-parser's `SyntaxKind`, a const enum that only its own compiler run could inline. */
const TOKEN = {
  openBrace: 1,
  closeBrace: 2,
  openBracket: 3,
  closeBracket: 4,
  comma: 5,
  lineComment: 12,
  blockComment: 13,
  end: 17,
} as const;

export const JSON_FORMAT: StructuredFormat = {
  name: "JSON",
  adapt: (value) => value,
  parse: (text) => new JsonText(text).value,
  rewrite: (text, target) => new JsonText(text).rewritten(target),
  render: (value) => render(value, "", "  ", "\n") + "\n",
  comments,
  isCommentLine,
};

function isCommentLine(line: string): boolean {
  const text = line.trim();
  return text.startsWith("//") || (text.startsWith("/*") && text.indexOf("*/") === text.length - 2);
}

function comments(text: string): string[] {
  const scanner = createScanner(text, false);
  const found: string[] = [];
  for (let kind: number = scanner.scan(); kind !== TOKEN.end; kind = scanner.scan()) {
    if (kind !== TOKEN.lineComment && kind !== TOKEN.blockComment) continue;
    found.push(scanner.getTokenValue().trim());
  }
  return found;
}

/** A member of an object with the places that an edit needs. */
interface Place {
  readonly property: Node;
  readonly node: Node;
  /** Offset of the comma behind it, or null. */
  readonly comma: number | null;
}

class JsonText {
  readonly #text: string;
  readonly #lines: Lines;
  readonly #root: Node;
  readonly #values = new Map<Node, Value>();
  readonly #unit: string;
  readonly value: Value;

  constructor(text: string) {
    requireShallow(text);
    this.#text = text;
    this.#lines = new Lines(text);
    const errors: ParseError[] = [];
    const root = parseTree(text, errors, { allowTrailingComma: true });
    const [error] = errors;
    if (root === undefined || error !== undefined) {
      const line = this.#lines.at(error?.offset ?? 0);
      const what = error === undefined ? "nothing in it" : printParseErrorCode(error.error);
      throw new NotStructured(`Not JSON: ${what}`, line);
    }
    this.#root = root;
    this.#unit = /^([ \t]+)\S/m.exec(text)?.[1] ?? "  ";
    this.value = this.#valueOf(root, this.#lines.at(root.offset), []);
  }

  #valueOf(node: Node, line: number, lead: readonly string[]): Value {
    const value = this.#made(node, line, lead);
    this.#values.set(node, value);
    return value;
  }

  #made(node: Node, line: number, lead: readonly string[]): Value {
    const here = { line, lead };
    switch (node.type) {
      case "object": {
        const members = new Map<string, Value>();
        for (const property of node.children ?? []) {
          const [name, child] = property.children ?? [];
          const at = this.#lines.at(property.offset);
          if (name === undefined || child === undefined) throw new NotStructured("Not JSON", at);
          const key = String(name.value);
          if (members.has(key)) throw new NotStructured(`Duplicate key ${JSON.stringify(key)}`, at);
          const above = this.#lines.isFirst(property.offset)
            ? this.#lines.lead(at, isCommentLine)
            : [];
          members.set(key, this.#valueOf(child, at, above));
        }
        return { ...here, kind: "object", members };
      }
      case "array": {
        const items = (node.children ?? []).map((child) =>
          this.#valueOf(child, this.#lines.at(child.offset), [])
        );
        return { ...here, kind: "array", items };
      }
      case "string":
        return { ...here, kind: "scalar", type: "string", text: String(node.value) };
      case "number":
      case "boolean":
      case "null":
        return { ...here, kind: "scalar", type: node.type, text: this.#source(node) };
      default:
        throw new NotStructured("Not JSON", line);
    }
  }

  #source(node: Node): string {
    return this.#text.slice(node.offset, node.offset + node.length);
  }

  rewritten(target: Value): string {
    const splices: Splice[] = [];
    this.#change(this.#root, target, splices);
    return spliced(this.#text, splices);
  }

  #change(node: Node, target: Value, splices: Splice[]): void {
    const now = this.#values.get(node);
    if (now === undefined) throw new Error("BUG: a node without a value");
    if (sameValue(now, target)) return;
    if (now.kind === "object" && target.kind === "object") {
      return this.#changeObject(node, now, target, splices);
    }
    const indent = this.#lines.indent(this.#lines.at(node.offset));
    const text = render(target, indent, this.#unit, this.#lines.eol);
    splices.push({ start: node.offset, end: node.offset + node.length, text });
  }

  #changeObject(node: Node, now: ObjectValue, target: ObjectValue, splices: Splice[]): void {
    const places = this.#places(node);
    const keyOf = ({ property }: Place) => String(property.children?.[0]?.value);
    for (const place of places) {
      const wanted = target.members.get(keyOf(place));
      if (wanted !== undefined) this.#change(place.node, wanted, splices);
    }
    const kept = places.filter((place) => target.members.has(keyOf(place)));
    const last = kept.at(-1);
    const added = [...target.members].filter(([key]) => !now.members.has(key));
    for (const [index, place] of places.entries()) {
      if (kept.includes(place)) continue;
      splices.push(this.#removal(node, places, index));
    }
    if (last === undefined) {
      if (added.length > 0) splices.push(this.#firstMembers(node, added));
      return;
    }
    if (added.length > 0) return this.#append(node, places, last, added, splices);
    const trailing = places.at(-1)?.comma !== null;
    if (last !== places.at(-1) && last.comma !== null && !trailing) {
      splices.push({ start: last.comma, end: last.comma + 1, text: "" });
    }
  }

  #places(node: Node): Place[] {
    const properties = node.children ?? [];
    return properties.map((property, index) => {
      const child = property.children?.[1];
      if (child === undefined) throw new Error("BUG: a property without a value");
      const end = properties[index + 1]?.offset ?? node.offset + node.length - 1;
      return { property, node: child, comma: this.#comma(endOf(property), end) };
    });
  }

  /** The comma between two offsets, comments apart. */
  #comma(start: number, end: number): number | null {
    const scanner = createScanner(this.#text, true);
    scanner.setPosition(start);
    const kind: number = scanner.scan();
    const found = kind === TOKEN.comma && scanner.getTokenOffset() < end;
    return found ? scanner.getTokenOffset() : null;
  }

  /** From the comments that lead a member to its comma, with the rest of its lines if bare. */
  #removal(node: Node, places: readonly Place[], index: number): Splice {
    const place = places[index];
    if (place === undefined) throw new Error("BUG: no such member");
    const { property, comma } = place;
    const lines = this.#lines;
    const end = comma === null ? endOf(property) : comma + 1;
    const limit = places[index + 1]?.property.offset ?? node.offset + node.length - 1;
    const after = this.#text.slice(end, Math.min(limit, lines.start(lines.at(end) + 1)));
    const ownLines = lines.isFirst(property.offset) &&
      lines.at(node.offset) < lines.at(property.offset) &&
      lines.at(limit) > lines.at(end) &&
      (after.trim() === "" || /^[ \t]*\/\//.test(after));
    if (!ownLines) {
      const next = places[index + 1];
      return { start: property.offset, end: next?.property.offset ?? end, text: "" };
    }
    const first = lines.at(property.offset);
    const lead = lines.lead(first, isCommentLine).length;
    return { start: lines.start(first - lead), end: lines.start(lines.at(end) + 1), text: "" };
  }

  #firstMembers(node: Node, added: readonly (readonly [string, Value])[]): Splice {
    const { eol } = this.#lines;
    const outer = this.#lines.indent(this.#lines.at(node.offset));
    const inner = outer + this.#unit;
    const text = added.map(([key, value]) => eol + this.#member(key, value, inner)).join(",");
    const close = node.offset + node.length - 1;
    const blank = this.#text.slice(node.offset + 1, close).trim() === "";
    const start = blank ? node.offset + 1 : close;
    return { start, end: close, text: `${text}${eol}${outer}` };
  }

  /** Adds members behind the last one that stays. */
  #append(
    node: Node,
    places: readonly Place[],
    last: Place,
    added: readonly (readonly [string, Value])[],
    splices: Splice[],
  ): void {
    const lines = this.#lines;
    const end = endOf(last.property);
    const close = node.offset + node.length - 1;
    const trailing = places.at(-1)?.comma !== null ? "," : "";
    const behind = last.comma === null ? end : last.comma + 1;
    if (last.comma === null) splices.push({ start: end, end, text: "," });
    const index = places.indexOf(last);
    const limit = places[index + 1]?.property.offset ?? close;
    if (lines.at(limit) === lines.at(behind)) {
      // All on one line: members follow on it, without comments that would end the line.
      const bare = added.map(([key, value]) =>
        ` ${JSON.stringify(key)}: ${render(value, "", this.#unit, lines.eol)}`
      ).join(",");
      splices.push({ start: behind, end: behind, text: bare + trailing });
      return;
    }
    const indent = lines.indent(lines.at(last.property.offset));
    const start = lineEnd(this.#text, behind);
    const text = added.map(([key, value]) => lines.eol + this.#member(key, value, indent)).join(
      ",",
    );
    splices.push({ start, end: start, text: text + trailing });
  }

  /** One member on lines of its own, under its comments; it begins with its indent. */
  #member(key: string, value: Value, indent: string): string {
    const lines = value.lead.map((comment) => indent + comment + this.#lines.eol).join("");
    const text = render(value, indent, this.#unit, this.#lines.eol);
    return `${lines}${indent}${JSON.stringify(key)}: ${text}`;
  }
}

function endOf(node: Node): number {
  return node.offset + node.length;
}

function lineEnd(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  if (end < 0) return text.length;
  return text[end - 1] === "\r" && end - 1 >= at ? end - 1 : end;
}

/** The parser recurses: the depth is counted first. */
function requireShallow(text: string): void {
  const scanner = createScanner(text, true);
  let depth = 0;
  for (let kind: number = scanner.scan(); kind !== TOKEN.end; kind = scanner.scan()) {
    if (kind === TOKEN.openBrace || kind === TOKEN.openBracket) depth += 1;
    if (kind === TOKEN.closeBrace || kind === TOKEN.closeBracket) depth -= 1;
    if (depth > STRUCTURED_DEPTH_MAX) {
      throw new NotStructured(`Nests deeper than ${STRUCTURED_DEPTH_MAX} levels`);
    }
  }
}

function render(value: Value, indent: string, unit: string, eol: string): string {
  if (value.kind === "scalar") {
    if (value.type === "string") return JSON.stringify(value.text);
    if (value.type === "other") throw new NotStructured(`JSON has no value like ${value.text}`);
    return value.text;
  }
  if (value.kind === "array" && value.items.every(({ kind }) => kind === "scalar")) {
    // As people write short lists.
    const list = `[${value.items.map((item) => render(item, "", unit, eol)).join(", ")}]`;
    if (list.length <= SHORT_LIST_MAX) return list;
  }
  const inner = indent + unit;
  const [open, close] = value.kind === "array" ? ["[", "]"] : ["{", "}"];
  const parts = value.kind === "array"
    ? value.items.map((item) => inner + render(item, inner, unit, eol))
    : [...value.members].map(([key, member]) =>
      member.lead.map((comment) => inner + comment + eol).join("") +
      `${inner}${JSON.stringify(key)}: ${render(member, inner, unit, eol)}`
    );
  if (parts.length === 0) return open + close;
  return `${open}${eol}${parts.join(`,${eol}`)}${eol}${indent}${close}`;
}
