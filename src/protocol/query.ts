/**
 * Query strings, decoded strictly: what URLSearchParams would repair (bad escapes, bad
 * UTF-8) or pick from (a repeated parameter) is refused, so that nothing is misread.
 */
import { z } from "zod";
import { LayerdError } from "../core/errors.ts";
import { quote } from "../core/ids.ts";
import { PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX } from "../core/limits.ts";
import { decode } from "./decode.ts";
import { parsedString } from "./names.ts";

/** What is asked for again and again (a file that is polled) is decoded once. */
const REMEMBERED_MAX = 256;
const REMEMBERED_LENGTH_MAX = 512;
const remembered = new WeakMap<z.ZodType, Map<string, unknown>>();

/** Decodes what stands after `?` by a strict object schema; throws `invalid_request`. */
export function decodeQuery<S extends z.ZodType>(schema: S, search: string): z.output<S> {
  let known = remembered.get(schema);
  if (known === undefined) remembered.set(schema, known = new Map());
  const before = known.get(search);
  if (before !== undefined) return before as z.output<S>;
  const values = decodeSearch(schema, search);
  if (search.length > REMEMBERED_LENGTH_MAX) return values;
  if (known.size === REMEMBERED_MAX) known.clear();
  known.set(search, Object.freeze(values));
  return values;
}

function decodeSearch<S extends z.ZodType>(schema: S, search: string): z.output<S> {
  const values = new Map<string, string>();
  for (const pair of search.split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = unescape(equals < 0 ? pair : pair.slice(0, equals), pair);
    if (values.has(name)) {
      throw new LayerdError("invalid_request", `Parameter ${quote(name)} is given twice`, {
        field: name,
      });
    }
    values.set(name, unescape(equals < 0 ? "" : pair.slice(equals + 1), name));
  }
  return decode(schema, Object.fromEntries(values));
}

function unescape(text: string, field: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch (error) {
    const detail = `Parameter ${quote(field)} is not percent-encoded UTF-8`;
    throw new LayerdError("invalid_request", detail, { field }, error);
  }
}

/** An integer within bounds, in plain decimal digits. */
export function queryInteger(min: number, max: number): z.ZodType<number, string> {
  return parsedString((text) => {
    const value = /^(0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : NaN;
    if (value >= min && value <= max) return value;
    throw new LayerdError(
      "invalid_request",
      `Parameter must be an integer from ${min} to ${max}, not ${quote(text)}`,
    );
  }, { description: "Decimal digits", type: "integer", minimum: min, maximum: max });
}

/** `true` or `false`. */
export const queryFlag: z.ZodType<boolean, string> = z.enum(["true", "false"])
  .transform((text) => text === "true").meta({ type: "boolean", enum: [true, false] });

/** Entries of one page. */
export const pageLimit = queryInteger(1, PAGE_LIMIT_MAX).default(PAGE_LIMIT_DEFAULT);
