/** TOML 1.0 of values: tables on lines, everything else on one. */
import type { ObjectValue, Value } from "../core/structured_value.ts";
import { NotStructured } from "./structured_format.ts";

/** A key, quoted where it must be. */
export function keyText(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : stringText(key);
}

function stringText(text: string): string {
  return JSON.stringify(text).replaceAll("\x7f", "\\u007f");
}

/** `[a."b c"]` */
export function header(path: readonly string[]): string {
  return `[${path.map(keyText).join(".")}]`;
}

/** The lines of a table and, behind it, of the tables in it. */
export function renderTable(
  path: readonly string[],
  value: ObjectValue,
  lead: readonly string[] = [],
): string[] {
  const lines = path.length === 0 ? [] : ["", ...lead, header(path)];
  for (const [key, member] of value.members) {
    if (member.kind === "object") continue;
    lines.push(...member.lead, `${keyText(key)} = ${renderInline(member)}`);
  }
  for (const [key, member] of value.members) {
    if (member.kind === "object") lines.push(...renderTable([...path, key], member, member.lead));
  }
  return lines;
}

/** A value on one line. */
export function renderInline(value: Value): string {
  if (value.kind === "array") return `[${value.items.map(renderInline).join(", ")}]`;
  if (value.kind === "object") {
    const pairs = [...value.members].map(([key, one]) => `${keyText(key)} = ${renderInline(one)}`);
    return pairs.length === 0 ? "{}" : `{ ${pairs.join(", ")} }`;
  }
  if (value.type === "null") throw new NotStructured("TOML has no null");
  return value.type === "string" ? stringText(value.text) : value.text;
}
