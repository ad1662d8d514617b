/**
 * TOML 1.0, by the ranges of toml-eslint-parser's tree. A value is replaced where it stands;
 * a new key goes behind the last one of its table, a new table to the end of the file.
 * A list of tables is one value, as lists are everywhere: changed, it becomes `key = [...]`.
 */
import { type AST, parseTOML } from "toml-eslint-parser";
import { STRUCTURED_DEPTH_MAX, STRUCTURED_NODES_MAX } from "../core/limits.ts";
import { type ObjectValue, sameValue, type Value } from "../core/structured_value.ts";
import { header, keyText, renderInline, renderTable } from "./toml_text.ts";
import {
  Lines,
  NotStructured,
  type Splice,
  spliced,
  type StructuredFormat,
} from "./structured_format.ts";

export const TOML_FORMAT: StructuredFormat = {
  name: "TOML",
  adapt: (value) => value,
  parse: (text) => new TomlText(text).root.value(),
  rewrite: (text, target) => new TomlText(text).rewritten(target),
  render: (value) => renderTable([], objectOf(value)).join("\n").replace(/^\n/, "") + "\n",
  comments: (text) => parse(text).comments.map((comment) => `#${comment.value}`.trim()),
  isCommentLine: (line) => /^\s*#/.test(line),
};

/** What stands in the text for one table, however it is written. */
class Table {
  readonly members = new Map<string, Table | Tables | Leaf>();
  line: number;
  lead: readonly string[];
  /** `[header]` that opens it. */
  header: AST.TOMLTable | null = null;
  /** Its last key where it is only written as `prefix.key = value`. */
  dotted: { readonly last: AST.TOMLKeyValue; readonly prefix: string } | null = null;
  /** The last of the keys that stand right under its header, or at the top. */
  last: AST.TOMLKeyValue | null = null;
  /** Everything in the text that is there only for it. */
  readonly parts: Part[] = [];

  constructor(line: number, lead: readonly string[]) {
    this.line = line;
    this.lead = lead;
  }

  value(): ObjectValue {
    const members = new Map<string, Value>();
    for (const [key, member] of this.members) members.set(key, member.value());
    return { kind: "object", members, line: this.line, lead: this.lead };
  }
}

/** `[[name]]` tables. */
class Tables {
  readonly items: Table[] = [];
  readonly parts: Part[] = [];

  value(): Value {
    const [first] = this.items;
    const items = this.items.map((item) => item.value());
    return { kind: "array", items, line: first?.line ?? null, lead: first?.lead ?? [] };
  }
}

class Leaf {
  readonly parts: Part[];
  readonly node: AST.TOMLContentNode;
  readonly #value: Value;

  constructor(part: AST.TOMLKeyValue, value: Value) {
    this.parts = [part];
    this.node = part.value;
    this.#value = value;
  }

  value(): Value {
    return this.#value;
  }
}

type Part = AST.TOMLKeyValue | AST.TOMLTable;

class TomlText {
  readonly #text: string;
  readonly #lines: Lines;
  readonly #splices: Splice[] = [];
  readonly #sections: string[] = [];
  readonly #firstTable: AST.TOMLTable | null;
  #nodes = 0;
  readonly root: Table;

  constructor(text: string) {
    this.#text = text;
    this.#lines = new Lines(text);
    this.root = new Table(1, []);
    let firstTable: AST.TOMLTable | null = null;
    for (const node of parse(text).body[0].body) {
      if (node.type === "TOMLKeyValue") this.#addPair(this.root, node);
      else {
        firstTable ??= node;
        const table = this.#open(node);
        for (const pair of node.body) this.#addPair(table, pair);
      }
    }
    this.#firstTable = firstTable;
  }

