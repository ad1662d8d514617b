/**
 * Bytes of a request body to a JSON value that is safe to look at.
 *
 * J1. No JSON is parsed before its nesting was counted: parsing 16 MiB of brackets takes
 *     V8 five seconds, in which the daemon would serve nobody.
 * J2. No string in the result, names included, has a lone surrogate.
 * J3. No member is called `__proto__`: objects that are copied member by member, as schemas
 *     do, would lose it without a word.
 */
import { LayerdError, messageOf } from "../core/errors.ts";
import { REQUEST_JSON_DEPTH_MAX } from "../core/limits.ts";
import { fieldOf } from "./decode.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** Sets the bit in which `[` and `{`, and `]` and `}`, differ. */
const CURLY = 0x20;
const OPENING = 0x7b;
const CLOSING = 0x7d;
// UTF-8 cannot carry a surrogate, so a lone one can only come from an escape; a name can.
const SUSPICIOUS = /\\u|__proto__/;

const decoder = new TextDecoder("utf-8", { fatal: true });

/** The JSON value of a body; an empty body is `{}`. Throws `invalid_request`. */
export function parseJsonBody(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return {};
  requireShallow(bytes);
  const text = decodeText(bytes);
  const value = parse(text);
  if (SUSPICIOUS.test(text)) requireSound(value, []);
  return value;
}

/** Counts brackets outside strings; wherever the bytes are no JSON the parser says so. */
function requireShallow(bytes: Uint8Array): void {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    if (inString) {
      if (byte === BACKSLASH) at += 1;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) {
      inString = true;
    } else if ((byte | CURLY) === OPENING) {
      depth += 1;
      if (depth > REQUEST_JSON_DEPTH_MAX) throw tooDeep();
    } else if ((byte | CURLY) === CLOSING) {
      depth -= 1;
    }
  }
}

function tooDeep(): LayerdError {
  return new LayerdError(
    "invalid_request",
    `The body nests deeper than ${REQUEST_JSON_DEPTH_MAX} levels`,
    { limit: REQUEST_JSON_DEPTH_MAX },
  );
}

function decodeText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (error) {
    throw new LayerdError("invalid_request", "The body is not valid UTF-8", {}, error);
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const detail = `The body is not valid JSON: ${messageOf(error)}`;
    throw new LayerdError("invalid_request", detail, {}, error);
  }
}

function requireSound(value: unknown, path: readonly PropertyKey[]): void {
  if (typeof value === "string") {
    if (!value.isWellFormed()) throw loneSurrogate(path);
  } else if (Array.isArray(value)) {
    value.forEach((element, index) => requireSound(element, [...path, index]));
  } else if (typeof value === "object" && value !== null) {
    for (const [name, member] of Object.entries(value)) {
      if (!name.isWellFormed()) throw loneSurrogate(path);
      if (name === "__proto__") throw prototypeMember(path);
      requireSound(member, [...path, name]);
    }
  }
}

function loneSurrogate(path: readonly PropertyKey[]): LayerdError {
  const field = fieldOf(path);
  return new LayerdError(
    "invalid_request",
    `${field === "" ? "A name in the request" : `Field ${field}`} has a lone surrogate`,
    field === "" ? {} : { field },
  );
}

function prototypeMember(path: readonly PropertyKey[]): LayerdError {
  const field = fieldOf([...path, "__proto__"]);
  return new LayerdError("invalid_request", `Field ${field} is not known`, { field });
}
