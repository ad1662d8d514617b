/**
 * Applies operations to a transaction's staged changes, in order, each seeing those before
 * it. Everything that can be refused before the commit is refused here; what native git
 * does meanwhile is the pipeline's to find under its locks.
 *
 * The caller marks before a list and undoes to the mark when an operation is refused.
 * Locks that a refused list took stay (two-phase locking).
 */
import { LayerdError } from "../core/errors.ts";
import { layerRef, quote } from "../core/ids.ts";
import {
  type FileContent,
  type FileMode,
  type GitOperation,
  isExternal,
  type LayerOrigin,
  type Operation,
} from "../core/operations.ts";
import { objectId } from "../git/object_codec.ts";
import type { Repository } from "../git/repository.ts";
import { peel } from "../git/tag_peeling.ts";
import { placeFile } from "./place_file.ts";
import { stageCall } from "./staged_calls.ts";
import type { LayerChange, StagedContent, StagedFile } from "./layer_change.ts";
import {
  fileMode,
  fileNotFound,
  missingOrigin,
  refuseNameConflict,
  requireCommit,
  requireLayer,
  requireValue,
  type StagingContext,
  unknownObject,
} from "./staging_checks.ts";

type On<Op extends Operation["op"]> = Extract<Operation, { readonly op: Op }>;
type LayerOperation = Exclude<GitOperation, On<"update_ref"> | On<"verify">>;

/** Applies one operation. */
export async function applyOperation(context: StagingContext, op: Operation): Promise<void> {
  if (isExternal(op)) return stageCall(context, op);
  const repository = context.repository(op.repository);
  if (op.op === "verify") return await verify(context, repository, op);
  context.requireWritable(repository);
  if (op.op === "update_ref") return await updateRef(context, repository, op);
  const change = await layerToWrite(context, repository, op);
  switch (op.op) {
    case "create_layer":
      return await createLayer(context, repository, change, op.from);
    case "delete_layer":
      requireLayer(change);
      return context.changes.note(change.reset({ kind: "absent" }));
    case "put_file": {
      requireLayer(change);
      const file = await stagedFile(context, repository, op.content, op.mode);
      return context.changes.note(await placeFile(context, repository, change, op.path, file));
    }
    case "patch_file": {
      requireLayer(change);
      // The parsers of four formats: a start need not wait for them.
      const { patchFile } = await import("./patch_file.ts");
      return await patchFile(context, repository, change, op);
    }
    case "merge_layer": {
      requireLayer(change);
      const { mergeLayer } = await import("./merge_layer.ts");
      return await mergeLayer(context, repository, change, op);
    }
    case "delete_file":
      requireLayer(change);
      return context.changes.note(await change.remove(op.path));
    case "move_file":
      requireLayer(change);
      return await moveFile(context, repository, change, op);
  }
}

/** Locks a layer for writing and compares `expect` with its snapshot value. */
async function layerToWrite(
  context: StagingContext,
  repository: Repository,
  op: LayerOperation,
): Promise<LayerChange> {
  const ref = layerRef(op.layer);
  const base = await context.touch(repository, ref, "exclusive");
  if (op.expect !== undefined) requireValue(repository, ref, op.expect.commit, base);
  return context.changes.change(repository, ref, base);
}

async function createLayer(
  context: StagingContext,
  repository: Repository,
  change: LayerChange,
  from: LayerOrigin | null,
): Promise<void> {
  if (change.exists) {
    throw new LayerdError(
      "layer_exists",
      `Layer ${change.layer} exists in repository ${repository.name}`,
    );
  }
  refuseNameConflict(context, repository, change.ref);
  if (from === null) return context.changes.note(change.reset({ kind: "unborn" }));
  if (from.kind === "commit") {
    await requireCommit(context, repository, from.commit, "from");
    return context.changes.note(change.reset({ kind: "object", oid: from.commit }));
  }
  const ref = from.kind === "layer" ? layerRef(from.layer) : from.ref;
  const value = await context.touch(repository, ref, "shared");
  const source = context.changes.find(repository, ref);
  // A source that this transaction changed is copied as it looks now.
  if (source !== null) {
    if (!source.exists) throw missingOrigin(repository, ref);
    return context.changes.note(change.reset(source.tip, source.files, source.merged));
  }
  if (value === null) throw missingOrigin(repository, ref);
  // A layer starts at the commit behind an annotated tag.
  const oid = await peel(repository.objects, value) ?? value;
  await requireCommit(context, repository, oid, "from");
  context.changes.note(change.reset({ kind: "object", oid }));
}

async function moveFile(
  context: StagingContext,
  repository: Repository,
  change: LayerChange,
  op: On<"move_file">,
): Promise<void> {
  const file = await change.file(op.from);
  if (file === null) throw fileNotFound(op.layer, op.from);
  if (await change.file(op.to) !== null) {
    throw new LayerdError("name_conflict", `Layer ${op.layer} has a file ${quote(op.to)} already`);
  }
  context.changes.note(await change.remove(op.from));
  const moved: StagedFile = { mode: fileMode(file.mode), oid: file.oid, content: file.content };
  context.changes.note(await placeFile(context, repository, change, op.to, moved));
}

async function updateRef(
  context: StagingContext,
  repository: Repository,
  op: On<"update_ref">,
): Promise<void> {
  if (context.checkedOut(repository).has(op.ref)) {
    throw new LayerdError(
      "ref_checked_out",
      `${op.ref} is checked out in a work tree of repository ${repository.name}`,
      { field: "ref" },
    );
  }
  const base = await context.touch(repository, op.ref, "exclusive");
  if (op.expect !== undefined) requireValue(repository, op.ref, op.expect, base);
  const change = context.changes.change(repository, op.ref, base);
  if (op.new === null) return context.changes.note(change.reset({ kind: "absent" }));
  if (!change.exists) refuseNameConflict(context, repository, op.ref);
  if (op.ref.startsWith("refs/heads/") || op.ref.startsWith("refs/layers/")) {
    await requireCommit(context, repository, op.new, "new");
  } else if (await context.header(repository, op.new) === null) {
    throw unknownObject(repository, op.new, "new");
  }
  context.changes.note(change.reset({ kind: "object", oid: op.new }));
}

async function verify(
  context: StagingContext,
  repository: Repository,
  op: On<"verify">,
): Promise<void> {
  const actual = await context.touch(repository, op.ref, "shared");
  requireValue(repository, op.ref, op.commit, actual);
  context.changes.verify(repository, op.ref, op.commit);
}

async function stagedFile(
  context: StagingContext,
  repository: Repository,
  content: FileContent,
  mode: FileMode,
): Promise<StagedFile> {
  if (content.kind === "inline") {
    const staged: StagedContent = { kind: "bytes", bytes: content.bytes };
    return { mode, oid: objectId("blob", content.bytes), content: staged };
  }
  const { oid } = content;
  const uploaded = context.upload(oid);
  if (uploaded !== null) {
    return { mode, oid, content: { kind: "spooled", file: uploaded.file, size: uploaded.size } };
  }
  const header = await repository.objects.header(oid);
  if (header?.type !== "blob") {
    throw new LayerdError(
      "invalid_request",
      `Blob ${oid} was not uploaded in this transaction and is not in repository ` +
        repository.name,
      { field: "oid" },
    );
  }
  context.changes.in(repository).found.add(oid);
  return { mode, oid, content: { kind: "stored" } };
}
