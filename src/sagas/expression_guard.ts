/**
 * What bounds an expression beyond JSONata's own guards, which look at the clock between two
 * steps of an evaluation and see nothing inside one.
 *
 * B1. Every value that a step of the evaluation makes is weighed as its JSON would be, what it
 *     shares counted each time it stands there. So whatever a function is given is bounded, and
 *     a value that shares itself (thirty doublings) is refused before anybody walks it.
 * B2. A function whose work is more than its arguments' weight does not run: it is refused when
 *     the definition is put, or replaced by one whose work is bounded.
 *
 * A value is weighed once; an array that has grown since is weighed anew.
 */
import type { Expression } from "jsonata";
import { REQUEST_JSON_DEPTH_MAX, SAGA_EXPRESSION_VALUE_MAX } from "../core/limits.ts";

/** B2: pictures make text of any length or patterns that backtrack; reduce repeats natives unseen. */
const REFUSED_FUNCTIONS: ReadonlySet<unknown> = new Set([
  "eval",
  "pad",
  "formatInteger",
  "parseInteger",
  "now",
  "sort",
  "reduce",
]);

/** What cannot be bounded, anywhere in the syntax tree; null where there is nothing. */
export function unboundedIn(node: unknown): string | null {
  if (typeof node !== "object" || node === null) return null;
  if (node instanceof RegExp) return "a regular expression";
  if ("type" in node && node.type === "variable" && "value" in node) {
    if (REFUSED_FUNCTIONS.has(node.value)) return `$${String(node.value)}`;
  }
  for (const member of Object.values(node)) {
    const refused = unboundedIn(member);
    if (refused !== null) return refused;
  }
  return null;
}

/** Bounds an evaluation over `known`, whose own weight is allowed on top. */
export function guard(expression: Expression, known: unknown): void {
  const scales = new Scales();
  const allowed = SAGA_EXPRESSION_VALUE_MAX + scales.weigh(known, 0).weight;
  const require = (weight: number): void => {
    if (weight > allowed) {
      throw new Error(`A value on the way is larger than ${SAGA_EXPRESSION_VALUE_MAX} bytes`);
    }
  };
  // JSONata's hook after each step of an evaluation.
  const hook: unknown = Symbol.for("jsonata.__evaluate_exit");
  expression.assign(
    hook as string,
    (_step: unknown, _input: unknown, _frame: unknown, value: unknown) => {
      // Within a path: values that were weighed, each beside what it was found in.
      if (typeof value === "object" && value !== null && "tupleStream" in value) return;
      const { weight, depth } = scales.weigh(value, 0);
      require(weight);
      if (depth > REQUEST_JSON_DEPTH_MAX) {
        throw new Error(`A value on the way is nested deeper than ${REQUEST_JSON_DEPTH_MAX}`);
      }
    },
  );
  expression.registerFunction("join", (items: readonly string[], separator = "") => {
    require(items.reduce((sum, item) => sum + item.length + separator.length, 0));
    return items.join(separator);
  }, "<a<s>s?:s>");
  expression.registerFunction("replace", (text: string, from: string, to: string) => {
    if (from === "") throw new Error("The text that is replaced must not be empty");
    const parts = text.split(from);
    require(text.length + parts.length * to.length);
    return parts.join(to);
  }, "<s-ss:s>");
  expression.registerFunction("distinct", distinct, "<x:x>");
  expression.registerFunction("fromMillis", (ms: number) => new Date(ms).toISOString(), "<n-:s>");
  expression.registerFunction("toMillis", (text: string) => {
    const ms = Date.parse(text);
    if (Number.isNaN(ms)) throw new Error("A time must be written as RFC 3339");
    return ms;
  }, "<s-:n>");
}

/** By JSON, so by the order of members too; the library compares each with each. */
function distinct(values: unknown): unknown {
  if (!Array.isArray(values)) return values;
  return [...new Map(values.map((value) => [JSON.stringify(value), value])).values()];
}

interface Weighed {
  readonly weight: number;
  /** Levels of arrays and objects. */
  readonly depth: number;
  /** Of an array, when it was weighed. */
  readonly length: number;
}

const SCALAR: Weighed = { weight: 8, depth: 0, length: 0 };
const TOO_DEEP: Weighed = { weight: Infinity, depth: Infinity, length: 0 };

class Scales {
  readonly #known = new WeakMap<object, Weighed>();

  weigh(value: unknown, level: number): Weighed {
    if (typeof value === "string") return { weight: value.length + 2, depth: 0, length: 0 };
    if (typeof value !== "object" || value === null || isFunction(value)) return SCALAR;
    const length = Array.isArray(value) ? value.length : 0;
    const known = this.#known.get(value);
    if (known !== undefined && known.length === length) return known;
    if (level > REQUEST_JSON_DEPTH_MAX * 2) return TOO_DEEP;
    let weight = 2;
    let depth = 0;
    const add = (member: unknown, name: number) => {
      const inner = this.weigh(member, level + 1);
      weight += inner.weight + name;
      depth = Math.max(depth, inner.depth);
    };
    if (Array.isArray(value)) { for (const item of value) add(item, 1); }
    else for (const [name, member] of Object.entries(value)) add(member, name.length + 4);
    const weighed = { weight, depth: depth + 1, length };
    this.#known.set(value, weighed);
    return weighed;
  }
}

/** A function of the language: it holds its environment, which is no part of any value. */
function isFunction(value: object): boolean {
  return "_jsonata_lambda" in value || "_jsonata_function" in value;
}
