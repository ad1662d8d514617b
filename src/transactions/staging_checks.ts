/**
 * What every operation checks before it changes anything: that a ref may be created, that an
 * object is there, that a value is the expected one. Throws what the client is told.
 */
import { LayerdError } from "../core/errors.ts";
import {
  LAYER_REF_PREFIX,
  type LayerName,
  layerOfRef,
  type ObjectId,
  type ParticipantName,
  quote,
  type RefName,
  type RepositoryName,
} from "../core/ids.ts";
import { namesAbove } from "../core/ref_name_set.ts";
import type { FileMode } from "../core/operations.ts";
import type { ObjectType } from "../core/log_record.ts";
import type { LockMode } from "../core/transaction_document.ts";
import { validRefName } from "../git/ref_names.ts";
import type { Participant } from "../participants/participant.ts";
import type { RefSnapshot, Repository } from "../git/repository.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { SpooledBlob } from "./blob_spool.ts";
import type { LayerChange, VisibleFile } from "./layer_change.ts";
import type { StagedChanges } from "./staged_changes.ts";

/** What staging needs of the transaction around it. */
export interface StagingContext {
  readonly changes: StagedChanges;
  /** Throws `participant_not_found`. */
  participant(name: ParticipantName): Pick<Participant, "name" | "kind">;
  /** Throws `repository_not_found`. */
  repository(name: RepositoryName): Repository;
  /** Throws `repository_quarantined`. */
  requireWritable(repository: Repository): void;
  /** Takes the lock that the isolation asks for, then answers the ref's snapshot value. */
  touch(repository: Repository, ref: RefName, mode: LockMode): Promise<ObjectId | null>;
  /** Branches in work trees, looked at once a list: the commit looks again. */
  checkedOut(repository: Repository): ReadonlySet<RefName>;
  /** Type and size of an object, likewise. */
  header(
    repository: Repository,
    oid: ObjectId,
  ): Promise<{ readonly type: ObjectType; readonly size: number } | null>;
  /** What git sees at a name above a ref, likewise. */
  valueAbove(repository: Repository, ref: RefName): ObjectId | null;
  /** The layers of the optimistic snapshot, or null: then what git sees now counts. */
  layers(repository: Repository): RefSnapshot | null;
  readonly fileSystem: FileSystem;
  /** The bytes of a file that the transaction sees; `git_error` where they are missing. */
  bytes(repository: Repository, file: VisibleFile): Promise<Uint8Array>;
  /** A blob that was uploaded in this transaction. */
  upload(oid: ObjectId): SpooledBlob | null;
}

/** Refuses a ref to be created beside `a` where it is `a/b`, or the reverse. */
export function refuseNameConflict(
  context: StagingContext,
  repository: Repository,
  ref: RefName,
): void {
  const other = otherName(context, repository, ref);
  if (other === null) return;
  throw new LayerdError(
    "name_conflict",
    `${ref} cannot exist beside ${other} in repository ${repository.name}`,
  );
}

function otherName(
  context: StagingContext,
  repository: Repository,
  ref: RefName,
): RefName | null {
  const { layers, names } = context.changes.in(repository);
  for (const name of names.clashes(ref)) if (layers.get(name)?.exists) return name;
  const gone = (name: RefName) => layers.get(name)?.exists === false;
  const snapshot = ref.startsWith(LAYER_REF_PREFIX) ? context.layers(repository) : null;
  const below = snapshot ?? repository.refs.snapshot(`${ref}/`);
  for (const [name] of below.entries(`${ref}/`)) {
    if (!gone(name)) return name;
  }
  for (const above of namesAbove(ref)) {
    // `refs/heads` and the like can be no refs.
    const prefix = above.split("/").length > 2 ? validRefName(above) : null;
    if (prefix === null) continue;
    const value = snapshot ? snapshot.get(prefix) : context.valueAbove(repository, prefix);
    if (value !== null && !gone(prefix)) return prefix;
  }
  return null;
}

/** Refuses a layer that the transaction does not see. */
export function requireLayer(change: LayerChange): void {
  if (change.exists) return;
  throw change.layer === null
    ? new Error(`BUG: ${change.ref} is no layer`)
    : layerNotFound(change.repository, change.layer);
}

/** Refuses an id that is no commit of the repository. */
export async function requireCommit(
  context: Pick<StagingContext, "header">,
  repository: Repository,
  oid: ObjectId,
  field: "from" | "new",
): Promise<void> {
  const header = await context.header(repository, oid);
  if (header === null) throw unknownObject(repository, oid, field);
  if (header.type === "commit") return;
  throw new LayerdError("invalid_request", `Object ${oid} is a ${header.type}, not a commit`, {
    field,
  });
}

/** The error of an id that the repository does not have. */
export function unknownObject(repository: Repository, oid: ObjectId, field: string): LayerdError {
  return new LayerdError(
    "invalid_request",
    `Object ${oid} is not in repository ${repository.name}`,
    { field },
  );
}

/** Refuses a ref that is not where it is expected. */
export function requireValue(
  repository: Repository,
  ref: RefName,
  expected: ObjectId | null,
  actual: ObjectId | null,
): void {
  if (expected === actual) return;
  throw new LayerdError(
    "write_conflict",
    `${ref} of repository ${repository.name} is at ${actual ?? "nothing"}, ` +
      `not at ${expected ?? "nothing"}`,
    { conflicts: [{ repository: repository.name, ref, layer: layerOfRef(ref), expected, actual }] },
  );
}

/** The error of a source that is not there. */
export function missingOrigin(repository: Repository, ref: RefName): LayerdError {
  const layer = layerOfRef(ref);
  if (layer !== null) return layerNotFound(repository.name, layer);
  return new LayerdError(
    "invalid_request",
    `Ref ${quote(ref)} does not exist in repository ${repository.name}`,
    { field: "from" },
  );
}

/** The error of a layer that a transaction or a reader does not see. */
export function layerNotFound(repository: RepositoryName, layer: LayerName): LayerdError {
  return new LayerdError(
    "layer_not_found",
    `Repository ${repository} has no layer ${quote(layer)}`,
  );
}

/** The error of a file that a transaction or a reader does not see. */
export function fileNotFound(layer: LayerName, path: string): LayerdError {
  return new LayerdError("file_not_found", `Layer ${layer} has no file ${quote(path)}`);
}

/** The nearest mode that the contract knows: old git wrote modes such as 100664. */
export function fileMode(mode: string): FileMode {
  if (mode === "120000" || mode === "100755") return mode;
  return (parseInt(mode, 8) & 0o111) !== 0 ? "100755" : "100644";
}
