/**
 * A quick look for damage and leftovers in one repository. It reads refs and the tips of
 * layers and branches, never whole histories; `git fsck` is there for those.
 *
 *   ref_damaged, ref_object_missing, ref_object_damaged, packed_refs_damaged   corrupted
 *   foreign_lock, dead_lock, leftover_temporary, alternate_missing             suspicious
 *   no_space, not_writable                                                    suspicious
 *   not_checked                                                               unknown
 */
import { LayerdError, messageOf } from "../core/errors.ts";
import type { ObjectId, RefName } from "../core/ids.ts";
import { HEALTH_TIPS_MAX, STALE_FILE_MS } from "../core/limits.ts";
import type { Clock } from "../system/clock.ts";
import type { FileInfo, FileSystem } from "../system/file_system.ts";
import type { RepositoryLayout } from "./gate.ts";
import { LooseRefs } from "./loose_refs.ts";
import type { OwnerFile } from "./owner.ts";
import { OWNER_MAGIC } from "./owner_file.ts";
import type {
  ObjectStore,
  RefPublisher,
  RefReader,
  RepositoryFinding,
  TreeReader,
} from "./repository.ts";

import type { WriteWatch } from "./write_watch.ts";

const CHECKED_PREFIXES = ["refs/layers/", "refs/heads/"];

export interface FindingParts {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly layout: RepositoryLayout;
  readonly owner: OwnerFile;
  readonly objects: ObjectStore;
  readonly trees: TreeReader;
  readonly refs: RefReader;
  readonly publisher: Pick<RefPublisher, "leftovers">;
  readonly writes: WriteWatch;
}

function finding(
  severity: RepositoryFinding["severity"],
  code: string,
  detail: string,
  ref: string | null,
): RepositoryFinding {
  return { code, detail, severity, ref };
}

/** All findings; none of them stops the look at the others. */
export async function lookForDamage(parts: FindingParts): Promise<RepositoryFinding[]> {
  const findings = [
    ...damagedRefs(parts),
    ...foreignLocks(parts),
    ...ownLeftovers(parts),
    ...leftovers(parts),
  ];
  const unwritable = parts.writes.finding();
  if (unwritable !== null) findings.push(unwritable);
  for (const directory of [parts.layout.objectsDir, ...parts.layout.alternates]) {
    if (parts.fileSystem.lstatIfAny(directory) === null) {
      const text = `Object directory ${directory} is missing`;
      findings.push(finding("suspicious", "alternate_missing", text, null));
    }
  }
  try {
    for await (const found of damagedTips(parts)) findings.push(found);
  } catch (error) {
    if (!(error instanceof LayerdError)) throw error;
    // A damaged ref ends the enumeration and is among the findings; what stands behind it is
    // looked at once it is mended.
    if (!findings.some((one) => one.code === "ref_damaged")) {
      findings.push(finding("corrupted", "packed_refs_damaged", error.message, null));
    }
  }
  return findings;
}

function damagedRefs({ fileSystem, layout }: FindingParts): RepositoryFinding[] {
  const findings: RepositoryFinding[] = [];
  for (const [ref, loose] of new LooseRefs(fileSystem, layout.commonDir).walk("refs")) {
    if (loose.kind !== "damaged") continue;
    const text = `Ref ${ref} is damaged: ${loose.reason}`;
    findings.push(finding("corrupted", "ref_damaged", text, ref));
  }
  return findings;
}

function foreignLocks({ fileSystem, clock, layout, owner }: FindingParts): RepositoryFinding[] {
  const { commonDir } = layout;
  const names = [...new LooseRefs(fileSystem, commonDir).names("refs")]
    .filter((name) => name.endsWith(".lock"));
  const findings: RepositoryFinding[] = [];
  for (const name of ["packed-refs.lock", "config.lock", ...names]) {
    const path = `${commonDir}/${name}`;
    const info = fileSystem.lstatIfAny(path);
    if (info === null || (info.inode === owner.inode && info.device === owner.device)) continue;
    const ref = name.startsWith("refs/") ? name.slice(0, -".lock".length) : null;
    if (isCopiedLock(fileSystem, path, info)) {
      const text = `${path} is a lock file of another daemon's copy of this repository; remove it`;
      findings.push(finding("suspicious", "dead_lock", text, ref));
      continue;
    }
    const ageMs = clock.now() - info.modifiedMs;
    if (ageMs < STALE_FILE_MS) continue;
    const text = `${path} is ${Math.round(ageMs / 1_000)} s old; if no git process is running, ` +
      `remove it`;
    findings.push(finding("suspicious", "foreign_lock", text, ref));
  }
  return findings;
}

/** Our links carry the owner's content; a copy of one in a copied repository does too. */
function isCopiedLock(fileSystem: FileSystem, path: string, info: FileInfo): boolean {
  if (info.kind !== "file" || info.size > 1_024) return false;
  const handle = fileSystem.open(path, { read: true });
  try {
    const start = new Uint8Array(OWNER_MAGIC.length);
    const count = handle.readAt(start, 0);
    const isOurs = new TextDecoder().decode(start.subarray(0, count)) === OWNER_MAGIC;
    return isOurs && handle.tryLock();
  } finally {
    handle.close();
  }
}

function ownLeftovers({ publisher }: FindingParts): RepositoryFinding[] {
  return publisher.leftovers().map((name) => {
    const text = `${name} is left of a transaction that has ended and could not be removed; ` +
      `layerd tries again`;
    return finding("suspicious", "own_leftover", text, null);
  });
}

function leftovers({ fileSystem, clock, layout }: FindingParts): RepositoryFinding[] {
  const directory = `${layout.commonDir}/layerd/tmp`;
  const findings: RepositoryFinding[] = [];
  for (const { name } of fileSystem.readDirectory(directory)) {
    const info = fileSystem.lstatIfAny(`${directory}/${name}`);
    if (info === null || clock.now() - info.modifiedMs < STALE_FILE_MS) continue;
    const text = `${directory}/${name} is left over from an interrupted call`;
    findings.push(finding("suspicious", "leftover_temporary", text, null));
  }
  return findings;
}

async function* damagedTips(parts: FindingParts): AsyncGenerator<RepositoryFinding> {
  const snapshot = parts.refs.snapshot();
  let count = 0;
  for (const prefix of CHECKED_PREFIXES) {
    for (const [ref, oid] of snapshot.entries(prefix)) {
      count += 1;
      if (count > HEALTH_TIPS_MAX) {
        const text = `Only the first ${HEALTH_TIPS_MAX} layers and branches were looked at`;
        yield finding("unknown", "not_checked", text, null);
        return;
      }
      const found = await damageOf(parts, ref, oid);
      if (found !== null) yield found;
    }
  }
}

/** Branches and layers point at commits; their root tree must be there too. */
async function damageOf(
  { objects, trees }: FindingParts,
  ref: RefName,
  oid: ObjectId,
): Promise<RepositoryFinding | null> {
  try {
    if (await objects.header(oid) === null) {
      return finding("corrupted", "ref_object_missing", `${ref} points at missing ${oid}`, ref);
    }
    const tree = await trees.rootOf(oid);
    if (await objects.header(tree) !== null) return null;
    const text = `Tree ${tree} of commit ${oid} at ${ref} is missing`;
    return finding("corrupted", "ref_object_missing", text, ref);
  } catch (error) {
    return finding("corrupted", "ref_object_damaged", `${ref}: ${messageOf(error)}`, ref);
  }
}
