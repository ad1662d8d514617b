/**
 * Our lock files as they stand in a repository: hard links to an owner file, or what a copy
 * that broke the links made of them. Whether they may go is the caller's to know: none of
 * this asks who serves the repository.
 */
import type { FileInfo, FileSystem } from "../system/file_system.ts";
import type { RepositoryLayout } from "./gate.ts";

interface Inode {
  readonly device: number;
  readonly inode: number;
}

export function isSame(a: Inode, b: Inode): boolean {
  return a.inode === b.inode && a.device === b.device;
}

/** Removes every lock file that is a hard link to the owner file; answers their paths. */
export function removeLinksTo(
  fs: FileSystem,
  layout: RepositoryLayout,
  owner: Inode,
): string[] {
  return removeLocks(fs, layout, (_path, info) => isSame(info, owner));
}

/**
 * Removes lock files that hold an owner's content (`text`, ASCII) and that nobody holds: what a copy that broke the
 * links made of them (DESIGN section 4).
 */
export function removeDeadCopies(
  fs: FileSystem,
  layout: RepositoryLayout,
  text: string,
): string[] {
  return removeLocks(fs, layout, (path, info) => {
    if (info.kind !== "file" || info.size !== text.length) return false;
    const handle = fs.open(path, { read: true });
    try {
      const bytes = new Uint8Array(text.length);
      handle.readAt(bytes, 0);
      return new TextDecoder().decode(bytes) === text && handle.tryLock();
    } finally {
      handle.close();
    }
  });
}

function removeLocks(
  fs: FileSystem,
  layout: RepositoryLayout,
  isDead: (path: string, info: FileInfo) => boolean,
): string[] {
  const removed: string[] = [];
  const look = (path: string) => {
    const info = fs.lstatIfAny(path);
    if (info === null || !isDead(path, info)) return;
    fs.unlink(path);
    removed.push(path);
  };
  const visit = (directory: string) => {
    for (const { name, kind } of fs.readDirectory(directory)) {
      const path = `${directory}/${name}`;
      if (kind === "directory") visit(path);
      else if (name.endsWith(".lock")) look(path);
    }
  };
  look(`${layout.commonDir}/packed-refs.lock`);
  visit(`${layout.commonDir}/refs`);
  return removed;
}
