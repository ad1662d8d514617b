/**
 * Looking at JSON of the log field by field. Each function answers the value with its type
 * proven, or throws an Error that names the field by its path.
 */

/** The path of a field. */
export function at(path: string, name: string): string {
  return `${path}.${name}`;
}

function wrong(path: string, wanted: string): never {
  throw new Error(`Log record's ${path} is not ${wanted}`);
}

export function fieldsAt(value: unknown, path: string): Readonly<Record<string, unknown>> {
  return isObject(value) ? value : wrong(path, "an object");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function listAt<T>(
  value: unknown,
  path: string,
  each: (item: unknown, path: string) => T,
): T[] {
  if (!Array.isArray(value)) wrong(path, "a list");
  return value.map((item, index) => each(item, `${path}[${index}]`));
}

export function textAt(value: unknown, path: string): string {
  return typeof value === "string" ? value : wrong(path, "a text");
}

/** A whole number that is not negative: every number of the log is one. */
export function integerAt(value: unknown, path: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    wrong(path, "a whole number");
  }
  return value;
}

export function nullableAt<T>(
  value: unknown,
  path: string,
  read: (value: unknown, path: string) => T,
): T | null {
  return value === null ? null : read(value, path);
}

export function oneOfAt<const T extends string>(
  value: unknown,
  path: string,
  allowed: readonly T[],
): T {
  return allowed.find((one) => one === value) ?? wrong(path, `one of ${allowed.join(", ")}`);
}

/** A text that has a parser of its own. */
export function parsedAt<T>(value: unknown, path: string, parse: (text: string) => T): T {
  const text = textAt(value, path);
  try {
    return parse(text);
  } catch (error) {
    throw new Error(`Log record's ${path} is not valid`, { cause: error });
  }
}
