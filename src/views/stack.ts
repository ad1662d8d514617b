/**
 * Stacks: ordered lists of layers with the rules by which their files merge. They stand in
 * the repository itself, one JSON file each in the tree of {@link STACKS_REF}, and change by
 * transactions like everything else. The ref is outside `refs/layers/`, so no layer's name
 * can collide with it, and `update_ref` may not write it.
 */
import { LayerdError } from "../core/errors.ts";
import {
  type LayerName,
  parseLayerName,
  quote,
  type RefName,
  type RepositoryName,
} from "../core/ids.ts";
import type { MergeRule } from "../core/layer_composition.ts";

// A constant that git accepts; update_ref refuses what is under no writable prefix.
export const STACKS_REF = "refs/layerd/stacks" as RefName;

export interface Stack {
  readonly name: string;
  /** Lowest first. */
  readonly layers: readonly LayerName[];
  readonly merge: readonly MergeRule[];
}

/** The file that a stack is kept in. */
export function stackPath(name: string): string {
  return `${name}.json`;
}

/** The name of a stack's file, or null for another file. */
export function stackNameOf(path: string): string | null {
  return /^([^/]+)\.json$/.exec(path)?.[1] ?? null;
}

export function encodeStack({ layers, merge }: Stack): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ layers, merge }, null, 2) + "\n");
}

/** Reads what people may have changed with git; throws `invalid_content`. */
export function decodeStack(name: string, bytes: Uint8Array): Stack {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    const { layers, merge = [] } = fieldsOf(value);
    return { name, layers: listOf(layers).map(layerOf), merge: listOf(merge).map(ruleOf) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const text = `Stack ${quote(name)} in ${STACKS_REF} is damaged: ${reason}`;
    throw new LayerdError("invalid_content", text, {}, error);
  }
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw new Error("it is no JSON object");
}

function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new Error("layers or merge is no list");
}

function layerOf(value: unknown): LayerName {
  return parseLayerName(String(value));
}

function ruleOf(value: unknown): MergeRule {
  const { glob, strategy } = fieldsOf(value);
  if (typeof glob === "string" && (strategy === "replace" || strategy === "deep")) {
    return { glob, strategy };
  }
  throw new Error("a merge rule has no glob or no known strategy");
}

export function stackNotFound(repository: RepositoryName, name: string): LayerdError {
  return new LayerdError(
    "stack_not_found",
    `Repository ${repository} has no stack ${quote(name)}`,
  );
}
