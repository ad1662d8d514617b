/**
 * Objects of a repository. Its loose ones are read through, each against the hash that its
 * name says; the rest is `git fsck`'s.
 *
 *   O1 an object of which the log holds the bytes is written again: it cannot be another one
 *   O2 a damaged loose file that a pack or an alternate makes up for is set aside
 *   O3 any other damaged file is set aside too: at its place git takes it for the object and
 *      will not write it again, so that no fetch can bring it back. Nothing is deleted.
 */
import { type Diagnosis, found, mended, setAside } from "../core/diagnosis.ts";
import { LayerdError } from "../core/errors.ts";
import { isObjectId, type ObjectId } from "../core/ids.ts";
import type { LogDigest } from "../core/recovery_plan.ts";
import { fsck } from "../git/fsck.ts";
import type { RepositoryLayout } from "../git/gate.ts";
import { loosePath, readLoose } from "../git/loose_objects.ts";
import type { ObjectStore } from "../git/repository.ts";
import type { FileSystem } from "../system/file_system.ts";

export interface ObjectLook {
  readonly fileSystem: FileSystem;
  readonly layout: RepositoryLayout;
  readonly objects: ObjectStore;
  readonly digest: LogDigest;
  readonly repositoryId: string | null;
  readonly mode: "look" | "fix";
}

/** `named`: paths and refs that other findings name; fsck's lines about them are left out. */
export async function lookAtObjects(
  look: ObjectLook,
  named: readonly string[],
): Promise<Diagnosis[]> {
  const torn = tornLooseObjects(look);
  const before = await fsck(look.layout);
  const isDamaged = torn.length > 0 || (before.kind === "checked" && before.damage.length > 0);
  if (look.mode === "look" || !isDamaged) {
    const findings = torn.map((oid) => tornFinding(look, oid));
    return [...findings, ...fsckFindings(look, before, [...torn, ...named])];
  }
  const aside = new Map(torn.map((oid) => [oid, moveAside(look, oid)]));
  await restoreFromLog(look);
  await look.objects.syncAll();
  const findings: Diagnosis[] = [];
  for (const [oid, path] of aside) findings.push(await afterMending(look, oid, path));
  const left = new Set(findings.filter(({ outcome }) => outcome !== "mended").map((f) => f.path));
  const open = torn.filter((oid) => left.has(loosePath(look.layout.objectsDir, oid)));
  const after = await fsck(look.layout);
  return [
    ...findings,
    ...restoredFindings(look, before, after, torn),
    ...fsckFindings(look, after, [...open, ...named]),
  ];
}

function tornLooseObjects({ fileSystem, layout }: ObjectLook): ObjectId[] {
  const torn: ObjectId[] = [];
  for (const { name: start, kind } of fileSystem.readDirectory(layout.objectsDir)) {
    if (kind !== "directory" || !/^[0-9a-f]{2}$/.test(start)) continue;
    for (const { name } of fileSystem.readDirectory(`${layout.objectsDir}/${start}`)) {
      const oid = start + name;
      if (!isObjectId(oid)) continue;
      if (readLoose(fileSystem, layout.objectsDir, oid) === "damaged") torn.push(oid);
    }
  }
  return torn;
}

function tornFinding({ layout }: ObjectLook, oid: ObjectId): Diagnosis {
  const path = loosePath(layout.objectsDir, oid);
  const text = `Object ${oid}: ${path} does not hold what its name says`;
  return found("corrupted", "object_damaged", path, text, "layerd doctor --fix");
}

function moveAside({ fileSystem, layout }: ObjectLook, oid: ObjectId): string {
  const directory = `${layout.commonDir}/layerd/quarantine`;
  if (fileSystem.lstatIfAny(`${layout.commonDir}/layerd`) === null) {
    fileSystem.makeDirectory(`${layout.commonDir}/layerd`);
  }
  if (fileSystem.lstatIfAny(directory) === null) fileSystem.makeDirectory(directory);
  let aside = `${directory}/${oid}`;
  for (let n = 2; fileSystem.lstatIfAny(aside) !== null; n += 1) aside = `${directory}/${oid}-${n}`;
  fileSystem.rename(loosePath(layout.objectsDir, oid), aside);
  return aside;
}

async function restoreFromLog({ digest, objects, repositoryId }: ObjectLook): Promise<void> {
  const records = [...digest.commits.values(), ...digest.prepared.values()];
  objects.adopt();
  for (const { record } of records) {
    const holder = record.transaction.id;
    for (const part of record.parts) {
      if (part.repositoryId === repositoryId) {
        objects.place([{ holder, written: part.objects }]);
      }
    }
    objects.release(holder);
  }
  await objects.makeDurable();
}

async function afterMending(look: ObjectLook, oid: ObjectId, aside: string): Promise<Diagnosis> {
  const finding = tornFinding(look, oid);
  if (await isReadable(look.objects, oid)) {
    const text = `${finding.detail}; the object is whole again (from the log, a pack or an ` +
      `alternate), the damaged file is ${aside}`;
    return mended(finding, text);
  }
  const { commonDir } = look.layout;
  return setAside(
    finding,
    `${finding.detail}; it was set aside as ${aside}`,
    "Bring the object from a clone that has it:",
    `git -C CLONE cat-file TYPE ${oid} | git --git-dir=${commonDir} hash-object -w -t TYPE --stdin`,
    "or, where a remote has it:",
    `git --git-dir=${commonDir} fetch --refetch REMOTE`,
  );
}

async function isReadable(objects: ObjectStore, oid: ObjectId): Promise<boolean> {
  try {
    return await objects.read(oid) !== null;
  } catch (error) {
    if (error instanceof LayerdError && error.code === "git_error") return false;
    throw error;
  }
}

/** What fsck missed before and no longer does, beside the torn files. */
function restoredFindings(
  { layout }: ObjectLook,
  before: Awaited<ReturnType<typeof fsck>>,
  after: Awaited<ReturnType<typeof fsck>>,
  torn: readonly ObjectId[],
): Diagnosis[] {
  if (before.kind !== "checked" || after.kind !== "checked") return [];
  const cured = before.damage.filter((line) => !after.damage.includes(line));
  return cured.filter((line) => line.startsWith("missing ") && !namesOne(line, torn)).map((line) =>
    mended(found("corrupted", "object_missing", layout.objectsDir, line), `${line}; written again`)
  );
}

function fsckFindings(
  { layout }: ObjectLook,
  outcome: Awaited<ReturnType<typeof fsck>>,
  known: readonly string[],
): Diagnosis[] {
  if (outcome.kind === "unavailable") {
    const text = `Packs and history of ${layout.commonDir} were not checked: ${outcome.reason}`;
    return [found("unknown", "not_checked", layout.commonDir, text)];
  }
  const rest = outcome.damage.filter((line) => !namesOne(line, known));
  return rest.map((line) =>
    found(
      "corrupted",
      "fsck",
      layout.commonDir,
      `git fsck says: ${line}`,
      "Bring what is missing from a clone (git fetch), or give up the refs that need it",
    )
  );
}

/** An object is named by its id or by its path, which has a slash in it. */
function namesOne(line: string, names: readonly string[]): boolean {
  return names.some((name) =>
    line.includes(name) || line.includes(`${name.slice(0, 2)}/${name.slice(2)}`)
  );
}
