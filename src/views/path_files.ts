/**
 * The files that one layer contributes to a view. For one path it costs what stands there and
 * above it, not what the layer holds: whoever reads a view file by file would otherwise list
 * all of it each time.
 */
import { pathsDeciding } from "../core/layer_composition.ts";
import type { TreeReader } from "../git/repository.ts";
import { isTree, type LayerChange, type VisibleFile } from "../transactions/layer_change.ts";

type FileAt = { readonly path: string } & VisibleFile;

const STORED = { kind: "stored" } as const;
const SUBMODULE = "160000";

/** All files of a layer; submodules are not files. */
export async function allFiles(change: LayerChange): Promise<FileAt[]> {
  const files = await Array.fromAsync(change.allFiles());
  return files.filter(({ mode }) => mode !== SUBMODULE);
}

/** The files that stackFiles() needs to say what a view shows at `path`. */
export async function filesDeciding(
  change: LayerChange,
  trees: TreeReader,
  path: string,
): Promise<FileAt[]> {
  const found: FileAt[] = [];
  for (const one of pathsDeciding(path)) {
    const file = await change.file(one);
    if (file !== null) found.push({ ...file, path: one });
  }
  const below = await anyBelow(change, trees, path);
  return below === null ? found : [...found, below];
}

/** Any file below a directory, so that it hides a lower file of its name. */
async function anyBelow(
  change: LayerChange,
  trees: TreeReader,
  directory: string,
): Promise<FileAt | null> {
  for (const [path, file] of change.files) {
    if (file !== null && path.startsWith(`${directory}/`)) return { ...file, path };
  }
  const root = await change.root();
  if (root === null) return null;
  for (const [name, entry] of await trees.directory(root, directory) ?? []) {
    const path = `${directory}/${name}`;
    if (isTree(entry)) {
      const found = await anyBelow(change, trees, path);
      if (found !== null) return found;
    } else if (entry.mode !== SUBMODULE && !change.files.has(path)) {
      return { ...entry, path, content: STORED };
    }
  }
  return null;
}
