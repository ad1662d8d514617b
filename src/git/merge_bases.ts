/**
 * Best common ancestors of two commits: native `git merge-base --all` (milliseconds on any
 * history); where git is not installed isomorphic-git's search, which is slow on long ones.
 */
import { findMergeBase } from "isomorphic-git";
import { LayerdError, messageOf } from "../core/errors.ts";
import { isObjectId, type ObjectId } from "../core/ids.ts";
import type { FileSystem } from "../system/file_system.ts";
import { FACADE_GIT_DIR, RepositoryFacade } from "./isomorphic_facade.ts";
import type { Repository } from "./repository.ts";

type Place = Pick<Repository, "commonDir" | "objects" | "name">;

/** None where the histories are unrelated, several where they cross. */
export async function mergeBases(
  fileSystem: FileSystem,
  repository: Place,
  one: ObjectId,
  other: ObjectId,
): Promise<ObjectId[]> {
  if (one === other) return [one];
  return await nativeBases(repository, one, other) ??
    await searchedBases(fileSystem, repository, one, other);
}

/** Null where git cannot be run. */
async function nativeBases(
  { commonDir, name }: Place,
  one: ObjectId,
  other: ObjectId,
): Promise<ObjectId[] | null> {
  const command = new Deno.Command("git", {
    args: [
      "-c",
      "safe.directory=*",
      `--git-dir=${commonDir}`,
      "merge-base",
      "--all",
      one,
      other,
    ],
    cwd: commonDir,
    env: {
      GIT_COMMON_DIR: commonDir,
      GIT_NO_REPLACE_OBJECTS: "1",
      GIT_NO_LAZY_FETCH: "1",
      LC_ALL: "C",
    },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
  try {
    const { code, stdout, stderr } = await command.output();
    const bases = new TextDecoder().decode(stdout).split("\n").filter(isObjectId);
    // 1 says that there is no common ancestor.
    if (code === 0 || (code === 1 && stderr.length === 0)) return bases;
    const text = new TextDecoder().decode(stderr).trim();
    throw new LayerdError("git_error", `git merge-base failed in repository ${name}: ${text}`);
  } catch (error) {
    const { NotCapable, NotFound, PermissionDenied } = Deno.errors;
    if ([NotCapable, NotFound, PermissionDenied].some((kind) => error instanceof kind)) return null;
    if (error instanceof LayerdError) throw error;
    throw new LayerdError("git_error", `git cannot be run: ${messageOf(error)}`, {}, error);
  }
}

async function searchedBases(
  fileSystem: FileSystem,
  { commonDir, objects }: Place,
  one: ObjectId,
  other: ObjectId,
): Promise<ObjectId[]> {
  const facade = new RepositoryFacade({
    fileSystem,
    layout: { commonDir },
    objects,
    refs: new Map(),
    staged: [],
  });
  const found: unknown[] = await findMergeBase({
    fs: facade.fs,
    gitdir: FACADE_GIT_DIR,
    cache: {},
    oids: [one, other],
  });
  return found.filter((oid): oid is ObjectId => typeof oid === "string" && isObjectId(oid));
}
