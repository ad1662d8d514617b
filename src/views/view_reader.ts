/**
 * Views: the files of a stack's layers as one tree, with where each comes from.
 *
 * V1. One view is read from one snapshot: the refs of one instant, or inside a transaction
 *     what that sees, in one of its turns.
 * V2. Outside a transaction nothing is locked and nothing waits.
 * V3. A file that should merge and cannot be read as what its name says is an error that
 *     names its layer and line, never a key that is missing.
 */
import { LayerdError } from "../core/errors.ts";
import {
  LAYER_REF_PREFIX,
  type LayerName,
  layerRef,
  quote,
  type RefName,
  type RepositoryName,
} from "../core/ids.ts";
import {
  composeValues,
  type KeyOrigin,
  type MergeRule,
  type Stacked,
  stackFiles,
  strategyOf,
} from "../core/layer_composition.ts";
import { objectId } from "../git/object_codec.ts";
import type { RefSnapshot, Repository } from "../git/repository.ts";
import { NotStructured } from "../structured/structured_format.ts";
import {
  edited,
  formatOf,
  readStructured,
  rendered,
  type StructuredFile,
} from "../structured/structured_file.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { RepositoryCatalog } from "../transactions/catalog.ts";
import { bytesOf } from "../transactions/file_bytes.ts";
import { LayerChange, type VisibleFile } from "../transactions/layer_change.ts";
import type { OpenView, TransactionReads } from "../transactions/layer_reader.ts";
import { layerNotFound } from "../transactions/staging_checks.ts";
import { allFiles, filesDeciding } from "./path_files.ts";
import {
  decodeStack,
  type Stack,
  stackNameOf,
  stackNotFound,
  stackPath,
  STACKS_REF,
} from "./stack.ts";
import type {
  OriginDocument,
  PlaceDocument,
  ViewFile,
  ViewRequest,
  ViewSource,
} from "./view_document.ts";

export interface ViewReaderParts {
  readonly catalog: Pick<RepositoryCatalog, "get">;
  readonly transactions: Pick<TransactionReads, "inside">;
  readonly fileSystem: Pick<FileSystem, "readFile">;
}

/** One layer of the view that exists. */
interface Layer {
  readonly name: LayerName;
  readonly change: LayerChange;
}

/** A file of one layer. */
interface LayerEntry extends VisibleFile {
  readonly path: string;
  readonly layer: Layer;
}

export class ViewReader {
  readonly #parts: ViewReaderParts;

  constructor(parts: ViewReaderParts) {
    this.#parts = parts;
  }

  /** Throws `stack_not_found`, `layer_not_found`, `file_not_found` and `invalid_content`. */
  async view(request: ViewRequest): Promise<ViewFile[]> {
    const repository = this.#parts.catalog.get(request.repository);
    const read = (open: OpenView) => this.#compose(repository, open, request);
    if (request.transaction !== null) {
      return await this.#parts.transactions.inside(request.transaction, read);
    }
    return await read(openNow(repository));
  }

  async stack(name: RepositoryName, stack: string): Promise<Stack> {
    const repository = this.#parts.catalog.get(name);
    return await this.#stack(repository, openNow(repository), stack);
  }

