/**
 * Health of one transaction: whether what it committed is still there and readable.
 *
 * H1. A ref that native git moved or deleted since is no finding; what it left behind may
 *     be collected as garbage.
 * H2. What a ref of ours holds must be readable: the commit, the trees and files that the
 *     transaction changed.
 */
import { LayerdError, messageOf } from "../core/errors.ts";
import { type ObjectId, parseRefName, parseRepositoryName } from "../core/ids.ts";
import type { RefResult, TransactionDocument } from "../core/transaction_document.ts";
import type { Repository } from "../git/repository.ts";
import type { RepositoryCatalog } from "./catalog.ts";
import type { Finding, Health } from "./manager.ts";
import { objectIdIn } from "./transaction_diff.ts";

/** Changed files that one check looks at in each layer. */
const FILES_LOOKED_AT_MAX = 10_000;

type Severity = "suspicious" | "corrupted" | "unknown";

interface Graded {
  readonly severity: Severity;
  readonly finding: Finding;
}

export interface HealthReport {
  readonly health: Health;
  readonly findings: Finding[];
}

/** Checks what the transaction's refs hold, and its repositories for leftovers on them. */
export async function transactionHealth(
  document: TransactionDocument,
  catalog: Pick<RepositoryCatalog, "get">,
): Promise<HealthReport> {
  const graded: Graded[] = [...problemOf(document)];
  for (const name of repositoriesOf(document)) {
    const repository = repositoryIfAny(catalog, name);
    if (repository === null) {
      const detail = `Repository ${name} is not served now, so its refs were not looked at`;
      graded.push(grade("unknown", "repository_not_found", detail, name, null));
      continue;
    }
    const results = document.state === "committed"
      ? document.results.filter((result) => result.repository === name)
      : [];
    for (const result of results) graded.push(...await resultHealth(repository, result));
    graded.push(...await leftovers(repository, document));
  }
  return { health: worst(graded), findings: graded.map(({ finding }) => finding) };
}

function problemOf(document: TransactionDocument): Graded[] {
  if (document.state !== "failed" && document.state !== "committing") return [];
  const repository = document.results[0]?.repository ?? "";
  const detail = document.problem?.detail ?? `The transaction is ${document.state}`;
  return [grade("suspicious", `transaction_${document.state}`, detail, repository, null)];
}

async function resultHealth(repository: Repository, result: RefResult): Promise<Graded[]> {
  const ref = parseRefName(result.ref);
  try {
    const now = repository.refs.read(ref);
    const expected = objectIdIn(result.new);
    if (expected === null || now !== expected) return [];
    const missing = await missingObject(repository, objectIdIn(result.old), expected);
    if (missing === null) return [];
    const detail = `Object ${missing}, which ${ref} needs, is missing`;
    return [grade("corrupted", "object_missing", detail, repository.name, ref)];
  } catch (error) {
    const damaged = error instanceof LayerdError && error.code === "git_error";
    return [
      damaged
        ? grade("corrupted", "unreadable", error.message, repository.name, ref)
        : grade("unknown", "check_failed", messageOf(error), repository.name, ref),
    ];
  }
}

/** The first object that the transaction put there and that cannot be found, or null. */
async function missingObject(
  repository: Repository,
  old: ObjectId | null,
  now: ObjectId,
): Promise<ObjectId | null> {
  const object = await repository.objects.read(now);
  if (object === null) return now;
  if (object.type !== "commit") return null;
  const after = await repository.trees.rootOf(now);
  if (await repository.objects.read(after) === null) return after;
  const before = old === null ? null : await rootIfReadable(repository, old);
  const changed = await repository.trees.diff(before, after);
  for (const { after: entry } of changed.slice(0, FILES_LOOKED_AT_MAX)) {
    if (entry === null || entry.mode === "160000") continue;
    if (await repository.objects.header(entry.oid) === null) return entry.oid;
  }
  return null;
}

/** The old value may be gone lawfully (a ref that was replaced): then all files are looked at. */
async function rootIfReadable(repository: Repository, oid: ObjectId): Promise<ObjectId | null> {
  const header = await repository.objects.header(oid);
  return header?.type === "commit" ? await repository.trees.rootOf(oid) : null;
}

/** Findings of the repository that concern refs of this transaction. */
async function leftovers(
  repository: Repository,
  document: TransactionDocument,
): Promise<Graded[]> {
  const refs = new Set(document.results.map((result) => result.ref));
  const findings = await repository.findings();
  return findings.filter((finding) => finding.ref !== null && refs.has(finding.ref)).map(
    ({ severity, code, detail, ref }) => grade(severity, code, detail, repository.name, ref),
  );
}

function repositoriesOf(document: TransactionDocument): string[] {
  const touched = [...document.results, ...document.snapshot];
  return [...new Set(touched.map(({ repository }) => repository))];
}

function repositoryIfAny(
  catalog: Pick<RepositoryCatalog, "get">,
  name: string,
): Repository | null {
  try {
    return catalog.get(parseRepositoryName(name));
  } catch (error) {
    if (error instanceof LayerdError && error.code === "repository_not_found") return null;
    throw error;
  }
}

function grade(
  severity: Severity,
  code: string,
  detail: string,
  repository: string,
  ref: string | null,
): Graded {
  return { severity, finding: { code, detail, repository, ref } };
}

function worst(graded: readonly Graded[]): Health {
  const order: readonly Severity[] = ["corrupted", "suspicious", "unknown"];
  return order.find((severity) => graded.some((one) => one.severity === severity)) ?? "healthy";
}
