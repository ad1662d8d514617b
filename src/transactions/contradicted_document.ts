/** The document of a decided transaction that a participant outside contradicts. */
import type { Branch } from "../core/branch.ts";
import type { TransactionDocument } from "../core/transaction_document.ts";
import type { BranchEnd } from "./decision_teller.ts";
import { failedDocument } from "./stalled_publications.ts";

/** How a decided transaction has failed, where a participant contradicts it; else null. */
export function contradictedDocument(
  transaction: TransactionDocument,
  branches: readonly Branch[],
  ends: readonly BranchEnd[],
): TransactionDocument | null {
  const contradicted = ends.find((end) => end.kind === "contradicted");
  if (contradicted === undefined) return null;
  const names = new Set<string>(
    branches.filter((_, at) => ends[at]?.kind === "contradicted").map((one) => one.participant),
  );
  const participants = transaction.participants.map((one) =>
    names.has(one.name) ? { ...one, outcome: "failed" as const } : one
  );
  return failedDocument({ ...transaction, participants }, contradicted.reason);
}
