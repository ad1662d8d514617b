/**
 * Reads of layers: what git would see now, a commit, or the view of an open transaction.
 * All three look through a {@link LayerChange}; outside a transaction it has no changes.
 * Without a transaction no lock is taken and nothing waits.
 */
import { LayerdError } from "../core/errors.ts";
import {
  type FilePath,
  LAYER_REF_PREFIX,
  type LayerName,
  layerOfRef,
  layerRef,
  type ObjectId,
  type RefName,
  type RepositoryName,
  type TransactionId,
} from "../core/ids.ts";
import { readCommit, readHistory } from "../git/history.ts";
import type { Repository } from "../git/repository.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { RepositoryCatalog } from "./catalog.ts";
import { transactionOf } from "./commit_message.ts";
import { bytesOf } from "./file_bytes.ts";
import { LayerChange, type VisibleFile } from "./layer_change.ts";
import type { FileDocument, LayerDocument, LayerReader, ReadPoint } from "./manager.ts";
import { fileNotFound, layerNotFound } from "./staging_checks.ts";

/** Object headers that one listing asks for at a time. */
const HEADERS_AT_ONCE = 64;

/** Opens a ref as the reader sees it. */
export type OpenView = (repository: RepositoryName, ref: RefName) => Promise<LayerChange>;

/** Reads inside an open transaction: in its turn, under its locks. */
export interface TransactionReads {
  /** Work that looks at several layers, all in one turn. */
  inside<T>(id: TransactionId, work: (open: OpenView) => Promise<T>): Promise<T>;
  read<T>(
    id: TransactionId,
    repository: RepositoryName,
    ref: RefName,
    work: (view: LayerChange) => Promise<T>,
  ): Promise<T>;
}

export interface LayerReaderParts {
  readonly catalog: Pick<RepositoryCatalog, "get">;
  readonly transactions: TransactionReads;
  readonly fileSystem: Pick<FileSystem, "readFile">;
}

/** {@link LayerReader} over the catalog and the open transactions. */
export function createLayerReader(parts: LayerReaderParts): LayerReader {
  return new CatalogLayerReader(parts);
}

class CatalogLayerReader implements LayerReader {
  readonly #parts: LayerReaderParts;

  constructor(parts: LayerReaderParts) {
    this.#parts = parts;
  }

  async layers(
    name: RepositoryName,
    prefix: string,
    limit: number,
    after: string | null,
  ): Promise<{ readonly layers: LayerDocument[]; readonly more: boolean }> {
    const repository = this.#parts.catalog.get(name);
    const directory = LAYER_REF_PREFIX + prefix.slice(0, prefix.lastIndexOf("/") + 1);
    const layers: LayerDocument[] = [];
    for (const [ref, commit] of repository.refs.snapshot(directory).entries(directory)) {
      const layer = layerOfRef(ref);
      if (layer === null || !layer.startsWith(prefix)) continue;
      if (after !== null && layer <= after) continue;
      if (layers.length === limit) return { layers, more: true };
      layers.push({ name: layer, ref, commit, updated_at: await updatedAt(repository, commit) });
    }
    return { layers, more: false };
  }

