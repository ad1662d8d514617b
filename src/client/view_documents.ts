/** Answers of stacks and views (wire contract, section 6). */

export interface StackDocument {
  readonly name: string;
  /** Lowest first. */
  readonly layers: readonly string[];
  readonly merge: readonly { readonly glob: string; readonly strategy: "replace" | "deep" }[];
}

/** One place that something comes from, or that is hidden. */
export interface PlaceDocument {
  readonly layer: string;
  /** Tip of the layer; null where the transaction has only staged it. */
  readonly commit: string | null;
  readonly line: number | null;
}

/** Where a file (`key` null) or one of its keys comes from. */
export interface OriginDocument extends PlaceDocument {
  readonly key: string | null;
  readonly removed: boolean;
  readonly hides: readonly PlaceDocument[];
}

export interface ViewFileDocument {
  readonly path: string;
  readonly mode: string;
  readonly size: number;
  readonly oid: string;
  readonly layer: string;
  readonly commit: string | null;
  readonly content?: string;
  readonly content_base64?: string;
  readonly origins?: readonly OriginDocument[];
}
