/** A served repository as clients see it: its document, its findings, and where it is found. */
import { isAbsolute, relative } from "@std/path";
import { LayerdError, messageOf } from "../core/errors.ts";
import { LAYER_REF_PREFIX, quote } from "../core/ids.ts";
import type { TransactionId } from "../core/ids.ts";
import type { Repository, RepositoryFinding } from "../git/repository.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { RepositoryDocument } from "./catalog.ts";

export function repositoryDocument(
  repository: Repository,
  findings: readonly RepositoryFinding[],
): RepositoryDocument {
  return {
    name: repository.name,
    path: repository.path,
    git_dir: repository.gitDir,
    common_dir: repository.commonDir,
    head: repository.head(),
    layers: countLayers(repository),
    status: worst(findings),
  };
}

/** What a quick look finds; `quarantinedBy`: the transaction that stopped writing here. */
export async function findingsOf(
  repository: Repository,
  quarantinedBy: TransactionId | null,
): Promise<readonly RepositoryFinding[]> {
  const quarantine: RepositoryFinding[] = quarantinedBy === null ? [] : [{
    code: "repository_quarantined",
    detail: `Transaction ${quarantinedBy} was decided and a ref contradicts it`,
    severity: "corrupted",
    ref: null,
  }];
  try {
    return [...quarantine, ...await repository.findings()];
  } catch (error) {
    const detail = messageOf(error);
    return [...quarantine, { code: "unreadable", detail, severity: "unknown", ref: null }];
  }
}

/** The overall status that findings come to. */
export function worst(findings: readonly RepositoryFinding[]): RepositoryDocument["status"] {
  for (const severity of ["corrupted", "unknown", "suspicious"] as const) {
    if (findings.some((finding) => finding.severity === severity)) return severity;
  }
  return "healthy";
}

/** The repository whose work tree or common directory holds the path, the innermost first. */
export function repositoryAround(
  fileSystem: FileSystem,
  repositories: readonly Repository[],
  path: string,
): Repository | null {
  if (!isAbsolute(path)) {
    throw new LayerdError("invalid_request", `Path ${quote(path)} must be absolute`, {
      field: "path",
    });
  }
  const real = canonical(fileSystem, path);
  let found: { readonly repository: Repository; readonly root: string } | null = null;
  for (const repository of repositories) {
    for (const root of [...repository.workTrees(), repository.commonDir]) {
      if (isInside(real, root) && root.length > (found?.root.length ?? 0)) {
        found = { repository, root };
      }
    }
  }
  return found?.repository ?? null;
}

function canonical(fileSystem: FileSystem, path: string): string {
  try {
    return fileSystem.realPath(path);
  } catch {
    // A path that does not exist (yet) is compared as it is written.
    return path;
  }
}

function isInside(path: string, root: string): boolean {
  const way = relative(root, path);
  return way === "" || (!way.startsWith("..") && !isAbsolute(way));
}

/** Zero where the refs cannot be read: the findings say why. */
function countLayers(repository: Repository): number {
  try {
    let layers = 0;
    for (const _ of repository.refs.snapshot().entries(LAYER_REF_PREFIX)) layers++;
    return layers;
  } catch {
    return 0;
  }
}
