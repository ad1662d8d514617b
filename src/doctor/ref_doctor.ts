/**
 * Refs that cannot be read. What a ref held before its damage cannot be proved: native git may
 * have moved it after whatever else is known of it. So nothing here is mended by itself; each
 * finding brings the values that are known, and the commands that set one.
 */
import { type Diagnosis, found } from "../core/diagnosis.ts";
import { LayerdError } from "../core/errors.ts";
import type { RefName } from "../core/ids.ts";
import type { LogDigest } from "../core/recovery_plan.ts";
import type { RepositoryLayout } from "../git/gate.ts";
import { LooseRefs } from "../git/loose_refs.ts";
import { PackedRefs } from "../git/packed_refs.ts";
import { validRefName } from "../git/ref_names.ts";
import { errorCode, type FileSystem } from "../system/file_system.ts";

export interface RefLook {
  readonly fileSystem: FileSystem;
  readonly layout: RepositoryLayout;
  /** Of the log that serves the repository, as far as it can be read. */
  readonly digest: LogDigest;
  readonly repositoryId: string | null;
  readonly mode: "look" | "fix";
}

/** A value that a ref had, and who says so. */
interface Known {
  readonly oid: string;
  readonly source: string;
}

export function lookAtRefs(look: RefLook): Diagnosis[] {
  const damaged = [...damagedLooseRefs(look), ...damagedPackedRefs(look), ...damagedHead(look)];
  return [...damaged, ...vanishedRefs(look)];
}

function damagedLooseRefs(look: RefLook): Diagnosis[] {
  const { fileSystem, layout } = look;
  const packed = packedValues(fileSystem, layout.commonDir);
  const findings: Diagnosis[] = [];
  for (const [ref, loose] of new LooseRefs(fileSystem, layout.commonDir).walk("refs")) {
    if (loose.kind !== "damaged") continue;
    const path = `${layout.commonDir}/${ref}`;
    const values = knownValues(look, ref, packed);
    const remedy = values.length === 0
      ? [`Its value is known nowhere. To give the ref up: rm ${path}`]
      : [
        "Of the values that are known, the first is the youngest; choose one:",
        ...values.map(({ oid, source }) =>
          `rm ${path} && git --git-dir=${layout.commonDir} update-ref ${ref} ${oid}  (${source})`
        ),
      ];
    findings.push(
      found("corrupted", "ref_damaged", path, `Ref ${ref}: ${loose.reason}`, ...remedy),
    );
  }
  return findings;
}

/** Youngest first: a reflog knows native changes, the log ours, packed-refs what was before. */
function knownValues(look: RefLook, ref: RefName, packed: ReadonlyMap<string, string>): Known[] {
  const values = [
    { oid: reflogValue(look, ref), source: "last entry of its reflog" },
    { oid: loggedValue(look, ref), source: "last commit of layerd" },
    { oid: packed.get(ref), source: "packed-refs" },
  ];
  const seen = new Set<string>();
  return values.flatMap(({ oid, source }) => {
    if (oid === undefined || seen.has(oid)) return [];
    seen.add(oid);
    return [{ oid, source }];
  });
}

function reflogValue({ fileSystem, layout }: RefLook, ref: RefName): string | undefined {
  try {
    const bytes = fileSystem.readFile(`${layout.commonDir}/logs/${ref}`);
    const lines = new TextDecoder().decode(bytes).trimEnd().split("\n");
    return lines.findLast((line) => /^[0-9a-f]{40} [0-9a-f]{40} /.test(line))?.slice(41, 81);
  } catch (error) {
    if (errorCode(error) !== null) return undefined;
    throw error;
  }
}

function loggedValue({ digest, repositoryId }: RefLook, ref: RefName): string | undefined {
  let value: string | undefined;
  for (const { record } of digest.commits.values()) {
    for (const part of record.parts) {
      if (part.repositoryId !== repositoryId) continue;
      const edit = part.edits.find((one) => one.ref === ref);
      if (edit) value = edit.new ?? undefined;
    }
  }
  return value;
}

function damagedPackedRefs(look: RefLook): Diagnosis[] {
  const { fileSystem, layout, mode } = look;
  const path = `${layout.commonDir}/packed-refs`;
  const bytes = readIfAny(fileSystem, path);
  if (bytes === null) return [];
  const problem = parseProblem(bytes, path);
  if (problem === null) return [];
  const severity = bytes.length === 0 ? "suspicious" : "corrupted";
  const proposal = proposePackedRefs(look, bytes);
  const finding = found(
    severity,
    "packed_refs_damaged",
    path,
    `${problem}; ${proposal.whole} entries of it are whole, and ${proposal.logged} values of the ` +
      "log are known beside them. Refs that stood behind the damage are in neither",
    "layerd doctor --fix  (writes what is known into a file beside it and changes nothing else)",
  );
  if (mode === "look") return [finding];
  const beside = freeName(fileSystem, `${layout.commonDir}/packed-refs.proposed`);
  fileSystem.writeNewFile(beside, proposal.bytes, fileSystem.lstat(path).mode & 0o777);
  return [{
    ...finding,
    remedy: [
      `What is known stands in ${beside}. Compare it with a clone, add what is missing, then:`,
      `mv ${path} ${path}.damaged && mv ${beside} ${path}`,
    ],
  }];
}

