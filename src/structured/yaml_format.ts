/**
 * YAML 1.2, one document. Values are changed in the text by the ranges that the parser
 * gives; where the layout does not allow that (a flow map, a key behind a dash) the parsed
 * document is changed and printed, which keeps comments and order but not all white space.
 */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  Pair,
  parseDocument,
  type Scalar,
  type YAMLMap,
} from "yaml";
import { STRUCTURED_DEPTH_MAX, STRUCTURED_NODES_MAX } from "../core/limits.ts";
import {
  type ObjectValue,
  sameValue,
  type ScalarType,
  type Value,
} from "../core/structured_value.ts";
import { keyText, renderBlock, renderValue, scalarText } from "./yaml_text.ts";
import {
  Lines,
  NotStructured,
  type Splice,
  spliced,
  type StructuredFormat,
} from "./structured_format.ts";

export const YAML_FORMAT: StructuredFormat = {
  name: "YAML",
  adapt: (value) => value,
  parse: (text) => new YamlText(text).value,
  rewrite,
  render: (value) => renderBlock(value, "").replace(/^\n/, "") + "\n",
  comments,
  isCommentLine: (line) => /^\s*#/.test(line),
};

/** By the text where that can be done, else by the parsed document. */
function rewrite(text: string, target: Value): string {
  const parsed = new YamlText(text);
  const changed = parsed.rewritten(target);
  if (changed !== null && sameValue(new YamlText(changed).value, target)) return changed;
  return parsed.reprinted(target);
}

