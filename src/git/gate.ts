/** The gate: where a repository's parts are, and whether layerd may serve it. */
import type { SharedRepository } from "./shared_permissions.ts";

/** Where the parts of a repository are. All paths are absolute and canonical but `path`. */
export interface RepositoryLayout {
  /** As the client gave it. */
  readonly path: string;
  /** Of this work tree: `HEAD`, `refs/bisect`, `refs/worktree` and `refs/rewritten` are here. */
  readonly gitDir: string;
  /** The repository's identity: shared refs, `packed-refs`, `config` and `layerd/` are here. */
  readonly commonDir: string;
  readonly objectsDir: string;
  /** Object directories to search after `objectsDir`, alternates of alternates included. */
  readonly alternates: readonly string[];
  readonly bare: boolean;
  readonly workTree: string | null;
  /** How the files that we make are shared (`core.sharedRepository`). */
  readonly shared: SharedRepository;
}