  /** The table that a header opens. */
  #open(node: AST.TOMLTable): Table {
    const line = node.loc.start.line;
    const lead = this.#lines.lead(line, TOML_FORMAT.isCommentLine);
    const keys = node.resolvedKey.filter((key) => typeof key === "string");
    let table = this.root;
    for (const [index, key] of keys.entries()) {
      const isLast = index === keys.length - 1;
      const opens = isLast && node.kind === "array";
      const next = table.members.get(key) ??
        (opens ? new Tables() : new Table(line, isLast ? lead : []));
      if (next instanceof Leaf) throw new NotStructured("A table stands for a value", line);
      table.members.set(key, next);
      next.parts.push(node);
      if (opens && next instanceof Tables) next.items.push(new Table(line, lead));
      const inner = next instanceof Tables ? next.items.at(-1) : next;
      if (inner === undefined) throw new NotStructured("A table of an empty list", line);
      table = inner;
    }
    table.header = node;
    table.line = line;
    table.lead = lead;
    return table;
  }

  #addPair(container: Table, pair: AST.TOMLKeyValue): void {
    const keys = pair.key.keys.map((key) => key.type === "TOMLBare" ? key.name : key.value);
    const last = keys.pop();
    if (last === undefined) throw new NotStructured("A key is empty");
    const line = pair.loc.start.line;
    container.last = pair;
    let table = container;
    const prefix: string[] = [];
    for (const key of keys) {
      prefix.push(keyText(key));
      const next = table.members.get(key) ?? new Table(line, []);
      if (!(next instanceof Table)) throw new NotStructured("A table stands for a value", line);
      table.members.set(key, next);
      next.parts.push(pair);
      next.dotted = { last: pair, prefix: prefix.join(".") };
      table = next;
    }
    const lead = this.#lines.lead(line, TOML_FORMAT.isCommentLine);
    table.members.set(last, new Leaf(pair, this.#valueOf(pair.value, line, lead, 0)));
  }

  #valueOf(
    node: AST.TOMLContentNode,
    line: number,
    lead: readonly string[],
    depth: number,
  ): Value {
    this.#nodes += 1;
    if (depth > STRUCTURED_DEPTH_MAX || this.#nodes > STRUCTURED_NODES_MAX) {
      throw new NotStructured("Nests too deep or holds too many values", line);
    }
    const here = { line, lead };
    if (node.type === "TOMLArray") {
      const items = node.elements.map((one) =>
        this.#valueOf(one, one.loc.start.line, [], depth + 1)
      );
      return { ...here, kind: "array", items };
    }
    if (node.type === "TOMLInlineTable") {
      const members = new Map<string, Value>();
      for (const pair of node.body) this.#addInline(members, pair, line, depth);
      return { ...here, kind: "object", members };
    }
    if (node.kind === "string") {
      return { ...here, kind: "scalar", type: "string", text: node.value };
    }
    const text = this.#text.slice(...node.range);
    if (node.kind === "boolean") return { ...here, kind: "scalar", type: "boolean", text };
    const type = node.kind === "integer" || node.kind === "float" ? "number" : "other";
    return { ...here, kind: "scalar", type, text };
  }

  #addInline(
    members: Map<string, Value>,
    pair: AST.TOMLKeyValue,
    line: number,
    depth: number,
  ): void {
    const keys = pair.key.keys.map((key) => key.type === "TOMLBare" ? key.name : key.value);
    const last = keys.pop() ?? "";
    let at = members;
    for (const key of keys) {
      const next = at.get(key);
      const inner = new Map(next?.kind === "object" ? next.members : []);
      at.set(key, { kind: "object", members: inner, line, lead: [] });
      at = inner;
    }
    at.set(last, this.#valueOf(pair.value, pair.loc.start.line, [], depth + 1));
  }

  rewritten(target: Value): string {
    this.#change(this.root, objectOf(target), []);
    const text = spliced(this.#text, this.#splices);
    if (this.#sections.length === 0) return text;
    const { eol } = this.#lines;
    const end = text === "" || text.endsWith("\n") ? "" : eol;
    const gap = text.endsWith(eol + eol) || text === "" ? eol.length : 0;
    return text + end + this.#sections.join(eol).slice(gap) + eol;
  }

  #change(table: Table, target: ObjectValue, path: readonly string[]): void {
    const replaced = new Map<string, Value>();
    for (const [key, member] of table.members) {
      const wanted = target.members.get(key);
      if (wanted !== undefined && sameValue(member.value(), wanted)) continue;
      if (wanted !== undefined && member instanceof Leaf) {
        const [start, end] = member.node.range;
        this.#splices.push({ start, end, text: renderInline(wanted) });
      } else if (wanted?.kind === "object" && member instanceof Table) {
        this.#change(member, wanted, [...path, key]);
      } else {
        for (const part of member.parts) this.#cut(part);
        if (wanted !== undefined) replaced.set(key, wanted);
      }
    }
    for (const [key, wanted] of target.members) {
      if (!table.members.has(key)) this.#add(table, path, key, wanted);
    }
    for (const [key, wanted] of replaced) this.#add(table, path, key, wanted);
  }

  /** Cuts the lines of a part with the comments above it. */
  #cut(part: Part): void {
    const lines = this.#lines;
    const first = part.loc.start.line;
    const lead = lines.lead(first, TOML_FORMAT.isCommentLine).length;
    const start = lines.start(first - lead);
    const end = lines.start(lines.at(part.range[1]) + 1);
    if (this.#splices.some((other) => other.start === start && other.end === end)) return;
    this.#splices.push({ start, end, text: "" });
  }

  #add(table: Table, path: readonly string[], key: string, value: Value): void {
    const { eol } = this.#lines;
    if (table.dotted !== null && table.header === null) {
      const { last, prefix } = table.dotted;
      return this.#line(last, `${prefix}.${keyText(key)} = ${renderInline(value)}`, value.lead);
    }
    if (value.kind === "object") {
      const section = renderTable([...path, key], value, value.lead);
      this.#sections.push(section.join(eol));
      return;
    }
    const text = `${keyText(key)} = ${renderInline(value)}`;
    const anchor = table.last ?? table.header;
    if (table === this.root && table.last === null) return this.#top(text, value.lead);
    if (anchor === null) this.#sections.push(["", header(path), ...value.lead, text].join(eol));
    else this.#line(anchor, text, value.lead);
  }

  /** A line behind the one on which a pair ends, or a header stands. */
  #line(anchor: Part, text: string, lead: readonly string[]): void {
    const lines = this.#lines;
    const line = anchor.type === "TOMLTable" ? anchor.loc.start.line : lines.at(anchor.range[1]);
    const at = lines.start(line + 1);
    const gap = at > 0 && this.#text[at - 1] !== "\n" ? lines.eol : "";
    const added = [...lead, text].join(lines.eol) + lines.eol;
    this.#splices.push({ start: at, end: at, text: gap + added });
  }

  /** The first key of a file: above its first table, or at its end. */
  #top(text: string, lead: readonly string[]): void {
    const lines = this.#lines;
    const first = this.#firstTable?.loc.start.line ?? null;
    const above = first === null ? 0 : lines.lead(first, TOML_FORMAT.isCommentLine).length;
    const at = first === null ? this.#text.length : lines.start(first - above);
    const gap = at > 0 && this.#text[at - 1] !== "\n" ? lines.eol : "";
    const added = [...lead, text].join(lines.eol) + lines.eol;
    this.#splices.push({ start: at, end: at, text: gap + added });
  }
}

function parse(text: string): AST.TOMLProgram {
  requireShallow(text);
  try {
    return parseTOML(text, { tomlVersion: "1.0.0" });
  } catch (error) {
    const line = error instanceof SyntaxError && "lineNumber" in error
      ? Number(error.lineNumber)
      : null;
    const reason = error instanceof Error ? error.message : String(error);
    throw new NotStructured(`Not TOML: ${reason}`, line, error);
  }
}

/** The parser recurses: brackets are counted first, those in strings and comments too. */
function requireShallow(text: string): void {
  let depth = 0;
  for (const character of text) {
    if (character === "\n" && depth < STRUCTURED_DEPTH_MAX) continue;
    if (character === "[" || character === "{") depth += 1;
    else if (character === "]" || character === "}") depth -= 1;
    if (depth > STRUCTURED_DEPTH_MAX) {
      throw new NotStructured(`Nests deeper than ${STRUCTURED_DEPTH_MAX} levels`);
    }
  }
}

function objectOf(value: Value): ObjectValue {
  if (value.kind === "object") return value;
  throw new NotStructured("A TOML file holds a table, nothing else");
}
