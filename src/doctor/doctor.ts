/**
 * `layerd doctor` without a daemon: looks at a state directory and at its repositories, names
 * each damage, and with `fix` mends what is provably right. What is not it leaves as it is, or
 * sets aside without deleting it, and says what a person can do.
 *
 * D1. Without `fix` nothing is written; the launcher gives no permission to. (SQLite keeps its
 *     own files beside a ledger that it reads.)
 * D2. With `fix` the state directory's lock is held, as by a daemon, and of each repository
 *     the owner's. Who has them already is left alone.
 * D3. What cannot be read is a finding and ends nothing else.
 */
import { join } from "@std/path";
import { type Diagnosis, type DoctorReport, doctorReport, found } from "../core/diagnosis.ts";
import { LayerdError, messageOf } from "../core/errors.ts";
import { resolveLayout } from "../git/gate.ts";
import { RepositoryObjects } from "../git/object_store.ts";
import { FileSystemError } from "../system/file_system.ts";
import { lookAtLedger, lookForOlder, rebuildLedger } from "./ledger_doctor.ts";
import { rowsFromHistories } from "./ledger_history.ts";
import { type LogLook, lookAtLog } from "./log_doctor.ts";
import { type Machine, type Patient, readableRefs } from "./patient.ts";
import { lookAtRepository } from "./repository_doctor.ts";
import { lookAtUnpublished } from "./unpublished_doctor.ts";

export interface DoctorOptions extends Machine {
  readonly stateDirectory: string;
  /** Looks at this repository alone; null: at the state directory and all that it names. */
  readonly repository: string | null;
  readonly mode: "look" | "fix";
}

export async function examine(options: DoctorOptions): Promise<DoctorReport> {
  const { fileSystem, stateDirectory, repository, mode } = options;
  const state = claimForLooking(options);
  try {
    const findings = [...state.findings];
    const may = state.isServed && repository === null ? "look" : mode;
    const isLogOurs = !state.isServed && repository === null;
    const log = await lookAtLog(fileSystem, join(stateDirectory, "log"), isLogOurs ? may : "look");
    // A live daemon's log has an unfinished end, and its opening has judged the rest.
    if (isLogOurs) findings.push(...log.findings);
    for (const patient of patientsOf(options, log)) {
      findings.push(
        ...await guarded(
          patient.path,
          () => lookAtRepository(options, patient, log, stateDirectory, may),
        ),
      );
    }
    if (isLogOurs && !log.isWhole) {
      // deno-lint-ignore require-await -- a failure must be a rejection
      const look = async () => lookAtUnpublished(options, log);
      findings.push(...await guarded(stateDirectory, look));
    }
    if (isLogOurs) findings.push(...await lookAtIndex(options, log));
    return doctorReport(findings);
  } finally {
    state.release();
  }
}

interface ClaimedState {
  readonly isServed: boolean;
  readonly findings: readonly Diagnosis[];
  release(): void;
}

/** The lock of transactions/state_directory.ts, without writing to the file. */
function claimForLooking({ fileSystem, stateDirectory, repository }: DoctorOptions): ClaimedState {
  const path = join(stateDirectory, "lock");
  const free = { isServed: false, findings: [], release: () => {} };
  if (fileSystem.lstatIfAny(stateDirectory) === null) {
    if (repository !== null) return free;
    const text = `There is no state directory ${stateDirectory}`;
    const remedy = "Name the right one with --state-dir, or a repository with --repo";
    return {
      ...free,
      findings: [found("suspicious", "state_missing", stateDirectory, text, remedy)],
    };
  }
  if (fileSystem.lstatIfAny(path) === null) return free;
  const handle = fileSystem.open(path, { read: true });
  if (handle.tryLock()) return { ...free, release: () => handle.close() };
  const buffer = new Uint8Array(32);
  const pid = new TextDecoder().decode(buffer.subarray(0, handle.readAt(buffer, 0)));
  handle.close();
  const text =
    `State directory ${stateDirectory} belongs to the layerd with pid ${pid}, which is ` +
    "running: log and ledger are its, and nothing is mended";
  return { ...free, isServed: true, findings: [found("note", "served", stateDirectory, text)] };
}

function patientsOf({ repository, fileSystem }: DoctorOptions, log: LogLook): Patient[] {
  const registered = [...log.digest.repositories].map(([id, { name, path }]) => ({
    path,
    registered: { id, name },
  }));
  if (repository === null) return registered;
  const commonDir = commonDirOf(fileSystem, repository);
  const same = registered.find(({ path }) =>
    commonDir !== null && commonDirOf(fileSystem, path) === commonDir
  );
  return [{ path: repository, registered: same?.registered ?? null }];
}

function commonDirOf(fileSystem: Machine["fileSystem"], path: string): string | null {
  try {
    return resolveLayout(fileSystem, path).commonDir;
  } catch (error) {
    if (error instanceof LayerdError) return null;
    throw error;
  }
}

/** D3. */
async function guarded(
  path: string,
  look: () => Promise<readonly Diagnosis[]>,
): Promise<readonly Diagnosis[]> {
  try {
    return await look();
  } catch (error) {
    if (!(error instanceof LayerdError || error instanceof FileSystemError)) throw error;
    return [found("unknown", "not_checked", path, messageOf(error))];
  }
}

async function lookAtIndex(options: DoctorOptions, log: LogLook): Promise<readonly Diagnosis[]> {
  const { fileSystem, stateDirectory, mode } = options;
  const path = join(stateDirectory, "ledger.sqlite");
  const history = () => historiesOf(options, log);
  return await guarded(path, async () => {
    const finding = lookAtLedger(fileSystem, path, log.digest) ??
      (fileSystem.lstatIfAny(path) === null ? null : await lookForOlder(path, history));
    if (finding === null) return [];
    if (mode === "look" || finding.severity === "unknown") return [finding];
    return [await rebuildLedger(fileSystem, path, finding, log.digest, history)];
  });
}

async function historiesOf(options: DoctorOptions, log: LogLook) {
  const opened = [...log.digest.repositories.values()].flatMap(({ name, path }) => {
    const found = readableRefs(options, path);
    if (found === null) return [];
    const objects = new RepositoryObjects(
      options.fileSystem,
      options.clock,
      found.layout,
      options.random,
    );
    return [{ name, refs: found.refs, objects }];
  });
  try {
    return await rowsFromHistories(opened);
  } finally {
    await Promise.all(opened.map(({ objects }) => objects.close()));
  }
}
