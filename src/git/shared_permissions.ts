/**
 * Modes of the files and directories that we make in a repository: those that git would
 * give them under `core.sharedRepository`. The algorithm is git's `adjust_shared_perm`
 * and `calc_shared_perm` (path.c).
 */
import type { FileSystem } from "../system/file_system.ts";

/** What `core.sharedRepository` says: leave it to the umask, add bits, or set them exactly. */
export type SharedRepository =
  | { readonly kind: "umask" }
  | { readonly kind: "add"; readonly bits: number }
  | { readonly kind: "exact"; readonly bits: number };

const SET_GROUP_ID = 0o2000;

/** Parses the value of `core.sharedRepository`; null (not set) is the umask. */
export function parseSharedRepository(value: string | null): SharedRepository {
  switch (value?.toLowerCase() ?? null) {
    case null:
    case "umask":
    case "false":
    case "no":
    case "off":
    case "0":
      return { kind: "umask" };
    case "group":
    case "true":
    case "yes":
    case "on":
    case "1":
      return { kind: "add", bits: 0o660 };
    case "all":
    case "world":
    case "everybody":
    case "2":
      return { kind: "add", bits: 0o664 };
  }
  const bits = /^0?[0-7]{3}$/.test(value ?? "") ? parseInt(value ?? "", 8) : 0;
  // git dies on a mode that locks the owner out; the umask is the harmless reading.
  return (bits & 0o600) === 0o600 ? { kind: "exact", bits: bits & 0o666 } : { kind: "umask" };
}

/** The mode that a file or directory made with `mode` ends up with. */
export function sharedMode(
  shared: SharedRepository,
  kind: "file" | "directory",
  mode: number,
): number {
  if (shared.kind === "umask") return mode;
  let bits = shared.bits;
  if ((mode & 0o200) === 0) bits &= ~0o222;
  if ((mode & 0o100) !== 0) bits |= (bits & 0o444) >> 2;
  let result = shared.kind === "exact" ? (mode & ~0o777) | bits : mode | bits;
  if (kind === "directory") {
    result |= (result & 0o444) >> 2;
    if ((bits & 0o060) !== 0) result |= SET_GROUP_ID;
  }
  return result;
}

/** Gives a file or directory that was just made the mode that git would give it. */
export function shareWithGroup(fs: FileSystem, path: string, shared: SharedRepository): void {
  if (shared.kind === "umask") return;
  const info = fs.stat(path);
  const kind = info.kind === "directory" ? "directory" : "file";
  const mode = sharedMode(shared, kind, info.mode);
  if (mode !== info.mode) fs.chmod(path, mode);
}
