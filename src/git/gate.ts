/**
 * The gate: where a repository's parts are, and whether layerd may serve it (GIT-SAFETY
 * section 1). A repository is its common directory; whatever could corrupt it silently is
 * refused here with `unsupported_repository` and a reason:
 *
 *   path_missing       nothing at the path
 *   not_a_repository   no git directory there
 *   sha256, reftable   formats that isomorphic-git and our ref code would misread
 *   promisor           a partial clone: objects may be missing on purpose
 *   unknown_extension  an `extensions.*` that this version does not know
 *   format_version     a repository format of the future
 *   bad_config         `config` cannot be parsed
 *   symbolic_link      `refs`, `packed-refs` or our own directory lead out of the repository
 *   case_insensitive, no_hard_links, no_link_counts, no_flock: the file system
 *
 * resolveLayout() and checkFormat() only read. checkLayout() makes `layerd/` where it is
 * missing, and leaves it behind, empty, only where it refuses nothing.
 */
import { basename, dirname, isAbsolute, resolve } from "@std/path";
import { LayerdError } from "../core/errors.ts";
import { ALTERNATES_DEPTH_MAX } from "../core/limits.ts";
import { errorCode, type FileSystem, FileSystemError } from "../system/file_system.ts";
import type { Random } from "../system/random.ts";
import { type GitConfig, isTrueValue, readConfigFile } from "./git_config.ts";
import {
  parseSharedRepository,
  type SharedRepository,
  shareWithGroup,
} from "./shared_permissions.ts";

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
  /** The repository has no main work tree; it may have linked ones. */
  readonly bare: boolean;
  /** Of the path that was given. */
  readonly workTree: string | null;
  /** How the files that we make are shared (`core.sharedRepository`). */
  readonly shared: SharedRepository;
}

/** Extensions that change nothing for us. `relativeWorktrees` is about how paths are written. */
const KNOWN_EXTENSIONS = new Set([
  "noop",
  "noop-v1",
  "objectformat",
  "preciousobjects",
  "refstorage",
  "relativeworktrees",
  "worktreeconfig",
]);

function refuse(reason: string, text: string): never {
  throw new LayerdError("unsupported_repository", text, { reason });
}

/** Finds the parts of the repository at an absolute path. Reads only. */
export function resolveLayout(fs: FileSystem, path: string): RepositoryLayout {
  if (!isAbsolute(path) || path.includes("\0")) {
    throw new LayerdError("invalid_request", `Repository path ${path} must be absolute`, {
      field: "path",
    });
  }
  const place = canonical(fs, path);
  if (place === null) refuse("path_missing", `Nothing is at ${path}`);
  const gitDir = findGitDir(fs, place);
  if (gitDir === null) refuse("not_a_repository", `${path} is not a git repository`);
  const commonDir = commonDirOf(fs, gitDir);
  const objectsDir = commonDir === null ? null : canonical(fs, `${commonDir}/objects`);
  if (
    commonDir === null || objectsDir === null || kindOf(fs, `${commonDir}/refs`) !== "directory"
  ) {
    refuse("not_a_repository", `${path} is not a git repository: ${gitDir} is incomplete`);
  }
  const config = readConfigFile(fs, `${commonDir}/config`);
  return {
    path,
    gitDir,
    commonDir,
    objectsDir,
    alternates: findAlternates(fs, objectsDir),
    bare: mainWorkTree(fs, commonDir, config) === null,
    workTree: findWorkTree(fs, gitDir, commonDir, config),
    shared: parseSharedRepository(config.get("core.sharedrepository")),
  };
}

function canonical(fs: FileSystem, path: string): string | null {
  try {
    return fs.realPath(path);
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errorCode(error) ?? "")) return null;
    throw accessError(error);
  }
}

/** What is at the path, links followed; null where nothing is. */
function kindOf(fs: FileSystem, path: string): string | null {
  const target = canonical(fs, path);
  return target === null ? null : fs.lstat(target).kind;
}

function accessError(error: unknown): unknown {
  if (!(error instanceof FileSystemError)) return error;
  if (!["EACCES", "EPERM", "EROFS"].includes(error.code)) return error;
  return new LayerdError("permission_denied", error.message, { reason: error.code }, error);
}

/** The first line of a small text file, or null where it is not a file. */
function readLine(fs: FileSystem, path: string): string | null {
  if (kindOf(fs, path) !== "file") return null;
  try {
    return new TextDecoder().decode(fs.readFile(path)).split("\n")[0] ?? null;
  } catch (error) {
    throw accessError(error);
  }
}

