/**
 * The one place where unknown data becomes typed. Whoever receives what decode() returned
 * never checks it again.
 *
 * D1. What a schema refuses becomes `invalid_request` with the first problem's text and, in
 *     `field`, its place: `operations[3].layer`, or the name of a query parameter.
 * D2. An unknown field is named before any other problem: it is mostly the misspelling
 *     that made another field missing.
 * D3. Errors of the parsers in core/ids.ts with another code (`transaction_not_found`)
 *     pass through as they are.
 */
import type { z } from "zod";
import { LayerdError } from "../core/errors.ts";
import { quote } from "../core/ids.ts";

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** The schema's output for a value; throws `invalid_request` where it does not fit. */
export function decode<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const issues = result.error.issues;
  throw refusalOf(issues.find((issue) => issue.code === "unrecognized_keys") ?? issues[0]);
}

function refusalOf(issue: Issue | undefined): LayerdError {
  if (issue === undefined) throw new Error("BUG: a schema refused a value without an issue");
  const field = fieldOf(placeOf(issue));
  const limit = limitOf(issue);
  return new LayerdError("invalid_request", textOf(issue, field), {
    ...(field === "" ? {} : { field }),
    ...(limit === null ? {} : { limit }),
  });
}

function placeOf(issue: Issue): Path {
  if (issue.code === "unrecognized_keys") return [...issue.path, issue.keys[0] ?? ""];
  return issue.path;
}

/** `["operations", 3, "layer"]` as `operations[3].layer`. */
export function fieldOf(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text === "" ? String(part) : `${text}.${String(part)}`;
  }, "");
}

function limitOf(issue: Issue): number | null {
  const limit = issue.code === "too_big"
    ? issue.maximum
    : issue.code === "custom"
    ? issue.params?.limit
    : null;
  return typeof limit === "number" ? limit : null;
}

function textOf(issue: Issue, field: string): string {
  const subject = field === "" ? "The request" : `Field ${field}`;
  switch (issue.code) {
    case "unrecognized_keys":
      return `${subject} is not known`;
    case "invalid_type":
      if (issue.input === undefined) return `${subject} is missing`;
      return `${subject} must be ${withArticle(issue.expected)}, not ${kindOf(issue.input)}`;
    case "invalid_value":
      if (issue.input === undefined) return `${subject} is missing`;
      return `${subject} must be one of ${issue.values.map(String).join(", ")}, not ${
        shown(issue.input)
      }`;
    case "too_big":
      return `${subject} must ${sizeVerb(issue.origin)} at most ${issue.maximum}${
        unit(issue.origin)
      }`;
    case "too_small":
      return `${subject} must ${sizeVerb(issue.origin)} at least ${issue.minimum}${
        unit(issue.origin)
      }`;
    default:
      return issue.message;
  }
}

function sizeVerb(origin: string): string {
  return origin === "string" || origin === "array" || origin === "record" ? "have" : "be";
}

function unit(origin: string): string {
  if (origin === "string") return " characters";
  return origin === "array" || origin === "record" ? " entries" : "";
}

function withArticle(kind: string): string {
  if (kind === "int") return "an integer";
  if (kind === "record") return "an object";
  return /^[aeio]/.test(kind) ? `an ${kind}` : `a ${kind}`;
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "number" && !Number.isInteger(value)
    ? "a fraction"
    : withArticle(typeof value);
}

function shown(value: unknown): string {
  return typeof value === "string" ? quote(value) : kindOf(value);
}
