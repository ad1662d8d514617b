/** What a replica is: a layer, the layers that follow it, and who wins where they differ. */
import type { LayerName, RepositoryName } from "../core/ids.ts";

export const STRATEGIES = ["last_write_wins", "source_wins", "manual"] as const;
export type Strategy = typeof STRATEGIES[number];

export interface ReplicaPlace {
  readonly repository: RepositoryName;
  readonly layer: LayerName;
}

export interface ReplicaDefinition {
  readonly source: ReplicaPlace;
  readonly targets: readonly ReplicaPlace[];
  readonly reconciliation_interval_ms: number;
  readonly conflict_resolution: Strategy;
}

/** How a target stands to the source. */
export interface TargetDocument {
  readonly repository: string;
  readonly layer: string;
  readonly commit: string | null;
  readonly status: "in_sync" | "behind" | "conflict" | "failing";
  /** How long it has been seen to differ; 0 in sync. */
  readonly lag_ms: number;
  /** Of a conflict or a failure. */
  readonly detail: string | null;
}

export interface ReplicaDocument {
  readonly name: string;
  readonly source: { readonly repository: string; readonly layer: string };
  readonly source_commit: string | null;
  readonly targets: readonly TargetDocument[];
  readonly reconciliation_interval_ms: number;
  readonly conflict_resolution: Strategy;
  /** Of the target that has differed longest. */
  readonly lag_ms: number;
  readonly conflicts: number;
  readonly reconciled_at: string | null;
}
