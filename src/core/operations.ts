/** Operations that a client stages, after parsing: every name in them is proven. */
import type { Json } from "./structured_value.ts";
import type {
  FilePath,
  LayerName,
  ObjectId,
  ParticipantName,
  RefName,
  RepositoryName,
} from "./ids.ts";

export type FileMode = "100644" | "100755" | "120000";

/** `{"expect":{"commit":...}}`: the value the layer must have in the transaction's snapshot. */
export interface Expect {
  readonly commit: ObjectId | null;
}

/** Bytes of a file: in the request, or uploaded before through `PUT .../blobs`. */
export type FileContent =
  | { readonly kind: "inline"; readonly bytes: Uint8Array }
  | { readonly kind: "object"; readonly oid: ObjectId };

interface OnLayer {
  readonly repository: RepositoryName;
  readonly layer: LayerName;
  readonly expect?: Expect;
}

/** Where `create_layer` starts. */
export type LayerOrigin =
  | { readonly kind: "layer"; readonly layer: LayerName }
  | { readonly kind: "ref"; readonly ref: RefName }
  | { readonly kind: "commit"; readonly commit: ObjectId };

/** Work at a participant: no repository has to do with it. */
export type ExternalOperation =
  | {
    readonly op: "sql";
    readonly participant: ParticipantName;
    readonly statements: readonly SqlStatement[];
  }
  | { readonly op: "http"; readonly participant: ParticipantName; readonly payload: Json };

/** One SQL statement with its parameters (`$1`, `$2`, ...). */
export interface SqlStatement {
  readonly text: string;
  readonly params: readonly Json[];
}

export type Operation = GitOperation | ExternalOperation;

export function isExternal(operation: Operation): operation is ExternalOperation {
  return operation.op === "sql" || operation.op === "http";
}

export type GitOperation =
  | OnLayer & { readonly op: "create_layer"; readonly from: LayerOrigin | null }
  | OnLayer & {
    readonly op: "put_file";
    readonly path: FilePath;
    readonly mode: FileMode;
    readonly content: FileContent;
  }
  | OnLayer & {
    readonly op: "patch_file";
    readonly path: FilePath;
    /** RFC 7386. */
    readonly mergePatch: Json;
  }
  | OnLayer & { readonly op: "delete_file"; readonly path: FilePath }
  | OnLayer & { readonly op: "move_file"; readonly from: FilePath; readonly to: FilePath }
  | OnLayer & { readonly op: "merge_layer"; readonly from: LayerOrigin }
  | OnLayer & { readonly op: "delete_layer" }
  | {
    readonly op: "update_ref";
    readonly repository: RepositoryName;
    readonly ref: RefName;
    readonly new: ObjectId | null;
    /** Absent: whatever the ref holds when its lock is granted. */
    readonly expect?: ObjectId | null;
  }
  | {
    readonly op: "verify";
    readonly repository: RepositoryName;
    readonly ref: RefName;
    readonly commit: ObjectId | null;
  };