function parseProblem(bytes: Uint8Array, path: string): string | null {
  try {
    // Well-formed all the same: to git every packed ref is gone. A power loss leaves this.
    if (bytes.length === 0) return `${path} is empty, which git never leaves behind`;
    PackedRefs.parse(bytes, path);
    return null;
  } catch (error) {
    if (error instanceof LayerdError) return error.message;
    throw error;
  }
}

/** The whole lines of a damaged file, with the log's values in place of older ones. */
function proposePackedRefs(look: RefLook, bytes: Uint8Array) {
  const values = wholeLines(bytes);
  const whole = values.size;
  let logged = 0;
  for (const { record } of look.digest.commits.values()) {
    for (const part of record.parts) {
      if (part.repositoryId !== look.repositoryId) continue;
      for (const edit of part.edits) {
        logged += 1;
        if (edit.new === null) values.delete(edit.ref);
        else values.set(edit.ref, edit.new);
      }
    }
  }
  const lines = [...values].map(([ref, oid]) => `${oid} ${ref}\n`);
  // Without traits: git sorts and peels such a file itself.
  return { bytes: new TextEncoder().encode(lines.join("")), whole, logged };
}

function wholeLines(bytes: Uint8Array): Map<string, string> {
  const text = new TextDecoder().decode(bytes);
  const values = new Map<string, string>();
  // What stands behind the last line feed is no line.
  for (const line of text.slice(0, text.lastIndexOf("\n") + 1).split("\n")) {
    const match = /^([0-9a-f]{40}) (\S+)$/.exec(line);
    const ref = match?.[2] === undefined ? null : validRefName(match[2]);
    if (match?.[1] !== undefined && ref !== null) values.set(ref, match[1]);
  }
  return values;
}

function packedValues(fileSystem: FileSystem, commonDir: string): ReadonlyMap<string, string> {
  return wholeLines(readIfAny(fileSystem, `${commonDir}/packed-refs`) ?? new Uint8Array(0));
}

/** Refs that layerd's last commit set and that do not exist now: deleted by git, or lost. */
function vanishedRefs(look: RefLook): Diagnosis[] {
  const { fileSystem, layout, digest, repositoryId } = look;
  const packed = packedValues(fileSystem, layout.commonDir);
  const loose = new LooseRefs(fileSystem, layout.commonDir);
  const last = new Map<RefName, string | null>();
  for (const { record, applied } of digest.commits.values()) {
    for (const part of record.parts) {
      if (part.repositoryId !== repositoryId || !applied.has(part.repositoryId)) continue;
      for (const edit of part.edits) last.set(edit.ref, edit.new);
    }
  }
  return [...last].flatMap(([ref, oid]) => {
    if (oid === null || packed.has(ref) || loose.read(ref).kind !== "absent") return [];
    const text = `Ref ${ref} does not exist; layerd's last commit on it set it to ${oid}`;
    const remedy =
      `If git did not delete it: git --git-dir=${layout.commonDir} update-ref ${ref} ` +
      oid;
    return [found("note", "ref_gone", `${layout.commonDir}/${ref}`, text, remedy)];
  });
}

function damagedHead({ fileSystem, layout }: RefLook): Diagnosis[] {
  const path = `${layout.gitDir}/HEAD`;
  const info = fileSystem.lstatIfAny(path);
  if (info?.kind === "symlink") return [];
  const text = new TextDecoder().decode(readIfAny(fileSystem, path) ?? new Uint8Array(0)).trim();
  if (/^(ref:\s*refs\/\S+|[0-9a-f]{40})$/.test(text)) return [];
  const remedy = `git --git-dir=${layout.gitDir} symbolic-ref HEAD refs/heads/BRANCH`;
  return [
    found("corrupted", "head_damaged", path, `${path} names no branch and no commit`, remedy),
  ];
}

function readIfAny(fileSystem: FileSystem, path: string): Uint8Array | null {
  return fileSystem.lstatIfAny(path) === null ? null : fileSystem.readFile(path);
}

function freeName(fileSystem: FileSystem, path: string): string {
  for (let n = 1;; n += 1) {
    if (fileSystem.lstatIfAny(`${path}-${n}`) === null) return `${path}-${n}`;
  }
}
