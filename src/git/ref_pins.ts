/**
 * Pins: loose files that hold refs to their present values. Native deletion of a packed ref
 * looks at packed-refs.lock only and would remove it under our ref lock; before it removes a
 * loose one it takes the ref's lock, which a prepared transaction keeps.
 *
 * Requires the ref locks and packed-refs.lock: between reading a packed value and the rename
 * of its pin nobody may delete the ref, or the pin would bring it back.
 */
import { invariant, LayerdError } from "../core/errors.ts";
import type { RefName } from "../core/ids.ts";
import type { FileSystem } from "../system/file_system.ts";
import { lockedLooseValue } from "./locked_refs.ts";
import type { LooseRefs } from "./loose_refs.ts";
import type { PackedRefs } from "./packed_refs.ts";
import type { RefFiles } from "./ref_files.ts";
import type { RefLocks } from "./ref_locks.ts";

interface Parts {
  readonly fileSystem: FileSystem;
  readonly files: RefFiles;
  readonly locks: RefLocks;
  readonly loose: LooseRefs;
}

/** Durable when resolved: the pins, the lock links, and the directories above both. */
export async function pinRefs(
  parts: Parts,
  packed: PackedRefs,
  refs: readonly RefName[],
): Promise<void> {
  invariant(parts.locks.packedRefsStillHeld(), "refs are pinned without packed-refs.lock");
  const directories = new Set<string>();
  for (const ref of refs) {
    await pin(parts, packed, ref);
    const path = ref.split("/");
    for (let count = 1; count < path.length; count++) {
      directories.add(parts.loose.pathOf(path.slice(0, count).join("/")));
    }
  }
  for (const directory of directories) await parts.fileSystem.syncDirectory(directory);
}

async function pin(parts: Parts, packed: PackedRefs, ref: RefName): Promise<void> {
  const oid = lockedLooseValue(parts.loose, ref) ?? packed.get(ref)?.oid ?? null;
  if (oid === null) return;
  const path = parts.loose.pathOf(ref);
  // Written anew also where a loose file has the value: native git did not fsync it.
  const bytes = new TextEncoder().encode(`${oid}\n`);
  const aside = await parts.files.writeAside(bytes, path, fileAt(parts.fileSystem, path));
  try {
    parts.loose.clearEmptyDirectory(ref);
    if (!parts.locks.refStillHeld(ref)) {
      throw new LayerdError("repository_locked", `${path}.lock was removed by somebody else`);
    }
    parts.fileSystem.rename(aside.path, path);
  } catch (error) {
    parts.files.discard(aside.path);
    throw error;
  }
}

function fileAt(fileSystem: FileSystem, path: string) {
  const info = fileSystem.lstatIfAny(path);
  return info?.kind === "file" ? info : null;
}
