/** The bytes of a file that a transaction or a reader sees, wherever they are. */
import { LayerdError } from "../core/errors.ts";
import type { Repository } from "../git/repository.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { VisibleFile } from "./layer_change.ts";

/** Throws `git_error` where the repository does not have the blob. */
export async function bytesOf(
  fileSystem: Pick<FileSystem, "readFile">,
  repository: Repository,
  { content, oid }: VisibleFile,
): Promise<Uint8Array> {
  if (content.kind === "bytes") return content.bytes;
  if (content.kind === "spooled") return fileSystem.readFile(content.file);
  const stored = await repository.blobs.content(oid);
  if (stored !== null) return stored;
  throw new LayerdError("git_error", `Blob ${oid} is missing in repository ${repository.name}`);
}
