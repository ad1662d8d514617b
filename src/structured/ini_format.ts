/**
 * INI: `[section]` lines, `key = value` or `key: value` lines, comments that begin with `;`
 * or `#`. Line based, no library: there is no standard to follow, so only what all readers
 * agree on counts as structured. Values are strings, as they are written. A key or section
 * that stands twice, and a line that is none of these, make the file plain text.
 */
import type { ObjectValue, Value } from "../core/structured_value.ts";
import {
  Lines,
  NotStructured,
  type Splice,
  spliced,
  type StructuredFormat,
} from "./structured_format.ts";

export const INI_FORMAT: StructuredFormat = {
  name: "INI",
  adapt: texts,
  parse: (text) => new IniText(text).value,
  rewrite: (text, target) => new IniText(text).rewritten(target),
  render: (value) => renderFile(value),
  comments: (text) => text.split(/\r?\n/).map((line) => line.trim()).filter(isCommentLine),
  isCommentLine,
};

/** Every scalar as the text that INI writes for it. */
function texts(value: Value): Value {
  if (value.kind === "scalar") return { ...value, type: "string" };
  if (value.kind === "array") return value;
  const members = new Map<string, Value>();
  for (const [key, member] of value.members) members.set(key, texts(member));
  return { ...value, members };
}

function isCommentLine(line: string): boolean {
  return /^\s*[;#]/.test(line);
}

const SECTION = /^\s*\[([^\]\r\n]+)\]\s*$/;
const PAIR = /^(\s*)([^=:\s;#[][^=:]*?)(\s*[=:][ \t]*)(.*?)\s*$/;

interface Pair {
  readonly line: number;
  /** Before the value. */
  readonly head: string;
}

/** The lines of a section; the one without a name is first. */
interface Section {
  readonly line: number;
  readonly pairs: Map<string, Pair>;
  /** The line behind which a pair is added. */
  last: number;
}

class IniText {
  readonly #lines: Lines;
  readonly #text: string;
  readonly #top: Section = { line: 0, pairs: new Map(), last: 0 };
  readonly #sections = new Map<string, Section>();
  readonly #separator: string;
  readonly value: ObjectValue;

  constructor(text: string) {
    this.#text = text;
    this.#lines = new Lines(text);
    const top = new Map<string, Value>();
    let members = top;
    let section = this.#top;
    let separator: string | null = null;
    const count = this.#lines.at(text.length);
    for (let line = 1; line <= count; line += 1) {
      const content = this.#lines.line(line);
      if (content.trim() === "" || isCommentLine(content)) continue;
      const name = SECTION.exec(content)?.[1]?.trim();
      const lead = this.#lines.lead(line, isCommentLine);
      if (name !== undefined) {
        if (top.has(name)) throw new NotStructured(`Duplicate section or key ${name}`, line);
        members = new Map();
        top.set(name, { kind: "object", members, line, lead });
        section = { line, pairs: new Map(), last: line };
        this.#sections.set(name, section);
        continue;
      }
      const [, indent = "", key, equals = "=", value = ""] = PAIR.exec(content) ?? [];
      if (key === undefined) throw new NotStructured("Not INI: no key = value", line);
      if (members.has(key)) throw new NotStructured(`Duplicate key ${key}`, line);
      members.set(key, { kind: "scalar", type: "string", text: value, line, lead });
      section.pairs.set(key, { line, head: indent + key + equals });
      section.last = line;
      separator ??= equals;
    }
    this.#separator = separator ?? " = ";
    this.value = { kind: "object", members: top, line: 1, lead: [] };
  }

  rewritten(target: Value): string {
    const wanted = objectIn(target, "The file");
    const splices: Splice[] = [];
    this.#changeSection(this.#top, wanted, splices);
    for (const [name, section] of this.#sections) {
      const member = wanted.members.get(name);
      if (member === undefined) splices.push(this.#cutSection(section));
      else this.#changeSection(section, objectIn(member, name), splices);
    }
    const added = [...wanted.members].flatMap(([name, member]) =>
      member.kind === "object" && !this.#sections.has(name)
        ? [sectionLines(name, member, this.#separator)]
        : []
    );
    if (added.length > 0) {
      const text = added.map((lines) => this.#eol + lines.join(this.#eol) + this.#eol).join("");
      const gap = this.#text === "" || this.#text.endsWith("\n") ? "" : this.#eol;
      const end = this.#text.length;
      splices.push({ start: end, end, text: this.#text === "" ? text.trimStart() : gap + text });
    }
    return spliced(this.#text, splices);
  }

  get #eol(): string {
    return this.#lines.eol;
  }

  #changeSection(section: Section, wanted: ObjectValue, splices: Splice[]): void {
    const lines = this.#lines;
    for (const [key, { line, head }] of section.pairs) {
      const member = wanted.members.get(key);
      if (member === undefined || member.kind === "object") {
        const lead = lines.lead(line, isCommentLine).length;
        splices.push({ start: lines.start(line - lead), end: lines.start(line + 1), text: "" });
        continue;
      }
      const text = head + scalarText(key, member);
      if (text.trimEnd() === lines.line(line).trimEnd()) continue;
      const start = lines.start(line);
      splices.push({ start, end: start + lines.line(line).length, text });
    }
    const added = [...wanted.members].flatMap(([key, member]) => {
      if (section.pairs.has(key) || member.kind === "object") return [];
      return [...member.lead, `${key}${this.#separator}${scalarText(key, member)}`];
    });
    if (added.length === 0) return;
    const at = section.last === 0 ? 0 : lines.start(section.last + 1);
    const gap = at > 0 && this.#text[at - 1] !== "\n" ? this.#eol : "";
    splices.push({ start: at, end: at, text: gap + added.join(this.#eol) + this.#eol });
  }

  #cutSection(section: Section): Splice {
    const lines = this.#lines;
    const lead = lines.lead(section.line, isCommentLine).length;
    return {
      start: lines.start(section.line - lead),
      end: lines.start(section.last + 1),
      text: "",
    };
  }
}

function objectIn(value: Value, what: string): ObjectValue {
  if (value.kind === "object") return value;
  throw new NotStructured(`${what} must be an object in INI`);
}

function scalarText(key: string, value: Value): string {
  if (value.kind !== "scalar") throw new NotStructured(`INI has no lists: ${key}`);
  return value.text;
}

function sectionLines(name: string, section: ObjectValue, separator: string): string[] {
  return [
    ...section.lead,
    `[${name}]`,
    ...[...section.members].flatMap(([key, member]) => [
      ...member.lead,
      `${key}${separator}${scalarText(key, member)}`,
    ]),
  ];
}

function renderFile(value: Value): string {
  const { members } = objectIn(value, "The file");
  const pairs = [...members].flatMap(([key, member]) =>
    member.kind === "object" ? [] : [`${key} = ${scalarText(key, member)}`]
  );
  const sections = [...members].flatMap(([name, member]) =>
    member.kind === "object" ? [sectionLines(name, member, " = ").join("\n")] : []
  );
  const blocks = pairs.length === 0 ? sections : [pairs.join("\n"), ...sections];
  return blocks.length === 0 ? "" : blocks.join("\n\n") + "\n";
}
