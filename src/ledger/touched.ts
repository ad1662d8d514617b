/** Which layers a transaction has to do with, for the filters of a list. */
import { LAYER_REF_PREFIX, layerOfRef, parseRefName } from "../core/ids.ts";
import type { TransactionDocument } from "../core/transaction_document.ts";

export interface Touched {
  readonly repository: string;
  /** Layer name, or a full ref outside `refs/layers/`. */
  readonly layer: string;
}

/** Layers that were locked, read or moved; each once. */
export function touchedRefs(transaction: TransactionDocument): Touched[] {
  const seen = new Map<string, Touched>();
  for (const list of [transaction.locks, transaction.snapshot, transaction.results]) {
    for (const { repository, layer } of list) {
      seen.set(`${repository}\n${layer}`, { repository, layer });
    }
  }
  return [...seen.values()];
}

/** What documents call a layer that a filter names by its name or by its full ref. */
export function layerKey(layer: string): string {
  return layer.startsWith(LAYER_REF_PREFIX) ? layerOfRef(parseRefName(layer)) ?? layer : layer;
}
