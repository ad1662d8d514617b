/**
 * What `layerd doctor` says: findings, each with what an operator does about it. Plain JSON:
 * the command prints it as it is.
 */

/** `note`: as it may be, nothing to do. The others want a look. */
export type DiagnosisSeverity = "note" | "suspicious" | "corrupted" | "unknown";

/**
 * `mended`: it is as it was before the damage. `set_aside`: what was damaged stands in a
 * quarantine and no longer in the way; `remedy` says what is left to do.
 */
export type DiagnosisOutcome = "found" | "mended" | "set_aside";

export interface Diagnosis {
  readonly code: string;
  readonly severity: DiagnosisSeverity;
  /** Path of the file or directory that it is about. */
  readonly path: string;
  readonly detail: string;
  /** Steps for a person, commands among them, in order; empty where nothing is to be done. */
  readonly remedy: readonly string[];
  readonly outcome: DiagnosisOutcome;
}

export interface DoctorReport {
  /** The worst of what is left after mending. */
  readonly status: "ok" | "suspicious" | "corrupted" | "unknown";
  readonly findings: readonly Diagnosis[];
}

export function found(
  severity: DiagnosisSeverity,
  code: string,
  path: string,
  detail: string,
  ...remedy: readonly string[]
): Diagnosis {
  return { code, severity, path, detail, remedy, outcome: "found" };
}

/** The same finding after it was mended. */
export function mended(finding: Diagnosis, detail: string): Diagnosis {
  return { ...finding, detail, remedy: [], outcome: "mended" };
}

export function setAside(
  finding: Diagnosis,
  detail: string,
  ...remedy: readonly string[]
): Diagnosis {
  return { ...finding, detail, remedy, outcome: "set_aside" };
}

/** The report on findings; a mended one and a note no longer count. */
export function doctorReport(findings: readonly Diagnosis[]): DoctorReport {
  const open = findings.filter(({ outcome }) => outcome !== "mended");
  const has = (severity: DiagnosisSeverity) => open.some((one) => one.severity === severity);
  const order = ["corrupted", "suspicious", "unknown"] as const;
  return { status: order.find(has) ?? "ok", findings };
}
