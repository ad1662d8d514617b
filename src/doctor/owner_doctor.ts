/**
 * Whose a repository is (git/owner.ts): its owner file and position, against the log.
 *
 * An owner file that is missing or torn is written again where two witnesses agree: the log,
 * which registers this repository at this path, and the position file beside it, which names
 * this state directory and this place. One of them alone could be about another repository.
 */
import { type Diagnosis, found, mended } from "../core/diagnosis.ts";
import { LayerdError } from "../core/errors.ts";
import type { RepositoryLayout } from "../git/gate.ts";
import { type OwnerIdentity, ownerPath, parseOwner, rewriteOwner } from "../git/owner_file.ts";
import { removeLinksTo } from "../git/lock_links.ts";
import { type Position, readPosition } from "../git/position.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { LogLook } from "./log_doctor.ts";
import type { Machine, Patient } from "./patient.ts";

interface Circumstances {
  readonly log: LogLook;
  readonly stateDirectory: string;
  readonly mode: "look" | "fix";
}

export async function lookAtOwner(
  machine: Machine,
  layout: RepositoryLayout,
  patient: Patient,
  around: Circumstances,
): Promise<Diagnosis[]> {
  const { fileSystem } = machine;
  const position = readPosition(fileSystem, `${layout.commonDir}/layerd`);
  const identity = identityIn(fileSystem, layout);
  if (identity === "missing" && patient.registered === null) return [];
  if (typeof identity === "string") {
    return [await mendOwner(machine, layout, patient, identity, position, around)];
  }
  return [
    ...otherOwner(layout, patient, identity, position, around),
    ...behind(layout, identity, position, around),
  ];
}

function identityIn(
  fileSystem: FileSystem,
  layout: RepositoryLayout,
): OwnerIdentity | "missing" | "damaged" {
  const path = ownerPath(layout);
  if (fileSystem.lstatIfAny(path) === null) return "missing";
  try {
    return parseOwner(fileSystem.readFile(path), path);
  } catch (error) {
    if (error instanceof LayerdError) return "damaged";
    throw error;
  }
}

async function mendOwner(
  { fileSystem, random }: Machine,
  layout: RepositoryLayout,
  { registered }: Patient,
  what: "missing" | "damaged",
  position: Position | null,
  { log, stateDirectory, mode }: Circumstances,
): Promise<Diagnosis> {
  const path = ownerPath(layout);
  const text = `Owner file ${path} is ${what}: layerd does not serve the repository without it`;
  const code = `owner_${what}`;
  const agree = registered !== null && log.saved !== null &&
    position?.stateDirectory === stateDirectory && position.commonDir === layout.commonDir;
  if (!agree) {
    const steps = registered === null
      ? ["If no layerd serves it:", `rm -r ${layout.commonDir}/layerd`]
      : [
        "Nothing proves that it is the repository that the log knows. If it is, or a new one:",
        `layerd repo remove ${registered.name}`,
        `rm -rf ${layout.commonDir}/layerd`,
        `layerd repo add ${registered.name} ${layout.path}`,
      ];
    return found("corrupted", code, path, text, ...steps);
  }
  const finding = found("corrupted", code, path, text, "layerd doctor --fix");
  if (mode === "look" || log.saved === null) return finding;
  const old = fileSystem.lstatIfAny(path);
  // Links to the torn file are our locks; the log says what they were for, recovery takes them anew.
  const removed = old === null ? [] : removeLinksTo(fileSystem, layout, old);
  const identity = { logId: log.saved.logId, repositoryId: registered.id };
  await rewriteOwner(fileSystem, layout, identity, random.bytes(8).toHex());
  const locks = removed.length === 0 ? "" : `, ${removed.length} lock links to the old one removed`;
  return mended(finding, `${text}; written again as log and position say${locks}`);
}

/** Another log's repository, or a copy of ours. */
function otherOwner(
  layout: RepositoryLayout,
  { registered, path }: Patient,
  identity: OwnerIdentity,
  position: Position | null,
  { log }: Circumstances,
): Diagnosis[] {
  const place = ownerPath(layout);
  const name = registered?.name ?? "NAME";
  if (log.saved !== null && identity.logId !== log.saved.logId) {
    const whose = position === null ? "" : `, last used by ${position.stateDirectory}`;
    const text = `${layout.commonDir} belongs to log ${identity.logId}${whose}`;
    if (position?.released === true) return [found("note", "released", place, `${text}; released`)];
    const severity = registered === null ? "note" : "suspicious";
    const remedy = `If that daemon never comes back: layerd repo add --adopt ${name} ${path}`;
    return [found(severity, "foreign_log", place, text, remedy)];
  }
  if (position !== null && position.commonDir !== layout.commonDir) {
    const text = `${layout.commonDir} was last served at ${position.commonDir}: it was moved, or ` +
      "it is a copy";
    const remedy = `A copy gets an identity of its own by: layerd repo add --adopt ${name} ${path}`;
    return [found("note", "moved_or_copied", place, text, remedy)];
  }
  return [];
}

function behind(
  layout: RepositoryLayout,
  identity: OwnerIdentity,
  position: Position | null,
  { log }: Circumstances,
): Diagnosis[] {
  if (position === null || !log.isWhole || identity.logId !== log.saved?.logId) return [];
  if (position.lsn <= log.lastLsn && position.incarnation <= log.incarnation) return [];
  const text = `${layout.commonDir} has seen LSN ${position.lsn} and start ` +
    `${position.incarnation} of this log, which ends at LSN ${log.lastLsn} and start ` +
    `${log.incarnation}: the state directory, or a segment of it, is an old copy`;
  return [
    found(
      "corrupted",
      "log_behind",
      `${layout.commonDir}/layerd/position`,
      text,
      "Put back the newest copy of the whole state directory, or, if there is none:",
      `layerd repo add --adopt NAME ${layout.path}`,
    ),
  ];
}
