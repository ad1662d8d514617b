/** Paths on the simulated disk: resolved as the kernel does, symbolic links followed. */
import { FileSystemError } from "../../src/system/file_system.ts";
import { type Inode, ROOT_ID, type SimulatedDisk } from "./simulated_disk.ts";

const LINKS_FOLLOWED_MAX = 40;

/** A name in an existing directory, and what it means. */
export interface Place {
  readonly directory: number;
  readonly name: string;
  readonly inode: Inode | null;
  /** Canonical path of the name. */
  readonly path: string;
}

export type LastLink = "followed" | "kept";

/** Finds a name; throws ENOENT or ENOTDIR where its directory is not there. */
export function findPlace(
  disk: SimulatedDisk,
  call: string,
  path: string,
  lastLink: LastLink,
): Place {
  const fail = (code: string) => new FileSystemError(code, call, path);
  let names = split(path);
  const trail: { readonly id: number; readonly name: string }[] = [];
  const here = () => trail.at(-1)?.id ?? ROOT_ID;
  for (let followed = 0; names.length > 0;) {
    const [name = "", ...rest] = names;
    names = rest;
    const directory = here();
    if (disk.inode(directory).kind !== "directory") throw fail("ENOTDIR");
    if (name === "..") {
      trail.pop();
      continue;
    }
    const id = disk.inode(directory).entries.get(name);
    const inode = id === undefined ? null : disk.inode(id);
    const isLast = names.length === 0;
    if (inode?.kind === "symlink" && !(isLast && lastLink === "kept")) {
      followed += 1;
      if (followed > LINKS_FOLLOWED_MAX) throw fail("ELOOP");
      if (inode.target.startsWith("/")) trail.length = 0;
      names = [...split(inode.target), ...names];
      continue;
    }
    if (isLast) {
      const canonical = ["", ...trail.map((one) => one.name), name].join("/");
      return { directory, name, inode, path: canonical };
    }
    if (inode === null) throw fail("ENOENT");
    trail.push({ id: inode.id, name });
  }
  // The path ended at a directory that it had entered before: the root, or by "..".
  const last = trail.pop();
  if (last === undefined) {
    return { directory: ROOT_ID, name: "", inode: disk.inode(ROOT_ID), path: "/" };
  }
  const canonical = ["", ...trail.map((one) => one.name), last.name].join("/");
  return { directory: here(), name: last.name, inode: disk.inode(last.id), path: canonical };
}

function split(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}