  tree(point: ReadPoint): ReturnType<LayerReader["tree"]> {
    return this.#look(point, async (view, repository) => {
      const files: Omit<FileDocument, "size">[] = [];
      const sizes: (number | null)[] = [];
      for await (const { path, mode, oid, content } of view.allFiles()) {
        files.push({ path, mode, oid });
        sizes.push(knownSize({ mode, oid, content }));
      }
      const unknown = sizes.flatMap((size, index) => size === null ? [index] : []);
      for (let at = 0; at < unknown.length; at += HEADERS_AT_ONCE) {
        await Promise.all(
          unknown.slice(at, at + HEADERS_AT_ONCE).map(async (index) => {
            sizes[index] = await storedSize(repository, files[index]?.oid);
          }),
        );
      }
      const sized = files.map((file, index) => ({ ...file, size: sizes[index] ?? 0 }));
      return {
        layer: point.layer,
        commit: view.tip.kind === "object" ? view.tip.oid : null,
        files: sized.sort((one, other) => compareBytes(one.path, other.path)),
      };
    });
  }

  file(
    point: ReadPoint,
    path: FilePath,
  ): Promise<FileDocument & { readonly bytes: Uint8Array }> {
    return this.#look(point, async (view, repository) => {
      const file = await view.file(path);
      if (file === null) throw fileNotFound(point.layer, path);
      const bytes = await bytesOf(this.#parts.fileSystem, repository, file);
      return { path, mode: file.mode, oid: file.oid, size: bytes.length, bytes };
    });
  }

  async log(
    name: RepositoryName,
    layer: LayerName,
    limit: number,
  ): ReturnType<LayerReader["log"]> {
    const repository = this.#parts.catalog.get(name);
    const tip = repository.refs.read(layerRef(layer));
    if (tip === null) throw layerNotFound(name, layer);
    const commits = [];
    const edge = repository.shallowCommits();
    for await (const { oid, fields } of readHistory(repository.objects, tip, limit, edge)) {
      commits.push({
        oid,
        parents: fields.parents,
        message: fields.message,
        author: { name: fields.author.name, email: fields.author.email },
        committed_at: fromSeconds(fields.committer.atSeconds),
        transaction_id: transactionOf(fields.message),
      });
    }
    return commits;
  }

  /** Opens the view that the point asks for. */
  async #look<T>(
    point: ReadPoint,
    work: (view: LayerChange, repository: Repository) => Promise<T>,
  ): Promise<T> {
    const repository = this.#parts.catalog.get(point.repository);
    const ref = layerRef(point.layer);
    const inside = async (view: LayerChange) => {
      if (!view.exists) throw layerNotFound(point.repository, point.layer);
      return await work(view, repository);
    };
    if (point.at !== null) {
      await requireCommitAt(repository, point.at);
      return await work(
        new LayerChange(repository.name, ref, point.at, repository.trees),
        repository,
      );
    }
    if (point.transaction !== null) {
      return await this.#parts.transactions.read(
        point.transaction,
        point.repository,
        ref,
        inside,
      );
    }
    const now = repository.refs.read(ref);
    return await inside(new LayerChange(repository.name, ref, now, repository.trees));
  }
}

async function requireCommitAt(repository: Repository, at: ObjectId): Promise<void> {
  const header = await repository.objects.header(at);
  if (header?.type === "commit") return;
  throw new LayerdError(
    "invalid_request",
    `Object ${at} is no commit in repository ${repository.name}`,
    { field: "at" },
  );
}

/** Null where the tip cannot be read: a listing does not fail for one damaged layer. */
async function updatedAt(repository: Repository, commit: ObjectId): Promise<string | null> {
  try {
    return fromSeconds((await readCommit(repository.objects, commit)).fields.committer.atSeconds);
  } catch (error) {
    if (error instanceof LayerdError) return null;
    throw error;
  }
}

function knownSize({ mode, content }: VisibleFile): number | null {
  if (content.kind === "bytes") return content.bytes.length;
  if (content.kind === "spooled") return content.size;
  // A submodule names a commit of another repository.
  return mode === "160000" ? 0 : null;
}

async function storedSize(repository: Repository, oid: string | undefined): Promise<number> {
  const size = oid === undefined ? null : await repository.blobs.size(oid as ObjectId);
  return size ?? 0;
}

function fromSeconds(seconds: number): string {
  return new Date(seconds * 1_000).toISOString();
}

const encoder = new TextEncoder();

/** Git's order; JavaScript's differs outside the basic plane. */
function compareBytes(one: string, other: string): number {
  const [a, b] = [encoder.encode(one), encoder.encode(other)];
  for (let at = 0; at < Math.min(a.length, b.length); at++) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
