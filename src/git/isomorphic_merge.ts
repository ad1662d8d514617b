/**
 * isomorphic-git's merge of three trees, over the facade: nothing reaches the repository.
 * It is given three commits made for it, base with ours and theirs on top, so that its
 * search for a base has nothing to search, and a driver for contents; of what it answers
 * only the tree is used. Its known losses (GIT-SAFETY section 3) are its caller's to keep
 * away: this merge is the second opinion on a plan that was checked path by path.
 */
import { merge } from "isomorphic-git";
import { LayerdError, messageOf } from "../core/errors.ts";
import { isObjectId, type ObjectId, parseRefName } from "../core/ids.ts";
import type { FileSystem } from "../system/file_system.ts";
import { FACADE_GIT_DIR, RepositoryFacade } from "./isomorphic_facade.ts";
import { encodeCommit, objectId } from "./object_codec.ts";
import type { NewObject, Repository } from "./repository.ts";

const NOBODY = { name: "layerd", email: "layerd@localhost" };
const OURS = parseRefName("refs/heads/ours");
const THEIRS = parseRefName("refs/heads/theirs");

export interface TreesToMerge {
  readonly base: ObjectId;
  readonly ours: ObjectId;
  readonly theirs: ObjectId;
  /** Objects of these trees that are not in the repository. */
  readonly staged: readonly NewObject[];
}

/** The text of a file that both sides changed, or null where it conflicts. */
export type TextDriver = (base: string, ours: string, theirs: string) => string | null;

/** The merged tree; `git_error` where it finds no merge. */
export async function isomorphicMerge(
  fileSystem: FileSystem,
  { commonDir, objects, name }: Pick<Repository, "commonDir" | "objects" | "name">,
  { base, ours, theirs, staged }: TreesToMerge,
  driver: TextDriver,
): Promise<ObjectId> {
  const root = commitOf(base, [], "base");
  const [mine, yours] = [
    commitOf(ours, [root.oid], "ours"),
    commitOf(theirs, [root.oid], "theirs"),
  ];
  const facade = new RepositoryFacade({
    fileSystem,
    layout: { commonDir },
    objects,
    refs: new Map([[OURS, mine.oid], [THEIRS, yours.oid]]),
    staged: [...staged, root, mine, yours],
  });
  try {
    const { tree } = await merge({
      fs: facade.fs,
      gitdir: FACADE_GIT_DIR,
      cache: {},
      ours: OURS,
      theirs: THEIRS,
      fastForward: false,
      author: NOBODY,
      mergeDriver: ({ contents: [before = "", one = "", other = ""] }) => {
        const text = driver(before, one, other);
        return { cleanMerge: text !== null, mergedText: text ?? one };
      },
    });
    if (tree !== undefined && isObjectId(tree)) return tree;
    throw new Error("it made no tree");
  } catch (error) {
    const text = `isomorphic-git finds no merge in repository ${name}: ${messageOf(error)}`;
    throw new LayerdError("git_error", text, {}, error);
  }
}

function commitOf(tree: ObjectId, parents: readonly ObjectId[], message: string): NewObject {
  const signature = { ...NOBODY, atSeconds: 0 };
  const body = encodeCommit({ tree, parents, author: signature, committer: signature, message });
  return { oid: objectId("commit", body), type: "commit", body };
}
