/** Puts a file into a layer, once its content is what git takes there. */
import { LayerdError } from "../core/errors.ts";
import { quote } from "../core/ids.ts";
import { gitmodulesFault, isGitmodules } from "../git/gitmodules_check.ts";
import type { Repository } from "../git/repository.ts";
import type { LayerChange, StagedFile, Undo } from "./layer_change.ts";
import type { StagingContext } from "./staging_checks.ts";

/** Throws `name_conflict`, and `invalid_content` for what `git fsck` calls an error. */
export async function placeFile(
  context: Pick<StagingContext, "bytes">,
  repository: Repository,
  change: LayerChange,
  path: string,
  file: StagedFile,
): Promise<Undo> {
  if (isGitmodules(path)) {
    const fault = gitmodulesFault(await context.bytes(repository, file));
    if (fault !== null) {
      throw new LayerdError(
        "invalid_content",
        `${quote(path)} has ${fault}, which git refuses as harmful`,
        { field: "content" },
      );
    }
  }
  return await change.place(path, file);
}
