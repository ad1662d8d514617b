/**
 * Input mapping: `{"$": "<JSONata>"}` in a step's input, over
 * `{saga_id, tenant_id, input, steps: {<step_id>: <output>}}`.
 *
 * X1. An expression ends: JSONata's own guards bound its time, recursion and sequences, and
 *     expression_guard.ts what they cannot see.
 * X2. A value is measured before it is turned into text.
 * X3. What a step was sent is recorded with its start and sent again: a repeat is the same call.
 */
import type { Expression } from "jsonata";
import { LayerdError, messageOf } from "../core/errors.ts";
import {
  REQUEST_JSON_DEPTH_MAX,
  SAGA_DOCUMENT_BYTES_MAX,
  SAGA_EXPRESSION_DEPTH_MAX,
  SAGA_EXPRESSION_LENGTH_MAX,
  SAGA_EXPRESSION_MS_MAX,
  SAGA_EXPRESSION_SEQUENCE_MAX,
} from "../core/limits.ts";
import type { SagaDefinition } from "../core/saga_definition.ts";
import type { SagaState } from "../core/saga.ts";
import type { Json } from "../core/structured_value.ts";
import { guard, unboundedIn } from "./expression_guard.ts";

/** The member that makes an object an expression; it is then its only one. */
const MARK = "$";

const GUARDS = {
  timeout: SAGA_EXPRESSION_MS_MAX,
  stack: SAGA_EXPRESSION_DEPTH_MAX,
  sequence: SAGA_EXPRESSION_SEQUENCE_MAX,
};

/** An input that cannot be made from what the saga knows. */
export class InputUnmade extends Error {
  override readonly name = "InputUnmade";
}

/** Throws `invalid_request` where an expression of the definition cannot be used. */
export async function checkExpressions(definition: SagaDefinition): Promise<void> {
  for (const [index, step] of definition.steps.entries()) {
    await checkIn(step.input, `steps[${index}].input`);
  }
}

async function checkIn(value: Json, field: string): Promise<void> {
  const text = expressionOf(value, field);
  if (text !== null) {
    await compile(text, field);
  } else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) await checkIn(item, `${field}[${index}]`);
  } else if (typeof value === "object" && value !== null) {
    for (const [name, member] of Object.entries(value)) await checkIn(member, `${field}.${name}`);
  }
}

/** The expression's text, or null where the value is none. */
function expressionOf(value: Json, field: string): string | null {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  const members = Object.entries(value);
  const [first] = members;
  if (first === undefined || !Object.hasOwn(value, MARK)) return null;
  const [, text] = first;
  if (members.length === 1 && typeof text === "string") return text;
  throw wrong(field, `has a member "${MARK}", so it must be {"${MARK}": "<expression>"} alone`);
}

async function compile(text: string, field: string): Promise<Expression> {
  if (text.length > SAGA_EXPRESSION_LENGTH_MAX) {
    throw wrong(field, `must be at most ${SAGA_EXPRESSION_LENGTH_MAX} characters long`);
  }
  // With the first expression, not with the daemon.
  const { default: jsonata } = await import("jsonata");
  let expression: Expression;
  try {
    expression = jsonata(text, GUARDS);
  } catch (error) {
    throw wrong(field, `is no JSONata expression: ${reasonOf(error)}`, error);
  }
  const refused = unboundedIn(expression.ast());
  if (refused !== null) throw wrong(field, `uses ${refused}, whose work cannot be bounded`);
  return expression;
}

/** The input of a step as it is sent. Rejects with InputUnmade. */
export async function inputFor(saga: SagaState, input: Json): Promise<Json> {
  const steps = Object.fromEntries(
    saga.steps.filter(({ state }) => state === "completed")
      .map(({ definition, output }) => [definition.step_id, output]),
  );
  const known = { saga_id: saga.id, tenant_id: saga.tenantId, input: saga.input, steps };
  const made = await fill(input, "input", known);
  if (sizeOf(made, 0) > SAGA_DOCUMENT_BYTES_MAX) {
    throw new InputUnmade(`The step's input is larger than ${SAGA_DOCUMENT_BYTES_MAX} bytes`);
  }
  return made;
}

async function fill(value: Json, field: string, known: unknown): Promise<Json> {
  const text = expressionOf(value, field);
  if (text !== null) return await evaluate(text, field, known);
  if (Array.isArray(value)) {
    const items: Json[] = [];
    for (const [index, item] of value.entries()) {
      items.push(await fill(item, `${field}[${index}]`, known));
    }
    return items;
  }
  if (typeof value !== "object" || value === null) return value;
  const members: [string, Json][] = [];
  for (const [name, member] of Object.entries(value)) {
    members.push([name, await fill(member, `${field}.${name}`, known)]);
  }
  return Object.fromEntries(members);
}

async function evaluate(text: string, field: string, known: unknown): Promise<Json> {
  let value: unknown;
  try {
    const expression = await compile(text, field);
    guard(expression, known);
    value = await expression.evaluate(known);
  } catch (error) {
    throw new InputUnmade(`${field}: ${reasonOf(error)}`, { cause: error });
  }
  if (value === undefined) throw new InputUnmade(`${field}: ${text} has no value here`);
  if (sizeOf(value, 0) > SAGA_DOCUMENT_BYTES_MAX) {
    throw new InputUnmade(`${field}: the value is larger than ${SAGA_DOCUMENT_BYTES_MAX} bytes`);
  }
  // Plain JSON: what JSONata adds to its arrays, and functions, do not belong to the value.
  return JSON.parse(JSON.stringify(value) ?? "null");
}

/** JSONata throws objects that are no errors. */
function reasonOf(error: unknown): string {
  const isNoted = typeof error === "object" && error !== null && "message" in error;
  return isNoted ? String(error.message) : messageOf(error);
}

/** At least the bytes of a value's JSON, without writing it; stops counting past the limit. */
export function sizeOf(value: unknown, depth: number): number {
  if (depth > REQUEST_JSON_DEPTH_MAX) return Infinity;
  if (typeof value === "string") return value.length + 2;
  if (typeof value !== "object" || value === null) return 8;
  let size = 2;
  for (const [name, member] of Object.entries(value)) {
    size += sizeOf(member, depth + 1) + (Array.isArray(value) ? 1 : name.length + 4);
    if (size > SAGA_DOCUMENT_BYTES_MAX) return Infinity;
  }
  return size;
}

function wrong(field: string, text: string, cause?: unknown): LayerdError {
  return new LayerdError("invalid_request", `Field ${field} ${text}`, { field }, cause);
}
