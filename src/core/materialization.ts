/** A view on disk: what is written, and what came of it. */

/** One file of the view. */
export interface WantedFile {
  readonly path: string;
  /** `100644`, `100755` or `120000`. */
  readonly mode: string;
  /** Blob id of the content. */
  readonly oid: string;
}

/** A view as it is written to disk: one snapshot. */
export interface WantedView {
  /** What the marker says: repository, stack or layers, commits. */
  readonly source: Readonly<Record<string, unknown>>;
  readonly files: readonly WantedFile[];
  content(path: string): Promise<Uint8Array>;
}

/** A file that somebody changed by hand since it was written. */
export interface HandEdit {
  readonly path: string;
  readonly change: "modified" | "added" | "deleted";
}

export type Materialized =
  | {
    readonly kind: "written";
    /** Directory that the link names now, absolute. */
    readonly directory: string;
    readonly written: number;
    /** Unchanged files, shared with the directory before. */
    readonly linked: number;
    readonly removed: number;
    /** Deleted by hand, and put back. */
    readonly restored: readonly string[];
  }
  | { readonly kind: "unchanged"; readonly directory: string }
  /** Nothing was touched. */
  | { readonly kind: "edited"; readonly edits: readonly HandEdit[] }
  | { readonly kind: "refused"; readonly reason: string };