  async stacks(name: RepositoryName): Promise<Stack[]> {
    const repository = this.#parts.catalog.get(name);
    const change = await openNow(repository)(name, STACKS_REF);
    const stacks: Stack[] = [];
    for await (const file of change.allFiles()) {
      const stack = stackNameOf(file.path);
      if (stack === null) continue;
      stacks.push(decodeStack(stack, await this.#bytes(repository, file)));
    }
    return stacks.sort((one, other) => one.name < other.name ? -1 : 1);
  }

  async #stack(repository: Repository, open: OpenView, name: string): Promise<Stack> {
    const file = await (await open(repository.name, STACKS_REF)).file(stackPath(name));
    if (file === null) throw stackNotFound(repository.name, name);
    return decodeStack(name, await this.#bytes(repository, file));
  }

  async #compose(
    repository: Repository,
    open: OpenView,
    { source, path, explain }: ViewRequest,
  ): Promise<ViewFile[]> {
    const { layers, merge } = await this.#layers(repository, open, source);
    const files = await Promise.all(layers.map(async (layer) => {
      const found = path === null
        ? await allFiles(layer.change)
        : await filesDeciding(layer.change, repository.trees, path);
      return found.map((file) => ({ ...file, layer }));
    }));
    const stacked = stackFiles(files).filter((one) => path === null || one.path === path);
    if (path !== null && stacked.length === 0) {
      throw notInView(layers, path);
    }
    const composed: ViewFile[] = [];
    for (const one of stacked) {
      composed.push(await this.#file(repository, one, merge, path !== null, explain));
    }
    return composed;
  }

  async #layers(
    repository: Repository,
    open: OpenView,
    source: ViewSource,
  ): Promise<{ readonly layers: Layer[]; readonly merge: readonly MergeRule[] }> {
    const stack = source.kind === "stack"
      ? await this.#stack(repository, open, source.name)
      : { layers: source.layers, merge: [] };
    const layers: Layer[] = [];
    for (const name of stack.layers) {
      const change = await open(repository.name, layerRef(name));
      if (change.exists) layers.push({ name, change });
      // A stack may name a layer that nobody has made yet (a user's own).
      else if (source.kind === "layers") throw layerNotFound(repository.name, name);
    }
    return { layers, merge: stack.merge };
  }

  async #file(
    repository: Repository,
    { path, from }: Stacked<LayerEntry>,
    rules: readonly MergeRule[],
    withBytes: boolean,
    explain: boolean,
  ): Promise<ViewFile> {
    const [highest] = from;
    if (highest === undefined) throw new Error("BUG: a file that no layer has");
    const deep = strategyOf(rules, path) === "deep" && formatOf(path) !== null &&
      from.every(({ mode }) => mode.startsWith("100"));
    const merges = deep && from.length > 1;
    const read = merges ? await this.#merged(repository, path, from) : null;
    const bytes = read?.bytes ?? (withBytes ? await this.#bytes(repository, highest) : null);
    const origins = explain
      ? [fileOrigin(from), ...await this.#keys(repository, path, from, read?.origins ?? null)]
      : null;
    const document = {
      path,
      mode: highest.mode,
      size: bytes?.length ?? await sizeOf(repository, highest),
      oid: read === null ? highest.oid : objectId("blob", read.bytes),
      layer: highest.layer.name,
      commit: commitOf(highest.layer),
      ...(origins === null ? {} : { origins }),
    };
    return { document, bytes: withBytes ? bytes : null };
  }

  /** The lowest layer's text, changed to what all layers say together. */
  async #merged(
    repository: Repository,
    path: string,
    from: readonly LayerEntry[],
  ): Promise<{ readonly bytes: Uint8Array; readonly origins: readonly KeyOrigin<Layer>[] }> {
    const files: { readonly layer: Layer; readonly file: StructuredFile }[] = [];
    for (const entry of from) {
      const file = await this.#structured(repository, path, entry);
      files.push({ layer: entry.layer, file });
    }
    const lowest = files.at(-1)?.file;
    if (lowest === undefined) throw new Error("BUG: a file that no layer has");
    const { value, origins } = composeValues(
      files.map(({ layer, file }) => ({ layer, value: file.value })),
    );
    return { bytes: written(path, () => textOf(lowest, value)), origins };
  }

  /** Keys of a file that is replaced come from its highest layer, where they can be read. */
  async #keys(
    repository: Repository,
    path: string,
    from: readonly LayerEntry[],
    merged: readonly KeyOrigin<Layer>[] | null,
  ): Promise<OriginDocument[]> {
    if (merged !== null) return merged.map(keyOrigin);
    const [highest] = from;
    const format = formatOf(path);
    if (highest === undefined || format === null || !highest.mode.startsWith("100")) return [];
    try {
      const { value } = readStructured(format, await this.#bytes(repository, highest));
      return composeValues([{ layer: highest.layer, value }]).origins.map(keyOrigin);
    } catch (error) {
      // Nothing depends on its keys: the file is shown as it is.
      if (error instanceof NotStructured) return [];
      throw error;
    }
  }

  async #structured(
    repository: Repository,
    path: string,
    entry: LayerEntry,
  ): Promise<StructuredFile> {
    const format = formatOf(path);
    if (format === null) throw new Error(`BUG: ${path} has no format`);
    const bytes = await this.#bytes(repository, entry);
    return written(`${path} of layer ${entry.layer.name}`, () => readStructured(format, bytes));
  }

  #bytes(repository: Repository, file: VisibleFile): Promise<Uint8Array> {
    return bytesOf(this.#parts.fileSystem, repository, file);
  }
}

/** Layers as git sees them at one instant. */
function openNow(repository: Repository): OpenView {
  const layers: RefSnapshot = repository.refs.snapshot(LAYER_REF_PREFIX);
  const stacks = repository.refs.read(STACKS_REF);
  const commitAt = (ref: RefName) => ref === STACKS_REF ? stacks : layers.get(ref);
  return (_name, ref) =>
    Promise.resolve(new LayerChange(repository.name, ref, commitAt(ref), repository.trees));
}

async function sizeOf(repository: Repository, { content, oid }: LayerEntry): Promise<number> {
  if (content.kind === "bytes") return content.bytes.length;
  if (content.kind === "spooled") return content.size;
  return await repository.blobs.size(oid) ?? 0;
}

/** Comments of the lowest layer stay; where its text cannot be changed a new one is made. */
function textOf(lowest: StructuredFile, value: StructuredFile["value"]): Uint8Array {
  try {
    return edited(lowest, value);
  } catch (error) {
    if (error instanceof NotStructured) return rendered(lowest.format, value);
    throw error;
  }
}

function notInView(layers: readonly Layer[], path: string): LayerdError {
  const names = layers.map(({ name }) => name).join(", ");
  return new LayerdError("file_not_found", `No layer of ${names} shows a file ${quote(path)}`);
}

function written<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof NotStructured)) throw error;
    const text = `${quote(what)} cannot be merged: ${error.message}`;
    throw new LayerdError("invalid_content", text, {}, error);
  }
}

function commitOf({ change }: Layer): string | null {
  return change.tip.kind === "object" ? change.tip.oid : null;
}

function placeOf(layer: Layer, line: number | null): PlaceDocument {
  return { layer: layer.name, commit: commitOf(layer), line };
}

function fileOrigin([highest, ...lower]: readonly LayerEntry[]): OriginDocument {
  if (highest === undefined) throw new Error("BUG: a file that no layer has");
  return {
    key: null,
    ...placeOf(highest.layer, null),
    removed: false,
    hides: lower.map(({ layer }) => placeOf(layer, null)),
  };
}

function keyOrigin({ key, layer, line, removed, hides }: KeyOrigin<Layer>): OriginDocument {
  return {
    key,
    ...placeOf(layer, line),
    removed,
    hides: hides.map((hidden) => placeOf(hidden.layer, hidden.line)),
  };
}
