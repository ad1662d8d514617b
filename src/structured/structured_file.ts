/**
 * Structured files by their names: parsed to values, changed with comments kept. This is
 * the only way into the formats, and it checks what they did.
 *
 * S1. What edited() answers parses to exactly the wanted value, in the same bytes around it:
 *     byte-order mark and line ends stay. Anything else is an error, never a damaged file.
 * S2. Bounded: files over the limits, deeper or wider ones are not structured.
 */
import { STRUCTURED_BYTES_MAX } from "../core/limits.ts";
import { sameValue, type Value } from "../core/structured_value.ts";
import { INI_FORMAT } from "./ini_format.ts";
import { JSON_FORMAT } from "./json_format.ts";
import { NotStructured, type StructuredFormat } from "./structured_format.ts";
import { TOML_FORMAT } from "./toml_format.ts";
import { YAML_FORMAT } from "./yaml_format.ts";

const FORMATS: readonly (readonly [names: RegExp, format: StructuredFormat])[] = [
  [/\.(?:json|jsonc|code-workspace)$/i, JSON_FORMAT],
  [/\.ya?ml$/i, YAML_FORMAT],
  [/\.toml$/i, TOML_FORMAT],
  [/(?:\.(?:ini|cfg)|(?:^|\/)\.editorconfig)$/i, INI_FORMAT],
];

const MARK = "\ufeff";

/** The format that a path's name says, or null. */
export function formatOf(path: string): StructuredFormat | null {
  return FORMATS.find(([names]) => names.test(path))?.[1] ?? null;
}

/** A structured file that was read. */
export interface StructuredFile {
  readonly format: StructuredFormat;
  readonly text: string;
  readonly value: Value;
}

/** Reads a file; throws {@link NotStructured}. */
export function readStructured(format: StructuredFormat, bytes: Uint8Array): StructuredFile {
  if (bytes.length > STRUCTURED_BYTES_MAX) {
    throw new NotStructured(`The file has more than ${STRUCTURED_BYTES_MAX} bytes`);
  }
  const text = decoded(bytes);
  return { format, text, value: parsed(format, text) };
}

/** The file's bytes with another value, changed as little as can be. */
export function edited(file: StructuredFile, target: Value): Uint8Array {
  const { format, text } = file;
  const wanted = format.adapt(target);
  if (sameValue(file.value, wanted)) return encoder.encode(text);
  const mark = text.startsWith(MARK) ? MARK : "";
  return checked(format, mark + format.rewrite(text.slice(mark.length), wanted), wanted);
}

/** A new file of a value. */
export function rendered(format: StructuredFormat, target: Value): Uint8Array {
  const wanted = format.adapt(target);
  return checked(format, format.render(wanted), wanted);
}

const encoder = new TextEncoder();

function checked(format: StructuredFormat, text: string, wanted: Value): Uint8Array {
  if (!sameValue(parsed(format, text), wanted)) {
    throw new NotStructured(`The change cannot be written as ${format.name}`);
  }
  return encoder.encode(text);
}

function parsed(format: StructuredFormat, text: string): Value {
  try {
    return format.parse(text.startsWith(MARK) ? text.slice(MARK.length) : text);
  } catch (error) {
    // The parsers recurse; what the depth checks let through can still be too much.
    if (error instanceof RangeError) throw new NotStructured("Nests too deep", null, error);
    throw error;
  }
}

function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new NotStructured("The file is not UTF-8", null, error);
  }
}
