/** What is looked at, and with what. */
import { LayerdError } from "../core/errors.ts";
import type { RepositoryId } from "../core/ids.ts";
import { checkFormat, type RepositoryLayout, resolveLayout } from "../git/gate.ts";
import { LooseAbsence } from "../git/loose_absence.ts";
import { LooseRefs } from "../git/loose_refs.ts";
import { PackedRefsFile } from "../git/packed_refs_file.ts";
import { FilesRefReader } from "../git/ref_reader.ts";
import type { RefReader } from "../git/repository.ts";
import { SizePad } from "../git/size_pad.ts";
import { WorkTrees } from "../git/work_trees.ts";
import type { Clock } from "../system/clock.ts";
import { type FileSystem, FileSystemError } from "../system/file_system.ts";
import type { Random } from "../system/random.ts";

export interface Machine {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
}

/** A repository to look at: named by a log's registration, or by its path alone. */
export interface Patient {
  readonly path: string;
  /** What the log of the state directory registers there, or null where it does not. */
  readonly registered: { readonly id: RepositoryId; readonly name: string } | null;
}

/** A repository that can be read, without owning it; null where layerd would not serve it. */
export function readableRefs(
  { fileSystem, clock }: Machine,
  path: string,
): { readonly layout: RepositoryLayout; readonly refs: RefReader } | null {
  try {
    const layout = resolveLayout(fileSystem, path);
    checkFormat(fileSystem, layout);
    const loose = new LooseRefs(fileSystem, layout.commonDir);
    const file = new PackedRefsFile(fileSystem, clock, layout.commonDir, new SizePad(clock));
    file.current();
    const absence = new LooseAbsence(fileSystem, clock, loose);
    const workTrees = new WorkTrees(fileSystem, layout);
    return { layout, refs: new FilesRefReader(loose, absence, file, workTrees) };
  } catch (error) {
    if (error instanceof LayerdError || error instanceof FileSystemError) return null;
    throw error;
  }
}
