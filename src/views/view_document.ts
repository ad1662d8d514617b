/** Stacks and views as the routes use them. */
import type { FilePath, LayerName, RepositoryName, TransactionId } from "../core/ids.ts";
import type { MergeRule } from "../core/layer_composition.ts";

export interface StackDocument {
  readonly name: string;
  readonly layers: readonly string[];
  readonly merge: readonly MergeRule[];
}

/** A layer of the view, by name or a stack's. */
export type ViewSource =
  | { readonly kind: "stack"; readonly name: string }
  | { readonly kind: "layers"; readonly layers: readonly LayerName[] };

export interface ViewRequest {
  readonly repository: RepositoryName;
  readonly source: ViewSource;
  readonly path: FilePath | null;
  readonly explain: boolean;
  readonly transaction: TransactionId | null;
}

/** One place that something comes from, or that is hidden. */
export interface PlaceDocument {
  readonly layer: string;
  /** Tip of the layer; null for one that the transaction has only staged. */
  readonly commit: string | null;
  readonly line: number | null;
}

/** Where a file (`key` null) or one of its keys comes from. */
export interface OriginDocument extends PlaceDocument {
  readonly key: string | null;
  /** The layer removes the key from those below. */
  readonly removed: boolean;
  readonly hides: readonly PlaceDocument[];
}

export interface ViewFileDocument {
  readonly path: string;
  readonly mode: string;
  readonly size: number;
  /** Of the composed content. */
  readonly oid: string;
  /** The highest layer that has the file. */
  readonly layer: string;
  readonly commit: string | null;
  readonly origins?: readonly OriginDocument[];
}

/** A file with its bytes where one path was asked for. */
export interface ViewFile {
  readonly document: ViewFileDocument;
  readonly bytes: Uint8Array | null;
}
