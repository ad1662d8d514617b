/**
 * Turns staged changes into git objects and ref edits (DESIGN section 3, step 1). Runs
 * before any lock of git's is taken. Small transactions' objects are placed by their group,
 * in one pack for all of them; what is written here is complete or absent, reachable from
 * nothing, and harmless when the transaction ends without a commit.
 *
 * B1. One commit for each changed layer; none where the tree came out as it was.
 * B2. Every edit's old value is the snapshot value, so that the pipeline's comparison
 *     under git's locks is what decides.
 * B3. A written ref that does not move is still checked: whoever moved it since conflicts.
 */
import { LayerdError } from "../core/errors.ts";
import { layerOfRef, type ObjectId, type RefName, type TransactionId } from "../core/ids.ts";
import { REFS_PER_TRANSACTION_MAX } from "../core/limits.ts";
import type { RepositoryPart, WrittenObjects } from "../core/log_record.ts";
import type { RefCheck, RefEdit } from "../core/ref_edit.ts";
import type { Identity, RefResult } from "../core/transaction_document.ts";
import { encodeCommit, objectId } from "../git/object_codec.ts";
import type { NewObject, Repository, Signature } from "../git/repository.ts";
import { withTrailer } from "./commit_message.ts";
import type { DurableCommits } from "./durable_commits.ts";
import type { LayerChange, StagedFile } from "./layer_change.ts";
import { repositoryError } from "./repository_errors.ts";
import type { RepositoryChanges } from "./staged_changes.ts";

/** Who commits, and who authored where nobody else is named. */
const LAYERD: Identity = { name: "layerd", email: "layerd@localhost" };

/** What the commits of one transaction have in common. */
export interface CommitTemplate {
  readonly id: TransactionId;
  readonly message: string;
  readonly author: Identity | null;
  /** Wall clock, milliseconds. */
  readonly atMs: number;
}

interface AuthoredTemplate extends CommitTemplate {
  readonly author: Identity;
}

/** What one ref comes to. */
interface BuiltRef {
  readonly value: ObjectId | null;
  readonly objects: readonly NewObject[];
}

/**
 * Builds a transaction's part in one repository; null where there is nothing to
 * move or check.
 */
export async function buildPart(
  changes: RepositoryChanges,
  template: CommitTemplate,
  durable: DurableCommits,
): Promise<RepositoryPart | null> {
  const { repository } = changes;
  await durable.ensure(repository, foreignTips(changes));
  // One look at the configuration serves all the commits of the part.
  const author = template.author ?? repository.identity() ?? LAYERD;
  const edits: RefEdit[] = [];
  const checks = new Map<RefName, ObjectId | null>(changes.checks);
  const objects = new Map<ObjectId, NewObject>();
  for (const object of await foundBlobs(changes)) objects.set(object.oid, object);
  for (const change of changes.layers.values()) {
    if (!change.touched) continue;
    const built = await buildRef(change, { ...template, author }, repository);
    for (const object of built.objects) objects.set(object.oid, object);
    const { ref, base } = change;
    if (built.value === base) {
      checks.set(ref, base);
    } else {
      edits.push({ ref, old: base, new: built.value });
      checks.delete(ref);
    }
  }
  if (edits.length === 0 && checks.size === 0) return null;
  if (edits.length + checks.size > REFS_PER_TRANSACTION_MAX) throw tooManyRefs(repository);
  return {
    repositoryId: repository.id,
    repository: repository.name,
    edits,
    checks: [...checks].map(([ref, expected]): RefCheck => ({ ref, expected })),
    objects: await write(repository, [...objects.values()]),
  };
}

/** Where written refs point before file changes: commits that the part does not write. */
function foreignTips({ layers }: RepositoryChanges): ObjectId[] {
  const oids = [...layers.values()].flatMap((change) =>
    change.touched
      ? [...(change.tip.kind === "object" ? [change.tip.oid] : []), ...change.merged]
      : []
  );
  return [...new Set(oids)];
}

