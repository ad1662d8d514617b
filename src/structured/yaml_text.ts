/** YAML of values, in block style. */
import type { Value } from "../core/structured_value.ts";

/** Plain where no reader of any YAML version takes it for something else. */
const PLAIN = /^[A-Za-z_][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*$/;
const RESERVED = /^(?:true|false|null|yes|no|on|off|y|n)$/i;

/** A key, or a string: quoted where a reader could take it for something else. */
export function keyText(key: string): string {
  return PLAIN.test(key) && !RESERVED.test(key) ? key : JSON.stringify(key);
}

/** A scalar on one line. */
export function scalarText({ type, text }: Extract<Value, { kind: "scalar" }>): string {
  return type === "string" ? keyText(text) : text;
}

/** What stands behind `key:`, with the blank or the line break before it. */
export function renderValue(value: Value, indent: string): string {
  const text = renderBlock(value, `${indent}  `);
  return text.startsWith("\n") ? text : ` ${text}`;
}

/** A value in block style; a collection that is not empty begins with a line break. */
export function renderBlock(value: Value, indent: string): string {
  if (value.kind === "scalar") return scalarText(value);
  if (value.kind === "array") {
    if (value.items.length === 0) return "[]";
    return value.items.map((item) => {
      const text = renderBlock(item, `${indent}  `);
      // A collection begins on the dash's line.
      return `\n${indent}- ${text.startsWith("\n") ? text.trimStart() : text}`;
    }).join("");
  }
  if (value.members.size === 0) return "{}";
  return [...value.members].map(([key, member]) =>
    member.lead.map((line) => `\n${indent}${line}`).join("") +
    `\n${indent}${keyText(key)}:${renderValue(member, indent)}`
  ).join("");
}