function findGitDir(fs: FileSystem, place: string): string | null {
  const dotGit = `${place}/.git`;
  const kind = kindOf(fs, dotGit);
  if (kind === "directory") return canonical(fs, dotGit);
  if (kind === "file") {
    const target = readLine(fs, dotGit)?.match(/^gitdir: (.+)$/)?.[1];
    return target === undefined ? null : canonical(fs, resolve(place, target));
  }
  // HEAD may be a symbolic link to a branch that has no commit yet.
  return fs.lstatIfAny(`${place}/HEAD`) === null ? null : place;
}

function commonDirOf(fs: FileSystem, gitDir: string): string | null {
  const pointer = readLine(fs, `${gitDir}/commondir`);
  return pointer === null ? gitDir : canonical(fs, resolve(gitDir, pointer));
}

function findWorkTree(
  fs: FileSystem,
  gitDir: string,
  commonDir: string,
  config: GitConfig,
): string | null {
  if (gitDir === commonDir) return mainWorkTree(fs, commonDir, config);
  return linkedWorkTree(fs, gitDir);
}

/** The work tree that the common directory belongs to, or null for a bare repository. */
function mainWorkTree(fs: FileSystem, commonDir: string, config: GitConfig): string | null {
  if (config.isTrue("core.bare")) return null;
  const configured = config.get("core.worktree");
  if (configured !== null) return canonical(fs, resolve(commonDir, configured));
  return basename(commonDir) === ".git" ? dirname(commonDir) : null;
}

/** The linked work tree of `<common dir>/worktrees/<name>`, or null where it is gone. */
function linkedWorkTree(fs: FileSystem, gitDir: string): string | null {
  const dotGit = readLine(fs, `${gitDir}/gitdir`);
  return dotGit === null ? null : canonical(fs, dirname(resolve(gitDir, dotGit)));
}

/** Work trees that exist now, the main one first. */
export function findWorkTrees(fs: FileSystem, { commonDir }: RepositoryLayout): string[] {
  const config = readConfigFile(fs, `${commonDir}/config`);
  const linked = `${commonDir}/worktrees`;
  const names = kindOf(fs, linked) === "directory" ? fs.readDirectory(linked) : [];
  const paths = [
    mainWorkTree(fs, commonDir, config),
    ...names.map(({ name }) => linkedWorkTree(fs, `${linked}/${name}`)),
  ];
  return paths.filter((path) => path !== null);
}

/** Object directories that `objects/info/alternates` names, in the order git searches them. */
function findAlternates(fs: FileSystem, objectsDir: string): string[] {
  const found = new Set<string>();
  const visit = (directory: string, depth: number) => {
    const file = `${directory}/info/alternates`;
    if (depth > ALTERNATES_DEPTH_MAX || kindOf(fs, file) !== "file") return;
    for (const line of new TextDecoder().decode(fs.readFile(file)).split("\n")) {
      if (line === "" || line.startsWith("#")) continue;
      const target = canonical(fs, resolve(directory, unquote(line)));
      if (target === null || target === objectsDir || found.has(target)) continue;
      found.add(target);
      visit(target, depth + 1);
    }
  };
  visit(objectsDir, 1);
  return [...found];
}