/**
 * Blobs that were found in the repository become part of what the transaction writes: native
 * `git gc --prune=now` may delete one that nothing reaches before its layer moves.
 */
async function foundBlobs({ repository, found }: RepositoryChanges): Promise<NewObject[]> {
  return await Promise.all([...found].map(async (oid): Promise<NewObject> => {
    const blob = await repository.objects.read(oid);
    if (blob?.type === "blob") return { oid, type: "blob", body: blob.body };
    throw new LayerdError("git_error", `Blob ${oid} is no longer in repository ${repository.name}`);
  }));
}

/**
 * Commits that no snapshot value keeps: `from` and `new` of the operations, and what they
 * merged. Git may have pruned them since they were named, so they are looked for once more
 * under the locks.
 */
export function reliedOn(changes: RepositoryChanges): ObjectId[] {
  const oids = [...changes.layers.values()].flatMap(({ touched, tip, base, merged }) =>
    touched ? [...(tip.kind === "object" && tip.oid !== base ? [tip.oid] : []), ...merged] : []
  );
  return [...new Set(oids)];
}

/** Where the parts' refs move, as the contract shows it. */
export function resultsOf(parts: readonly RepositoryPart[]): RefResult[] {
  return parts.flatMap(({ repository, edits }) =>
    edits.map((edit) => ({
      repository,
      layer: layerOfRef(edit.ref) ?? edit.ref,
      ref: edit.ref,
      old: edit.old,
      new: edit.new,
    }))
  );
}

async function buildRef(
  change: LayerChange,
  template: AuthoredTemplate,
  repository: Repository,
): Promise<BuiltRef> {
  const { tip, files, merged } = change;
  if (tip.kind === "absent") return { value: null, objects: [] };
  if (tip.kind === "object" && files.size === 0 && merged.length === 0) {
    return { value: tip.oid, objects: [] };
  }
  const before = await change.root();
  const tree = await repository.trees.rewrite(before, files);
  if (tip.kind === "object" && tree.root === before && merged.length === 0) {
    return { value: tip.oid, objects: [] };
  }
  const commit = newCommit(change, tree.root, template);
  repository.trees.noteRoot(commit.oid, tree.root);
  return { value: commit.oid, objects: [...blobsOf(files), ...tree.objects, commit] };
}

function newCommit(
  change: LayerChange,
  tree: ObjectId,
  template: AuthoredTemplate,
): NewObject {
  const atSeconds = Math.floor(template.atMs / 1_000);
  const body = encodeCommit({
    tree,
    parents: [...(change.tip.kind === "object" ? [change.tip.oid] : []), ...change.merged],
    author: signature(template.author, atSeconds),
    committer: signature(LAYERD, atSeconds),
    message: withTrailer(template.message, template.id),
  });
  return { oid: objectId("commit", body), type: "commit", body };
}

function signature(identity: Identity, atSeconds: number): Signature {
  return { name: identity.name, email: identity.email, atSeconds };
}

function* blobsOf(files: ReadonlyMap<string, StagedFile | null>): Iterable<NewObject> {
  for (const file of files.values()) {
    if (file?.content.kind === "bytes") {
      yield { oid: file.oid, type: "blob", body: file.content.bytes };
    } else if (file?.content.kind === "spooled") {
      yield { oid: file.oid, type: "blob", file: file.content.file, size: file.content.size };
    }
  }
}

async function write(
  repository: Repository,
  objects: readonly NewObject[],
): Promise<WrittenObjects> {
  if (objects.length === 0) return { kind: "recorded", objects: [] };
  try {
    return await repository.objects.write(objects);
  } catch (error) {
    throw repositoryError(error, repository.name);
  }
}

function tooManyRefs(repository: Repository): LayerdError {
  return new LayerdError(
    "invalid_request",
    `A transaction writes or verifies at most ${REFS_PER_TRANSACTION_MAX} refs of repository ` +
      repository.name,
    { limit: REFS_PER_TRANSACTION_MAX },
  );
}
