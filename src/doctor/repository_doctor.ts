/**
 * One repository, looked at without a daemon. With `fix` its owner file is held under our
 * flock meanwhile, so that no daemon serves what is being mended; where one does, doctor
 * only looks.
 */
import { type Diagnosis, found, mended } from "../core/diagnosis.ts";
import { LayerdError, messageOf } from "../core/errors.ts";
import type { RepositoryLayout } from "../git/gate.ts";
import { checkFormat, resolveLayout } from "../git/gate.ts";
import { RepositoryObjects } from "../git/object_store.ts";
import { type HeldOwner, holdExisting } from "../git/owner_file.ts";
import { type FileSystem, FileSystemError } from "../system/file_system.ts";
import { lookAtLocks } from "./lock_doctor.ts";
import type { LogLook } from "./log_doctor.ts";
import { lookAtObjects } from "./object_doctor.ts";
import { lookAtOwner } from "./owner_doctor.ts";
import type { Machine, Patient } from "./patient.ts";
import { lookAtRefs } from "./ref_doctor.ts";

export async function lookAtRepository(
  machine: Machine,
  patient: Patient,
  log: LogLook,
  stateDirectory: string,
  mode: "look" | "fix",
): Promise<Diagnosis[]> {
  const { fileSystem } = machine;
  let layout: RepositoryLayout;
  try {
    layout = resolveLayout(fileSystem, patient.path);
    checkFormat(fileSystem, layout);
  } catch (error) {
    return [refusal(patient, error)];
  }
  const findings = await lookAtOwner(machine, layout, patient, { log, stateDirectory, mode });
  const held = mode === "fix" ? hold(fileSystem, layout) : null;
  if (held instanceof LayerdError) {
    findings.push(
      found("note", "served", layout.commonDir, `${held.message}: nothing was changed`),
    );
  }
  try {
    const may = mode === "fix" && !(held instanceof LayerdError) ? "fix" : "look";
    // A dead copy of a lock is nobody's, whoever serves the repository.
    findings.push(...lookAtLocks({ fileSystem, clock: machine.clock, layout, mode }));
    findings.push(...await lookInside(machine, layout, patient, log, may));
  } finally {
    if (held !== null && !(held instanceof LayerdError)) held.handle.close();
  }
  return findings;
}

async function lookInside(
  machine: Machine,
  layout: RepositoryLayout,
  patient: Patient,
  { digest }: LogLook,
  mode: "look" | "fix",
): Promise<Diagnosis[]> {
  const { fileSystem, clock, random } = machine;
  const repositoryId = patient.registered?.id ?? null;
  const findings: Diagnosis[] = [];
  const refs = lookAtRefs({ fileSystem, layout, digest, repositoryId, mode });
  findings.push(...refs, ...lookAtLeftovers(machine, layout, mode));
  const objects = new RepositoryObjects(fileSystem, clock, layout, random);
  try {
    const named = refs.flatMap(({ path, severity }) =>
      severity === "note" ? [] : [path, path.slice(layout.commonDir.length + 1)]
    );
    const look = { fileSystem, layout, objects, digest, repositoryId, mode };
    findings.push(...await lookAtObjects(look, named));
  } finally {
    await objects.close();
  }
  return findings;
}

/** Null: nobody has ever served it, so that there is nobody to keep out. */
function hold(fileSystem: FileSystem, layout: RepositoryLayout): HeldOwner | LayerdError | null {
  try {
    return holdExisting(fileSystem, layout);
  } catch (error) {
    // Unreadable counts as held: owner_doctor.ts has said what is wrong with it.
    if (error instanceof LayerdError) return error;
    throw error;
  }
}

function refusal({ path, registered }: Patient, error: unknown): Diagnosis {
  if (!(error instanceof LayerdError || error instanceof FileSystemError)) throw error;
  const reason = error instanceof LayerdError ? error.details.reason ?? error.code : error.code;
  if (reason !== "path_missing") {
    return found("corrupted", reason, path, messageOf(error));
  }
  const remedy = registered === null
    ? []
    : [`Put it back, or: layerd repo remove ${registered.name}`];
  return found("suspicious", reason, path, messageOf(error), ...remedy);
}

/** Files that an interrupted daemon left in `layerd/tmp`. Its own next start removes them too. */
function lookAtLeftovers(
  { fileSystem }: Machine,
  layout: RepositoryLayout,
  mode: "look" | "fix",
): Diagnosis[] {
  const directory = `${layout.commonDir}/layerd/tmp`;
  if (fileSystem.lstatIfAny(directory) === null) return [];
  return fileSystem.readDirectory(directory).filter(({ kind }) => kind === "file").map(
    ({ name }) => {
      const path = `${directory}/${name}`;
      const finding = found("note", "leftover_temporary", path, `${path} is left over`);
      if (mode === "look") return finding;
      fileSystem.unlink(path);
      return mended(finding, `${path} was left over; removed`);
    },
  );
}