/** Git quotes a path with special bytes like a C string. */
function unquote(line: string): string {
  if (!line.startsWith('"') || !line.endsWith('"')) return line;
  return line.slice(1, -1).replace(/\\(["\\])/g, "$1");
}

/** Whether the repository's format is one that layerd serves. Reads only. */
export function checkFormat(fs: FileSystem, layout: RepositoryLayout): void {
  const { commonDir } = layout;
  const configs = [`${commonDir}/config`, `${layout.gitDir}/config.worktree`];
  const entries = configs.flatMap((path) => readConfigFile(fs, path).entries);
  for (const { key, value } of entries) {
    if (key === "core.repositoryformatversion") {
      if (value !== "0" && value !== "1") {
        refuse("format_version", `Repository format version ${value} is not supported`);
      }
    } else if (key === "extensions.objectformat") {
      if (value?.toLowerCase() !== "sha1") {
        refuse("sha256", `Object format ${value} is not supported, only sha1 is`);
      }
    } else if (key === "extensions.refstorage") {
      if (value?.toLowerCase() !== "files") {
        refuse("reftable", `Ref storage ${value} is not supported, only files is`);
      }
    } else if (key === "extensions.partialclone") {
      refuse("promisor", "A partial clone is not supported: objects may be missing on purpose");
    } else if (/^remote\..*\.promisor$/s.test(key)) {
      if (isTrueValue(value)) {
        refuse("promisor", `A partial clone is not supported: ${key} is set`);
      }
    } else if (key.startsWith("extensions.")) {
      if (!KNOWN_EXTENSIONS.has(key.slice("extensions.".length))) {
        refuse("unknown_extension", `Repository extension ${key} is not known to this version`);
      }
    }
  }
  checkLinks(fs, layout);
}

function checkLinks(fs: FileSystem, { commonDir }: RepositoryLayout): void {
  const ours = ["layerd", "layerd/owner", "layerd/position", "layerd/tmp", "layerd/pending"];
  const names = [...ours, "refs", "packed-refs", "refs/heads", "refs/tags", "refs/layers"];
  for (const name of names) {
    if (fs.lstatIfAny(`${commonDir}/${name}`)?.kind === "symlink") {
      refuse("symbolic_link", `${commonDir}/${name} is a symbolic link, which is not supported`);
    }
  }
  if (fs.lstatIfAny(`${commonDir}/reftable`)?.kind === "directory") {
    refuse("reftable", "Ref storage reftable is not supported, only files is");
  }
}

/** All refusals of the gate: the format, then the file system. */
export function checkLayout(fs: FileSystem, layout: RepositoryLayout, random: Random): void {
  checkFormat(fs, layout);
  checkFileSystem(fs, layout, random);
}

/** Makes `layerd/` with its parts where they are missing; answers those that it made. */
export function makeLayerdDirectories(fs: FileSystem, layout: RepositoryLayout): string[] {
  const directory = `${layout.commonDir}/layerd`;
  const made: string[] = [];
  for (const path of [directory, `${directory}/tmp`, `${directory}/pending`]) {
    try {
      fs.makeDirectory(path);
      made.push(path);
      shareWithGroup(fs, path, layout.shared);
    } catch (error) {
      if (errorCode(error) !== "EEXIST") throw accessError(error);
    }
  }
  return made;
}

/** Probes in `layerd/tmp` whether hard links, their count and flock(2) work. */
function checkFileSystem(fs: FileSystem, layout: RepositoryLayout, random: Random): void {
  const made = makeLayerdDirectories(fs, layout);
  const name = `probe-${random.bytes(8).toHex()}`;
  const first = `${layout.commonDir}/layerd/tmp/${name}`;
  const second = `${first}-link`;
  try {
    fs.writeNewFile(first, new Uint8Array(0));
    if (fs.lstatIfAny(`${layout.commonDir}/layerd/tmp/${name.toUpperCase()}`) !== null) {
      refuse("case_insensitive", `The file system of ${layout.commonDir} ignores case`);
    }
    probeLinks(fs, first, second, layout.commonDir);
    probeLocks(fs, first, layout.commonDir);
    for (const path of [second, first]) fs.unlink(path);
  } catch (error) {
    for (const path of [second, first]) if (fs.lstatIfAny(path) !== null) fs.unlink(path);
    for (const path of made.reverse()) fs.removeDirectory(path);
    throw accessError(error);
  }
}

function probeLinks(fs: FileSystem, first: string, second: string, commonDir: string): void {
  try {
    fs.link(first, second);
  } catch (error) {
    const code = errorCode(error);
    if (code === null || code === "ENOSPC" || code === "EDQUOT" || code === "EIO") throw error;
    refuse("no_hard_links", `The file system of ${commonDir} makes no hard links (${code})`);
  }
  const [one, other] = [fs.lstat(first), fs.lstat(second)];
  if (one.links !== 2 || other.links !== 2 || one.inode !== other.inode) {
    refuse("no_link_counts", `The file system of ${commonDir} does not count hard links`);
  }
}

function probeLocks(fs: FileSystem, path: string, commonDir: string): void {
  const holder = fs.open(path, { read: true, write: true });
  const rival = fs.open(path, { read: true, write: true });
  try {
    if (holder.tryLock() && !rival.tryLock()) return;
  } catch (error) {
    const code = errorCode(error);
    if (code === null || code === "EIO") throw error;
  } finally {
    holder.close();
    rival.close();
  }
  refuse("no_flock", `The file system of ${commonDir} does not lock files (flock)`);
}