function comments(text: string): string[] {
  // Quoted strings and block scalars may hold a "#"; what looks like a comment counts as one.
  return text.split(/\r?\n/).flatMap((line) => {
    const found = /(?:^|\s)(#.*)$/.exec(line)?.[1];
    return found === undefined ? [] : [found.trim()];
  });
}

const KNOWN_TAGS = /^tag:yaml\.org,2002:(str|int|float|bool|null|map|seq)$/;

class YamlText {
  readonly #text: string;
  readonly #lines: Lines;
  readonly #document: Document.Parsed;
  readonly #values = new Map<Node, Value>();
  #nodes = 0;
  readonly value: Value;

  constructor(text: string) {
    this.#text = text;
    this.#lines = new Lines(text);
    const lineCounter = new LineCounter();
    // Duplicates are looked for below: the parser compares each key with all others.
    const document = parseDocument(text, {
      lineCounter,
      intAsBigInt: true,
      prettyErrors: false,
      uniqueKeys: false,
    });
    const [error] = document.errors;
    if (error !== undefined) {
      throw new NotStructured(`Not YAML: ${error.message}`, lineCounter.linePos(error.pos[0]).line);
    }
    this.#document = document;
    this.value = document.contents === null
      ? { kind: "scalar", type: "null", text: "null", line: 1, lead: [] }
      : this.#valueOf(document.contents, 1, [], 0);
  }

  #valueOf(node: Node, line: number, lead: readonly string[], depth: number): Value {
    this.#nodes += 1;
    if (depth > STRUCTURED_DEPTH_MAX) {
      throw new NotStructured(`Nests deeper than ${STRUCTURED_DEPTH_MAX} levels`, line);
    }
    if (this.#nodes > STRUCTURED_NODES_MAX) {
      throw new NotStructured(`Stands for more than ${STRUCTURED_NODES_MAX} values`, line);
    }
    const value = this.#made(node, line, lead, depth);
    this.#values.set(node, value);
    return value;
  }

  #made(node: Node, line: number, lead: readonly string[], depth: number): Value {
    const here = { line, lead };
    if (isAlias(node)) {
      const target = node.resolve(this.#document);
      if (target === undefined) throw new NotStructured(`Alias ${node.source} is not known`, line);
      return this.#made(target, line, lead, depth + 1);
    }
    if (node.tag !== undefined && !KNOWN_TAGS.test(node.tag)) {
      const tag = node.tag.startsWith("tag:") ? `!<${node.tag}>` : node.tag;
      const text = `${tag} ${this.#source(node).trimEnd()}`;
      return { ...here, kind: "scalar", type: "other", text };
    }
    if (isMap(node)) {
      const members = new Map<string, Value>();
      for (const pair of node.items) this.#addMember(members, pair, line, depth);
      return { ...here, kind: "object", members };
    }
    if (isSeq(node)) {
      const items = node.items.map((item) => {
        const child = nodeIn(item);
        return this.#valueOf(child, this.#lineOf(child, line), [], depth + 1);
      });
      return { ...here, kind: "array", items };
    }
    if (isScalar(node)) return { ...here, kind: "scalar", ...scalarOf(node) };
    throw new NotStructured("Not a value that YAML files share with others", line);
  }

  #addMember(members: Map<string, Value>, pair: Pair, above: number, depth: number): void {
    const key = pair.key;
    if (!isScalar(key)) throw new NotStructured("A key is a list, a map or an alias", above);
    const name = typeof key.value === "string" ? key.value : key.source ?? String(key.value);
    const line = this.#lineOf(key, above);
    if (members.has(name)) throw new NotStructured(`Duplicate key ${name}`, line);
    const first = key.range !== undefined && key.range !== null &&
      this.#lines.isFirst(key.range[0]);
    const lead = first ? this.#lines.lead(line, YAML_FORMAT.isCommentLine) : [];
    members.set(
      name,
      pair.value === null
        ? { kind: "scalar", type: "null", text: "null", line, lead }
        : this.#valueOf(nodeIn(pair.value), line, lead, depth + 1),
    );
  }

  #lineOf(node: Node, otherwise: number): number {
    return node.range ? this.#lines.at(node.range[0]) : otherwise;
  }

  #source(node: Node): string {
    return node.range ? this.#text.slice(node.range[0], node.range[1]) : "";
  }

  /** The changed text, or null where the layout asks for printing. */
  rewritten(target: Value): string | null {
    const splices: Splice[] = [];
    const { contents } = this.#document;
    if (contents === null) return null;
    return this.#change(contents, target, splices) ? spliced(this.#text, splices) : null;
  }

  #change(node: Node, target: Value, splices: Splice[]): boolean {
    const now = this.#values.get(node);
    if (now !== undefined && sameValue(now, target)) return true;
    if (now?.kind === "object" && target.kind === "object" && isMap(node)) {
      return node.flow !== true && this.#changeMap(node, now, target, splices);
    }
    const inline = isScalar(node) && (node.type === "PLAIN" || node.type?.startsWith("QUOTE"));
    if (!inline || target.kind !== "scalar" || !node.range) return false;
    const [start, end] = node.range;
    const gap = start === end ? " " : "";
    splices.push({ start, end, text: gap + scalarText(target) });
    return true;
  }

  #changeMap(map: YAMLMap, now: ObjectValue, target: ObjectValue, splices: Splice[]): boolean {
    let last: Pair | null = null;
    for (const pair of map.items) {
      const wanted = target.members.get(nameOf(pair));
      if (wanted === undefined) {
        if (!this.#cut(pair, splices)) return false;
        continue;
      }
      last = pair;
      const node = pair.value === null ? null : nodeIn(pair.value);
      const before = now.members.get(nameOf(pair));
      if (before !== undefined && sameValue(before, wanted)) continue;
      const mark = splices.length;
      if (node !== null && this.#change(node, wanted, splices)) continue;
      splices.length = mark;
      if (!this.#replace(pair, wanted, splices)) return false;
    }
    const added = [...target.members].filter(([key]) => !now.members.has(key));
    if (last === null) return false;
    const place = this.#placeOf(last);
    if (added.length > 0 && place === null) return false;
    if (place === null || added.length === 0) return true;
    const at = this.#lineEnd(place.end);
    const text = added.map(([key, value]) =>
      value.lead.map((line) => `${place.indent}${line}\n`).join("") +
      `${place.indent}${keyText(key)}:${renderValue(value, place.indent)}`
    ).join("\n");
    const eol = this.#lines.eol;
    splices.push({ start: at, end: at, text: eol + text.replaceAll("\n", eol) });
    return true;
  }

  /** Where a pair of a block map stands, or null where its line is not its own. */
  #placeOf(pair: Pair): { start: number; end: number; indent: string } | null {
    const key = isScalar(pair.key) ? pair.key.range : null;
    if (!key) return null;
    const line = this.#lines.at(key[0]);
    const behindDash = /^\s*(- +)+$/.test(this.#text.slice(this.#lines.start(line), key[0]));
    if (!behindDash && !this.#lines.isFirst(key[0])) return null;
    const range = pair.value === null ? key : nodeIn(pair.value).range ?? key;
    let end = Math.max(range[1], key[1]);
    while (end > key[1] && /\s/.test(this.#text[end - 1] ?? "")) end -= 1;
    const indent = " ".repeat(key[0] - this.#lines.start(line));
    return { start: key[0], end, indent };
  }

  #lineEnd(at: number): number {
    const line = this.#lines.at(at);
    return this.#lines.start(line) + this.#lines.line(line).length;
  }

  #cut(pair: Pair, splices: Splice[]): boolean {
    const place = this.#placeOf(pair);
    if (place === null || !this.#lines.isFirst(place.start)) return false;
    const line = this.#lines.at(place.start);
    const lead = this.#lines.lead(line, YAML_FORMAT.isCommentLine).length;
    const end = this.#lines.start(this.#lines.at(place.end) + 1);
    splices.push({ start: this.#lines.start(line - lead), end, text: "" });
    return true;
  }

  /** Writes the whole value of a pair anew. */
  #replace(pair: Pair, target: Value, splices: Splice[]): boolean {
    const place = this.#placeOf(pair);
    const key = isScalar(pair.key) ? pair.key.range : null;
    if (place === null || !key) return false;
    const colon = this.#text.indexOf(":", key[1]);
    if (colon < 0 || this.#text.slice(key[1], colon).trim() !== "") return false;
    const text = renderValue(target, place.indent).replaceAll("\n", this.#lines.eol);
    splices.push({ start: colon + 1, end: Math.max(place.end, colon + 1), text });
    return true;
  }

  /** Changes the parsed document and prints it. */
  reprinted(target: Value): string {
    const document = this.#document;
    const { contents } = document;
    if (contents === null || !isMap(contents) || target.kind !== "object") {
      document.contents = parseDocument(YAML_FORMAT.render(target), { intAsBigInt: true }).contents;
    } else this.#update(contents, target);
    const text = document.toString({
      lineWidth: 0,
      flowCollectionPadding: !/\{\S/.test(this.#text),
    });
    return this.#lines.eol === "\n" ? text : text.replaceAll("\n", "\r\n");
  }

  #update(map: YAMLMap, target: ObjectValue): void {
    const now = this.#values.get(map);
    const before = now?.kind === "object" ? now.members : new Map<string, Value>();
    map.items = map.items.filter((pair) => target.members.has(nameOf(pair)));
    for (const [key, wanted] of target.members) {
      const old = before.get(key);
      if (old !== undefined && sameValue(old, wanted)) continue;
      const pair = map.items.find((one) => nameOf(one) === key);
      const value = pair?.value;
      if (wanted.kind === "object" && isMap(value)) {
        this.#update(value, wanted);
        continue;
      }
      const fresh = parseDocument(`x:${renderValue(wanted, "")}\n`, { intAsBigInt: true });
      const node = fresh.get("x", true);
      if (pair === undefined) map.items.push(pairOf(this.#document, key, node));
      else pair.value = node;
    }
  }
}

function pairOf(document: Document, key: string, value: unknown): Pair {
  return new Pair(document.createNode(key), value);
}

function nodeIn(value: unknown): Node {
  if (isAlias(value) || isMap(value) || isSeq(value) || isScalar(value)) return value;
  throw new NotStructured("Not a value that YAML files share with others");
}

function nameOf(pair: Pair): string {
  const key = pair.key;
  if (!isScalar(key)) return "";
  return typeof key.value === "string" ? key.value : key.source ?? String(key.value);
}

function scalarOf(node: Scalar): { readonly type: ScalarType; readonly text: string } {
  const { value } = node;
  if (typeof value === "string") return { type: "string", text: value };
  if (value === null) return { type: "null", text: "null" };
  if (typeof value === "boolean") return { type: "boolean", text: String(value) };
  const number = typeof value === "number" || typeof value === "bigint";
  return { type: number ? "number" : "other", text: node.source ?? String(value) };
}
