/**
 * The value of a structured file (JSON, YAML, TOML, INI), free of any format: what patching,
 * merging and composing work on. The rooms that know a format turn text into a value and a
 * changed value back into text.
 *
 * V1. A scalar keeps the text that it was written with, so numbers of any size stay exact.
 *     Two scalars are the same only where type and text are: `1` and `1.0` differ.
 * V2. Members are a map in file order: a key is never a property of an object, so
 *     `__proto__` is a key like any other. Order and comments are no part of the value.
 */
export type ScalarType = "string" | "number" | "boolean" | "null" | "other";

interface Sourced {
  /** Line of the file that it came from, from 1; null where it was made here. */
  readonly line: number | null;
  /** Comment lines that stand directly above it, as they are written there. */
  readonly lead: readonly string[];
}

export interface ObjectValue extends Sourced {
  readonly kind: "object";
  readonly members: ReadonlyMap<string, Value>;
}

export interface ArrayValue extends Sourced {
  readonly kind: "array";
  readonly items: readonly Value[];
}

export interface ScalarValue extends Sourced {
  readonly kind: "scalar";
  readonly type: ScalarType;
  /** A string's characters; else the literal, normalized where the type has few values. */
  readonly text: string;
}

export type Value = ObjectValue | ArrayValue | ScalarValue;

/** A JSON value as `JSON.parse` answers it. */
export type Json = null | boolean | number | string | readonly Json[] | {
  readonly [key: string]: Json;
};

const MADE: Sourced = { line: null, lead: [] };

/** The same value; where it stands and which comments it has make no difference. */
export function sameValue(one: Value, other: Value): boolean {
  if (one === other) return true;
  if (one.kind === "scalar") {
    return other.kind === "scalar" && one.type === other.type && one.text === other.text;
  }
  if (one.kind === "array") {
    return other.kind === "array" && one.items.length === other.items.length &&
      one.items.every((item, index) => sameOrMissing(item, other.items[index]));
  }
  return other.kind === "object" && one.members.size === other.members.size &&
    [...one.members].every(([key, member]) => sameOrMissing(member, other.members.get(key)));
}

function sameOrMissing(one: Value, other: Value | undefined): boolean {
  return other !== undefined && sameValue(one, other);
}

export function objectValue(members: ReadonlyMap<string, Value>, like: Sourced = MADE): Value {
  return { kind: "object", members, line: like.line, lead: like.lead };
}

/** A JSON value as a value; `requireExact` has seen its numbers. */
export function valueOfJson(json: Json): Value {
  if (json === null) return { ...MADE, kind: "scalar", type: "null", text: "null" };
  if (isArray(json)) return { ...MADE, kind: "array", items: json.map(valueOfJson) };
  if (typeof json === "object") {
    return objectValue(new Map(Object.entries(json).map(([key, one]) => [key, valueOfJson(one)])));
  }
  const type = typeof json === "string"
    ? "string"
    : typeof json === "number"
    ? "number"
    : "boolean";
  return { ...MADE, kind: "scalar", type, text: String(json) };
}

/** The document after a merge patch (RFC 7386): null removes, objects merge, all else replaces. */
export function mergePatched(target: Value | null, patch: Json): Value {
  if (patch === null || isArray(patch) || typeof patch !== "object") return valueOfJson(patch);
  const members = new Map(target?.kind === "object" ? target.members : []);
  for (const [key, one] of Object.entries(patch)) {
    if (one === null) members.delete(key);
    else members.set(key, mergePatched(members.get(key) ?? null, one));
  }
  return objectValue(members, target ?? MADE);
}

/** Whole numbers of a patch that a JSON parser cannot have read exactly; the first one's place. */
export function inexactNumber(json: Json, path: readonly string[] = []): readonly string[] | null {
  if (typeof json === "number") {
    return Number.isInteger(json) && !Number.isSafeInteger(json) ? path : null;
  }
  if (json === null || typeof json !== "object") return null;
  for (const [key, one] of Object.entries(json)) {
    const found = inexactNumber(one, [...path, key]);
    if (found !== null) return found;
  }
  return null;
}

/** A key's place for a person: `editor."a b".size`, items as `list[2]`. */
export function keyText(path: readonly (string | number)[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    const plain = /^[^\s."'[\]]+$/u.test(part) ? part : JSON.stringify(part);
    return text === "" ? plain : `${text}.${plain}`;
  }, "");
}

function isArray(json: Json): json is readonly Json[] {
  return Array.isArray(json);
}
