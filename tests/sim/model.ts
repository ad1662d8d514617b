/**
 * What the repositories hold, as a plain value: files by layer. Each operation says what it
 * does to the value and what it asks of the daemon, so that a scenario says it once.
 */
import {
  type LayerName,
  parseFilePath,
  parseLayerName,
  parseObjectId,
  parseRefName,
  parseRepositoryName,
} from "../../src/core/ids.ts";
import type { LayerOrigin, Operation } from "../../src/core/operations.ts";
import type { Files } from "./disk_reader.ts";

/** Files by `<repository> <ref>`; a ref that is not there has no entry. */
export type Model = Readonly<Record<string, Files>>;

export interface Step {
  readonly operation: Operation;
  readonly after: (model: Model) => Model;
}

const keyOf = (repository: string, layer: string) => `${repository} refs/layers/${layer}`;

function without(model: Model, key: string): Model {
  const { [key]: _, ...rest } = model;
  return rest;
}

export function put(repository: string, layer: string, path: string, text: string): Step {
  const key = keyOf(repository, layer);
  return {
    operation: {
      op: "put_file",
      ...place(repository, layer),
      path: parseFilePath(path),
      mode: "100644",
      content: { kind: "inline", bytes: new TextEncoder().encode(text) },
    },
    after: (model) => ({ ...model, [key]: { ...model[key], [path]: text } }),
  };
}

export function remove(repository: string, layer: string, path: string): Step {
  const key = keyOf(repository, layer);
  return {
    operation: { op: "delete_file", ...place(repository, layer), path: parseFilePath(path) },
    after: (model) => {
      const { [path]: _, ...files } = model[key] ?? {};
      return { ...model, [key]: files };
    },
  };
}

export function create(repository: string, layer: string): Step {
  return {
    operation: { op: "create_layer", ...place(repository, layer), from: null },
    after: (model) => ({ ...model, [keyOf(repository, layer)]: {} }),
  };
}

/** A layer that starts where another one, or any ref, stands. */
export function createFrom(repository: string, layer: string, from: string): Step {
  const isRef = from.startsWith("refs/");
  const origin: LayerOrigin = isRef
    ? { kind: "ref", ref: parseRefName(from) }
    : { kind: "layer", layer: parseLayerName(from) };
  const source = isRef ? `${repository} ${from}` : keyOf(repository, from);
  return {
    operation: { op: "create_layer", ...place(repository, layer), from: origin },
    after: (model) => ({ ...model, [keyOf(repository, layer)]: model[source] ?? {} }),
  };
}

export function drop(repository: string, layer: string): Step {
  return {
    operation: { op: "delete_layer", ...place(repository, layer) },
    after: (model) => without(model, keyOf(repository, layer)),
  };
}

/** Moves any ref to a commit whose files are known, or removes it. */
export function updateRef(
  repository: string,
  ref: string,
  target: { readonly commit: string; readonly files: Files } | null,
): Step {
  const key = `${repository} ${ref}`;
  return {
    operation: {
      op: "update_ref",
      repository: parseRepositoryName(repository),
      ref: parseRefName(ref),
      new: target === null ? null : parseObjectId(target.commit),
    },
    after: (model) => target === null ? without(model, key) : { ...model, [key]: target.files },
  };
}

function place(repository: string, layer: string): {
  readonly repository: ReturnType<typeof parseRepositoryName>;
  readonly layer: LayerName;
} {
  return { repository: parseRepositoryName(repository), layer: parseLayerName(layer) };
}

/** The same value whatever the order of its keys, for comparing. */
export function canonical(model: Model): string {
  const sorted = (files: Files) => Object.fromEntries(Object.entries(files).sort(byKey));
  const entries = Object.entries(model).map(([key, files]) => [key, sorted(files)] as const);
  return JSON.stringify(Object.fromEntries(entries.sort(byKey)));
}

function byKey(one: readonly [string, unknown], other: readonly [string, unknown]): number {
  return one[0] < other[0] ? -1 : 1;
}
