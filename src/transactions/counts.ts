/** How many transactions stand where, for the health document. */
import type { Ledger } from "../ledger/ledger.ts";
import type { OpenTransactions } from "./open_transactions.ts";

/** Failed transactions that one count looks at. */
const FAILED_COUNTED_MAX = 1_000;

export function countTransactions(
  open: OpenTransactions,
  ledger: Ledger,
): { readonly active: number; readonly in_doubt: number; readonly failed: number } {
  let inDoubt = 0;
  for (const { state } of open.all()) if (state === "committing") inDoubt++;
  const failed = ledger.list({ state: "failed" }, FAILED_COUNTED_MAX, null).length;
  return { active: open.size - inDoubt, in_doubt: inDoubt, failed };
}
